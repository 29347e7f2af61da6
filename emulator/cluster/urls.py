"""The manager's API: method, path, handler. `write` marks what changes the cluster."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from emulator.cluster import capacity as c
from emulator.cluster import exceptions as errors
from emulator.cluster import responses as r
from emulator.cluster.auth import authenticate
from emulator.cluster.models import Cluster, Policy, User
from emulator.http import Handler, Request, Response, Route, dispatch


class Line(NamedTuple):
    method: str
    pattern: str
    handler: Callable[[r.Call], Response]
    write: bool = False
    public: bool = False


TABLE = (
    Line("GET", "/", r.hello, public=True),
    Line("POST", "/session", r.create, write=True),
    Line("POST", "/session/_/create", r.create, write=True),
    Line("GET", "/session/{session}", r.info),
    Line("PATCH", "/session/{session}", r.restart, write=True),
    Line("DELETE", "/session/{session}", r.destroy, write=True),
    Line("GET", "/session/{session}/logs", r.logs),
    Line("POST", "/session/{session}/start-service", r.start_service, write=True),
    Line("POST", "/v2/sessions/compute-schedule", c.compute_schedule),
    Line("POST", "/v2/sessions/my/search", r.v2_my_search),
    Line("POST", "/v2/sessions/search", r.v2_search),
    Line("GET", "/v2/sessions/{session}", r.v2_get),
    Line("PATCH", "/v2/sessions/{session}", r.v2_update, write=True),
    Line("GET", "/v2/sessions/{session}/logs", r.v2_logs),
    Line("POST", "/v2/sessions/{session}/services/start", r.v2_start_service, write=True),
    Line("POST", "/scheduling-history/sessions/search", r.history),
    Line("POST", "/resource/check-presets", c.check_presets),
    Line("POST", "/v2/resource-groups/scoped/search", c.resource_groups),
    Line("GET", "/v2/domains/{domain}", c.domain),
    Line("GET", "/folders", c.folders),
    Line("POST", "/admin/gql", r.gql),
    Line("GET", "/stream/session/{session}/apps", r.apps),
    Line("GET", "/stream/session/{session}/tcpproxy", r.tcpproxy),
    Line("GET", "/events/session", r.events),
)

HEADERS = {
    "Server": "BackendAI",
    "X-RateLimit-Limit": "30000",
    "X-RateLimit-Remaining": "29999",
    "X-RateLimit-Reset": "900",
    "X-RateLimit-Window": "900",
}
NOBODY = User("", "", "", "", superadmin=False, policy=Policy("none"))


def routes(cluster: Cluster) -> list[Route]:
    """The table bound to one cluster: authentication before, problem documents after each handler."""
    return [Route(line.method, line.pattern, _bound(cluster, line)) for line in TABLE]


def answer(bound: list[Route], request: Request) -> Response:
    """One request to the manager."""
    response = dispatch(bound, request, _missing)
    return replace(response, headers={**HEADERS, **response.headers})


def _bound(cluster: Cluster, line: Line) -> Handler:
    def handle(request: Request) -> Response:
        try:
            user = NOBODY if line.public else authenticate(request, cluster.users, cluster.now())
            if line.write:
                with cluster.changed:
                    cluster.writes += 1
            return line.handler(r.Call(cluster, request, user))
        except errors.Problem as problem:
            return problem.response()

    return handle


def _missing(request: Request, allowed: list[str]) -> Response:
    problem = errors.MethodNotAllowed() if allowed else errors.UrlNotFound(data=request.path)
    return problem.response()
