"""The stand-in without a network: cluster, Hub and faults behind one function a service.

`emulator.server` puts it on two loopback ports, `emulator.mount` behind `requests`.
"""

import json
import logging
import urllib.request
from collections.abc import Callable

from emulator.cluster import exceptions, fixtures, urls
from emulator.cluster.models import Cluster
from emulator.cluster.scheduler import Scheduler
from emulator.control import routes as control_routes
from emulator.faults import Faults
from emulator.http import Request, Response, dispatch
from emulator.hub.urls import ROUTES

log = logging.getLogger("emulator")
Answer = Callable[[Request], Response]
CUT = 0  # the status in the request log of an answer that never came


class StandIn:
    """Times are in seconds: `load_seconds` of the vLLM stand-in, `start_seconds` from PENDING to RUNNING.

    `requests` of the Hub are in `hub_requests`, the cluster's in `cluster.requests`: (method, path, status).
    """

    def __init__(
        self, *, load_seconds: float | None = None, start_seconds: float = 0.3, gpu_slot: str = "cuda.device"
    ) -> None:
        settings = fixtures.settings(gpu_slot, load_seconds, start_seconds)
        self.cluster = Cluster(settings, fixtures.USERS, fixtures.IMAGES)
        self.faults = Faults(self._session_name)
        self.hub_requests: list[tuple[str, str, int]] = []
        self._manager = urls.routes(self.cluster)
        self._control = control_routes(self)
        Scheduler(self.cluster).start()

    def answer_cluster(self, request: Request) -> Response:
        """Raises Cut when a fault ends the connection."""
        if request.path.startswith("/_emulator/"):
            return dispatch(self._control, request)
        return self._answer("cluster", request, lambda r: urls.answer(self._manager, r), self.cluster.requests)

    def answer_hub(self, request: Request) -> Response:
        """Raises Cut when a fault ends the connection."""
        return self._answer("hub", request, lambda r: dispatch(ROUTES, r), self.hub_requests)

    def _answer(self, service: str, request: Request, act: Answer, seen: list[tuple[str, str, int]]) -> Response:
        fault = self.faults.take(service, request)
        status = CUT
        try:
            response = fault.spoil(lambda: _guarded(act, request)) if fault else _guarded(act, request)
            status = response.status
            return response
        finally:
            seen.append((request.method, request.path, status))
            log.info("%s %s %s %d", service, request.method, request.path, status)

    def _session_name(self, session_id: str) -> str:
        session = self.cluster.sessions.get(session_id)
        return session.name if session else ""

    def serve(self, session_id: str, *, port: int = 8000, **what: object) -> None:
        """From now on the session's vLLM serves these `names`, this `max_model_len`, as after a restart."""
        found = self.cluster.sessions[session_id].host_port(str(port))
        url, head = f"http://127.0.0.1:{found}/_standin/serve", {"Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(url, json.dumps(what).encode(), head), timeout=5).close()

    def reset(self) -> None:
        """As new: no sessions, no faults, an empty log."""
        self.faults.clear()
        self.cluster.reset()
        self.hub_requests.clear()

    def close(self) -> None:
        """End all session processes."""
        self.cluster.close()


def _guarded(act: Answer, request: Request) -> Response:
    try:
        return act(request)
    except Exception:
        log.exception("the emulator failed at %s %s", request.method, request.path)
        return exceptions.InternalError().response()
