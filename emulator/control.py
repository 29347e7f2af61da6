"""`/_emulator/…`: what another process may ask of a running emulator. Unsigned, loopback only.

POST /_emulator/faults takes the keywords of `Fault`, or {"cluster": {...}} with those of `ClusterFaults`;
DELETE takes all orders back.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from emulator.cluster.models import ClusterFaults, Session
from emulator.http import Request, Response, Route, json_response

if TYPE_CHECKING:
    from emulator.standin import StandIn


def routes(standin: StandIn) -> list[Route]:
    """The table, bound to one stand-in."""

    def order(request: Request) -> Response:
        asked = request.json() or {}
        switches = asked.pop("cluster", {})
        known = {field.name for field in fields(ClusterFaults)}
        try:
            if unknown := set(switches) - known:
                raise TypeError(f"no such fault of the cluster: {', '.join(sorted(unknown))}")
            for name, value in switches.items():
                setattr(standin.cluster.faults, name, value)
            if asked:
                standin.faults.add(**asked)
        except (TypeError, ValueError) as error:
            return json_response({"error": str(error)}, 400)
        return json_response({})

    def clear(_request: Request) -> Response:
        standin.faults.clear()
        standin.cluster.faults = ClusterFaults()
        return json_response({})

    def requests(_request: Request) -> Response:
        seen = {"cluster": standin.cluster.requests, "hub": standin.hub_requests}
        return json_response(
            {name: [dict(zip(("method", "path", "status"), r, strict=True)) for r in log] for name, log in seen.items()}
        )

    def sessions(_request: Request) -> Response:
        return json_response([_row(session) for session in standin.cluster.sessions.values()])

    def reset(_request: Request) -> Response:
        standin.reset()
        return json_response({})

    return [
        Route("POST", "/_emulator/faults", order),
        Route("DELETE", "/_emulator/faults", clear),
        Route("GET", "/_emulator/requests", requests),
        Route("GET", "/_emulator/sessions", sessions),
        Route("POST", "/_emulator/reset", reset),
    ]


def _row(session: Session) -> dict[str, object]:
    """Without the environ: it holds secrets."""
    return {
        "id": session.id,
        "name": session.name,
        "owner": session.user.access_key,
        "status": session.status,
        "result": session.result,
        "tag": session.tag,
        "command": session.command,
        "ports": {str(port): session.host_port(str(port)) for port in session.ports},
    }
