"""The agent's fault switches: a file in the faults folder holds for every session, a variable for its own session.

pull-delay SECONDS     file only: the image isn't there, the session's kernel is PULLING for that long
pull-fail TEXT         file only: and then the pull fails (give it a delay of 1: one that fails at once can
                       leave the session in PREPARING for ever, as on a real cluster)
create-delay SECONDS   or BAI_FAULT_CREATE_DELAY: the session is CREATING for that long
create-fail TEXT       or BAI_FAULT_CREATE_FAIL: the container can't be created
destroy-delay SECONDS  or BAI_FAULT_DESTROY_DELAY: the session is TERMINATING for that long
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(os.environ.get("CLUSTER_ROOT", "/nonexistent")) / "faults"


def fault(name: str, environ: Mapping[str, str] | None = None) -> str | None:
    """The value of a switch, read anew each time; None when it is off."""
    value = (environ or {}).get("BAI_FAULT_" + name.upper().replace("-", "_"))
    if value is None:
        with contextlib.suppress(OSError):
            value = (FOLDER / name).read_text().strip()
    return value


async def fault_delay(name: str, environ: Mapping[str, str] | None = None) -> None:
    """Sleep for as long as the switch says; it may be taken back meanwhile."""
    waited = 0.0
    while (seconds := fault(name, environ)) is not None and waited < float(seconds or 0):
        await asyncio.sleep(min(0.2, float(seconds) - waited))
        waited += 0.2


def fail_if_asked(name: str, environ: Mapping[str, str] | None = None) -> None:
    """Raises RuntimeError with the switch's text."""
    if (reason := fault(name, environ)) is not None:
        raise RuntimeError(reason or f"{name}, as a test asked for")
