"""What goes wrong on demand: the VLLM_STANDIN_* variables of the environment.

VLLM_STANDIN_LOAD_SECONDS   how long loading takes (1.0)
VLLM_STANDIN_EXIT           "3@loading", "0@ready", "1@start", "1@ready+2": exit code @ phase [+ seconds]
VLLM_STANDIN_HANG           "loading": loads for ever and says nothing more
VLLM_STANDIN_BROKEN_ENGINE  healthy, until the first completion kills the engine
VLLM_STANDIN_SERVES         answers to this model name instead of the one asked for
VLLM_STANDIN_SLOW           seconds every completion takes

POST /_standin/serve {"names": […], "max_model_len": n} changes what a running one serves (`Emulator.serve`).
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

PHASES = ("start", "loading", "ready")


class Exit(NamedTuple):
    code: int
    phase: str
    after_seconds: float


class Faults(NamedTuple):
    load_seconds: float
    exit: Exit | None
    hang: bool
    broken_engine: bool
    serves: str
    slow_seconds: float


def read_faults(environ: Mapping[str, str] = os.environ) -> Faults:
    """The faults asked for; ValueError when a variable does not say what it should."""

    def text(name: str) -> str:
        return environ.get(f"VLLM_STANDIN_{name}", "")

    return Faults(
        load_seconds=float(text("LOAD_SECONDS") or 1.0),
        exit=_exit(text("EXIT")) if text("EXIT") else None,
        hang=text("HANG") == "loading",
        broken_engine=text("BROKEN_ENGINE") == "1",
        serves=text("SERVES"),
        slow_seconds=float(text("SLOW") or 0),
    )


def _exit(text: str) -> Exit:
    code, _, when = text.partition("@")
    phase, _, seconds = when.partition("+")
    if phase not in PHASES:
        raise ValueError(f"VLLM_STANDIN_EXIT={text}: the phase is one of {', '.join(PHASES)}, as in 3@loading")
    return Exit(int(code), phase, float(seconds or 0))
