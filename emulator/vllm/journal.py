"""The log in vLLM's own form, and how a start that fails reads in it.

Refusal             vLLM ends with exit code 1 and a traceback
    .api(kind)      found by the API server before an engine exists (config stage)
    .engine(kind)   found by the engine: model build, memory
"""

import os
import time
from typing import NoReturn

API = "APIServer"
ENGINE = "EngineCore"
NOBODY = ""  # the command line's own part: its lines have no prefix yet

# The real engine is a process of its own; its pid only shows in the log.
_PIDS = {API: os.getpid(), ENGINE: os.getpid() + 1}


class Refusal(Exception):
    """vLLM does not start. `kind` is the Python exception of the real program, `text` its message."""

    def __init__(self, kind: str, text: str, *, source: str = API) -> None:
        super().__init__(text)
        self.kind, self.text, self.source = kind, text, source


def config_refusal(config_class: str, text: str, *, field: str = "", type_: str = "value_error") -> Refusal:
    """A config error as pydantic words it: `Value error, ...` for the model, the bare text for a field."""
    where = f"{field}\n  {text}" if field else f"  Value error, {text}"
    message = (
        f"1 validation error for {config_class}\n{where} [type={type_}, input_value=..., input_type=...]\n"
        f"    For further information visit https://errors.pydantic.dev/2.12/v/{type_}"
    )
    return Refusal("pydantic_core._pydantic_core.ValidationError", message)


def log(source: str, file: str, text: str, level: str = "INFO") -> None:
    """One line of vLLM's logger, on stdout as the real one."""
    stamp = time.strftime("%m-%d %H:%M:%S")
    raw(source, f"{level} {stamp} [{file}] {text}")


def raw(source: str, text: str) -> None:
    """A line that does not come from vLLM's logger (uvicorn's, tqdm's): prefix only."""
    _write(1, source, text)


def report(refusal: Refusal) -> None:
    """The traceback of a refused start, on stderr; the engine's ends in the API server's own."""
    if refusal.source == ENGINE:
        log(ENGINE, "core.py:1142", "EngineCore failed to start.", "ERROR")
    _traceback(refusal.source, refusal.kind, refusal.text)
    if refusal.source == ENGINE:
        root = "Engine core initialization failed. See root cause above. Failed core proc(s): {}"
        _traceback(API, "RuntimeError", root)


def _traceback(source: str, kind: str, text: str) -> None:
    last = f"{kind}: {text}" if text else kind
    _write(2, source, f"Traceback (most recent call last):\n{last}")


def _write(descriptor: int, source: str, text: str) -> None:
    """Straight to the descriptor: a signal handler may log while the main thread is logging."""
    prefix = f"({source} pid={_PIDS[source]}) " if source else ""
    lines = "".join(f"{prefix}{line}\n" for line in text.split("\n"))
    os.write(descriptor, lines.encode())


def leave(code: int) -> NoReturn:
    """End the process at once, from any thread or signal handler."""
    os._exit(code)
