"""A stand-in for a Backend.AI 26.9.6 manager, the Hugging Face Hub and vLLM, for tests and demos.

    with Emulator() as emu: ...         two loopback servers; sessions run as real processes
    @mock_backendai                     the same state behind `requests`, without a server
    python -m emulator --port 8090      the same as a program

Room            What it holds
http            Request, Response, Route: what all handlers speak
cluster/        the manager: models (state and rules), scheduler, processes, responses, urls, exceptions, ...
hub/, vllm/     the other two stand-ins
faults          what goes wrong on the wire when a test orders it; `cluster.faults`: inside the cluster
app_proxy       a session's port behind a URL and a cookie, for clusters that have such a thing
standin         cluster, Hub and faults together; server and mount put it where clients find it
control         /_emulator/...: faults, log and sessions for another process
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulator.mount import mock_backendai
    from emulator.server import Emulator

__all__ = ["Emulator", "mock_backendai"]


def __getattr__(name: str) -> Any:
    """Each face is imported when it is asked for: the vLLM stand-in must start in milliseconds."""
    if name == "Emulator":
        from emulator.server import Emulator

        return Emulator
    if name == "mock_backendai":
        from emulator.mount import mock_backendai

        return mock_backendai
    raise AttributeError(name)
