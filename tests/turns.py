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
    path = Path(tempfile.gettempdir()) / f"backendai-vllm-tests-{what}.lock"
    how = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    with path.with_suffix(".gate").open("w") as gate, path.open("w") as file:
        # Locks know no queue: without the gate, those who come and go beside others would keep out a lone one.
        fcntl.flock(gate, how)
        fcntl.flock(file, how)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield
