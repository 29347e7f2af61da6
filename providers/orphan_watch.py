"""Ends the provider's process when the CLI that started it is gone.

Pulumi starts the provider through a shell; a CLI that is killed with SIGKILL leaves both behind for ever.  Nobody waits
for what they do any more, and the next run finds by name what was under way.
"""

from __future__ import annotations

import os
import threading
from functools import cache
from pathlib import Path

INTERVAL = 2.0  # seconds between two looks


@cache
def watch_for_orphanhood() -> None:
    """Start watching, once a process.  Does nothing where there is no /proc."""
    ancestor = _parent(os.getppid())
    if ancestor > 1:
        threading.Thread(target=_watch, args=(ancestor,), name="orphan-watch", daemon=True).start()


def _watch(ancestor: int) -> None:
    while _parent(os.getppid()) == ancestor:
        threading.Event().wait(INTERVAL)
    os._exit(1)


def _parent(pid: int) -> int:
    """The parent of a process; 0 when there is none, or no /proc to tell."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        return int(stat.rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0
