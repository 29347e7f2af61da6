"""More calls at once than the four of Pulumi's dynamic provider.

Our calls mostly wait for the cluster, and deletes wait longest: four at once would end twelve sessions in three times
the time of one.  Pulumi has no setting for it, so this widens the executor whose thread runs the current call.  Where
that one looks different from today's, nothing happens, and there are four.
"""

from __future__ import annotations

import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

AT_ONCE = 16  # calls; each is a conversation with the manager


def widen(at_once: int = AT_ONCE) -> int:
    """How many calls run at once from now on; 0 when that isn't known.  Call it from within a call."""
    args = getattr(threading.current_thread(), "_args", None)
    reference = args[0] if isinstance(args, tuple) and args else None
    pool = reference() if isinstance(reference, weakref.ref) else None
    threads = getattr(pool, "_max_workers", None)
    if not isinstance(pool, ThreadPoolExecutor) or not isinstance(threads, int):
        return 0
    if threads < at_once:
        vars(pool)["_max_workers"] = at_once
        for _ in range(at_once - threads):
            pool.submit(int)  # begins a thread, which takes the calls that wait already
    return max(threads, at_once)
