"""Faults on the wire that a test orders: of the next matching requests, which are answered wrongly, and how.

    emu.faults.add(method="POST", path=r"^/session$", when="after", action="reset")

`when` "after": the server has acted, but its answer is lost or changed; "before": it never heard of it.
Actions: status (`status`, `error_code`, `body`, `headers`), html (a proxy's error page), slow (`delay`
seconds), reset (the connection breaks), timeout (silence for `delay` seconds, for ever by default), truncate
(half a body), last (a true answer, and after it nobody listens any more: `Emulator.listen()`; server only).

`session` picks the requests that are about one session, by its name, whose id no test knows beforehand.
`taken` counts how often an order was carried out.
"""

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from emulator.cluster.exceptions import problem_response
from emulator.http import Request, Response

ACTIONS = ("status", "html", "slow", "reset", "timeout", "truncate", "last")
FOREVER = 86400.0  # seconds
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
HTML = b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>nginx</body>\r\n</html>\r\n"


class Cut(Exception):
    """The connection ends without a whole answer: `how` is reset, timeout, truncate or last."""

    def __init__(self, how: str, delay: float, response: Response) -> None:
        super().__init__(how)
        self.how, self.delay, self.response = how, delay, response


@dataclass
class Fault:
    """One order. Skips the first `skip` matching requests, then spoils `times` of them (-1: all)."""

    action: str
    method: str = "*"
    path: str = ""  # regular expression, searched in the path without its query
    when: str = "before"
    status: int = 0  # 0: 500 for action status, 502 for html
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    error_code: str = "backendai_generic_internal-error"
    delay: float = 0.0
    times: int = 1
    skip: int = 0
    service: str = "cluster"  # or hub, app-proxy
    session: str = ""  # regular expression, searched in the name of the session that the request is about
    taken: int = 0

    def __post_init__(self) -> None:
        if self.action not in ACTIONS or self.when not in ("before", "after"):
            raise ValueError(f"{self.action}/{self.when} is no fault: {', '.join(ACTIONS)}; before, after")

    def fits(self, service: str, request: Request, session: Callable[[], str]) -> bool:
        """`session` tells the name of the session that the request is about; asked only when it matters."""
        return (
            self.times != 0
            and self.service == service
            and self.method in ("*", request.method)
            and re.search(self.path, request.path) is not None
            and (not self.session or re.search(self.session, session()) is not None)
        )

    def spoil(self, act: Callable[[], Response]) -> Response:
        """The answer to give instead of `act()`'s. Raises Cut when there is none."""
        if self.action == "slow" and self.when == "before":
            time.sleep(self.delay)
        acts = self.when == "after" or self.action in ("slow", "last")
        real = act() if acts else self._answer()
        if self.action == "slow":
            if self.when == "after":
                time.sleep(self.delay)
            return real
        if self.action in ("reset", "timeout", "truncate", "last"):
            raise Cut(self.action, self.delay or FOREVER, real)
        return self._answer()

    def _answer(self) -> Response:
        if self.action == "html":
            return Response(self.status or 502, {"Content-Type": "text/html", **self.headers}, self._body(HTML))
        texts = {"title": "Ordered by a test.", "error_code": self.error_code}
        made = problem_response(self.status or 500, "emulated", texts)
        return Response(made.status, {**made.headers, **self.headers}, self._body(made.body))

    def _body(self, default: bytes) -> bytes:
        return default if self.body is None else self.body.encode()


class Faults:
    """The orders, first come, first served.  `name_of`: the name of the session with this id, "" for none."""

    def __init__(self, name_of: Callable[[str], str] = lambda _id: "") -> None:
        self._name_of = name_of
        self._lock = threading.Lock()
        self._orders: list[Fault] = []

    def add(self, **order: Any) -> Fault:
        """See Fault for the keywords. Raises TypeError or ValueError when it is none."""
        fault = Fault(**order)
        with self._lock:
            self._orders.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._orders.clear()

    def take(self, service: str, request: Request) -> Fault | None:
        """The order this request falls under, counted."""
        with self._lock:
            for fault in self._orders:
                if not fault.fits(service, request, lambda: self._session(request)):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                fault.taken += 1
                return fault
        return None

    def _session(self, request: Request) -> str:
        """The name of the session that a request is about: by the id in its path, else by what its body says."""
        if found := UUID.search(request.path):
            return self._name_of(found[0])
        try:
            body = request.json()
        except ValueError:
            return ""
        if not isinstance(body, dict):
            return ""
        if id_ := (body.get("variables") or {}).get("id"):
            return self._name_of(str(id_))
        wanted = (body.get("filter") or {}).get("name") or {}
        return str(body.get("name") or wanted.get("equals") or "")
