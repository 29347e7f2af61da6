"""Start the stock manager with shorter scheduler ticks; nothing else is changed.

26.9.6 hard-codes how often it looks at its sessions: every 2 s when something is marked as changed, every 60 s in
any case; a session needs four such looks to get to RUNNING.  Deployments (5 s, 60 s) stay as they are: nobody here
waits for one.
"""

from __future__ import annotations

import os
from typing import Any

from ai.backend.manager.server import main
from ai.backend.manager.sokovan.scheduler.coordinator import SchedulerTaskSpec

SHORT = float(os.environ.get("CLUSTER_TICK", "0.5"))  # seconds
LONG = 10.0  # seconds
_stock_init = SchedulerTaskSpec.__init__


def _init(self: Any, *args: Any, **kwargs: Any) -> None:
    _stock_init(self, *args, **kwargs)
    changes = {"long_interval": min(self.long_interval, LONG), "initial_delay": min(self.initial_delay, LONG)}
    if self.short_interval is not None:
        changes["short_interval"] = min(self.short_interval, SHORT)
    for name, value in changes.items():
        object.__setattr__(self, name, value)  # it is frozen


SchedulerTaskSpec.__init__ = _init

if __name__ == "__main__":
    main()
