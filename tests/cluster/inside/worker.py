"""Start the stock app-proxy worker, with its debugging shell on loopback (26.9.6 hard-codes all interfaces)."""

from __future__ import annotations

from typing import Any

import aiomonitor


class _LoopbackMonitor(aiomonitor.Monitor):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "host": "127.0.0.1"})


aiomonitor.Monitor = _LoopbackMonitor

from ai.backend.appproxy.worker.server import main  # noqa: E402  # it looks the monitor up when it is imported

if __name__ == "__main__":
    main()
