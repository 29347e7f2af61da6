"""Whose turn it is, among all processes of this machine: there is one real cluster for all workers of a test run.

with turn("cluster"): ...                   beside others who say the same
with turn("cluster", exclusive=True): ...   alone: whoever breaks, fills or empties it
"""

from __future__ import annotations

import contextlib
import fcntl
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def turn(what: str, *, exclusive: bool = False) -> Iterator[None]:
    """Waits for it.  Not reentrant: who has a turn and wants another of the same name waits for ever."""
    with (Path(tempfile.gettempdir()) / f"backendai-vllm-tests-{what}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
