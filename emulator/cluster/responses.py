"""The handlers: read the request, ask the state, shape the answer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from pydantic import BaseModel, Field

from emulator.cluster import creation, graphql, shapes
from emulator.cluster import exceptions as errors
from emulator.cluster.models import STATUSES, Cluster, Session, User, is_uuid
from emulator.http import Request, Response, json_response

VERSION = {"version": "v9.20250722", "manager": "26.9.6"}


@dataclass(frozen=True)
class Tunnel(Response):
    """Not an answer but a WebSocket that leads to this loopback port; only the server can give it."""

    port: int = 0


@dataclass(frozen=True)
class Events(Response):
    """A stream of the events of these sessions; only the server can give it."""

    wanted: Callable[[Session], bool] = bool


@dataclass(frozen=True)
class Call:
    """A request by a user to a cluster."""

    cluster: Cluster
    request: Request
    user: User

    def body(self) -> Any:
        try:
            body = self.request.json()
        except ValueError:
            body = None
        if body is None:
            url = f"http://{self.request.headers.get('Host', '')}{self.request.target}"
            raise errors.MalformedBody(f"Malformed body - URL: {url}, Method: {self.request.method}")
        return body

    def session(self, *, permission: str = "READ: 1", ended: bool = False) -> Session:
        """The one the path names, by name or id."""
        ref = self.request.params["session"]
        return self.cluster.find(self.user, ref, permission=permission, ended=ended)

    def session_by_id(self) -> Session:
        """The one whose UUID the path has (v2)."""
        return self.cluster.by_id(self.user, str(self.asked_id()))

    def asked_id(self) -> UUID:
        return creation.parse(SessionIdPathParam, {"session_id": self.request.params["session"]}).session_id


class SessionIdPathParam(BaseModel):
    session_id: UUID


class UpdateSessionInput(BaseModel):
    name: str | None = Field(default=None, min_length=1, max_length=64)
    tag: str | None = Field(default=None, max_length=64)


class StreamProxyRequest(BaseModel):
    app: str


def hello(_call: Call) -> Response:
    return json_response(VERSION)


def create(call: Call) -> Response:
    session, new, status = creation.create(call.cluster, call.user, call.body())
    return json_response(shapes.created(session, new, status), 201)


def info(call: Call) -> Response:
    return json_response(shapes.v1_info(call.cluster, call.session()))


def destroy(call: Call) -> Response:
    session = call.session(permission="SOFT_DELETE: 8", ended=True)
    forced = call.request.query.get("forced", "").lower() in ("true", "1", "yes")
    status = call.cluster.destroy(session, forced=forced)
    return json_response({"stats": {"status": status} if status else {}})


def restart(_call: Call) -> Response:
    raise errors.RestartNotImplemented


def logs(call: Call) -> Response:
    return json_response({"result": {"logs": _log(call, call.session(ended=True))}})


def v2_logs(call: Call) -> Response:
    return json_response({"logs": _log(call, call.session_by_id())})


def _log(call: Call, session: Session) -> str:
    if not session.scheduled:
        kernel = session.kernel_id if session.terminal else None
        raise errors.AgentNotFound("Kernel has not been assigned to an agent.", {"kernel_id": kernel})
    if not session.terminal:
        call.cluster.ask_agent()
        if session.starts_at is None:
            raise errors.InternalError
    return session.log.decode(errors="replace")


def v2_get(call: Call) -> Response:
    return json_response(shapes.v2_node(_known(call)))


def _known(call: Call) -> Session:
    """These two say "not found" in words of their own."""
    try:
        return call.session_by_id()
    except errors.SessionNotFound:
        raise errors.SessionNotFound(f"Session not found: {call.request.params['session']}") from None


def v2_update(call: Call) -> Response:
    session, asked = _known(call), creation.parse(UpdateSessionInput, call.body())
    if asked.name is not None:
        call.cluster.rename(session, asked.name)
    return json_response({"session": shapes.v2_node(session)})


def v2_my_search(call: Call) -> Response:
    return _search(call, lambda session: session.user == call.user)


def v2_search(call: Call) -> Response:
    _superadmin(call)
    return _search(call, lambda _session: True)


def _search(call: Call, visible: Callable[[Session], bool]) -> Response:
    body = call.body()
    wanted = body.get("filter") or {}
    fields: dict[str, Callable[[Session], str | None]] = {
        "id": lambda s: s.id,
        "name": lambda s: s.name,
        "status": lambda s: s.status,
        "tag": lambda s: s.tag,
    }
    if unknown := set(wanted) - set(fields):
        raise errors.BadRequest(f"the emulator doesn't filter by {', '.join(sorted(unknown))}")
    for asked in (wanted.get("status") or {}).values():
        if unknown := {asked} - STATUSES if isinstance(asked, str) else set(asked) - STATUSES:
            raise errors.InvalidRequest(f"filter.status: {sorted(unknown)}: no session status")
    found = [
        session
        for session in reversed(list(call.cluster.sessions.values()))
        if visible(session) and all(_fits(fields[f](session) or "", test) for f, test in wanted.items())
    ]
    return json_response(shapes.search_page(found, body.get("limit"), body.get("offset") or 0))


OPERATORS: dict[str, Callable[[str, Any], bool]] = {
    "equals": lambda value, asked: value == asked,
    "not_equals": lambda value, asked: value != asked,
    "i_equals": lambda value, asked: value.lower() == asked.lower(),
    "contains": lambda value, asked: asked in value,
    "starts_with": lambda value, asked: value.startswith(asked),
    "ends_with": lambda value, asked: value.endswith(asked),
    "in": lambda value, asked: value in asked,
    "not_in": lambda value, asked: value not in asked,
}


def _fits(value: str, test: dict[str, Any]) -> bool:
    """Operators nobody knows are ignored, as in the real one."""
    return all(OPERATORS[name](value, asked) for name, asked in test.items() if name in OPERATORS)


def _superadmin(call: Call) -> None:
    if not call.user.superadmin:
        raise errors.Forbidden("Insufficient privileges")


def history(call: Call) -> Response:
    _superadmin(call)
    body = call.body()
    wanted = ((body.get("filter") or {}).get("session_id") or {}).get("equals")
    entries = [e for s in call.cluster.sessions.values() if wanted in (None, s.id) for e in s.history]
    offset, limit = body.get("offset") or 0, body.get("limit") or 50
    page = {"total": len(entries), "offset": offset, "limit": limit}
    return json_response({"items": entries[offset:][:limit], "pagination": page})


def gql(call: Call) -> Response:
    return json_response(graphql.execute(call.cluster, call.user, call.body()))


def apps(call: Call) -> Response:
    ports = _running(call).service_ports or []
    return json_response([{"name": p["name"], "protocol": p["protocol"], "ports": p["container_ports"]} for p in ports])


def _running(call: Call) -> Session:
    session = call.session()
    if session.status != "RUNNING":
        raise errors.SessionNotFound(f"Running session {session.id} does not exist.")
    return session


def tcpproxy(call: Call) -> Response:
    app = creation.parse(StreamProxyRequest, dict(call.request.query)).app
    session = _running(call)
    port = session.host_port(app)
    if port is None:
        raise errors.AppNotFound(f"{session.name}:{app}")
    if call.request.headers.get("Upgrade", "").lower() != "websocket":
        raise errors.BadRequest
    return Tunnel(port=port)


def start_service(call: Call) -> Response:
    return _start_service(call, call.request.params["session"])


def v2_start_service(call: Call) -> Response:
    return _start_service(call, str(call.asked_id()))


def _start_service(call: Call, ref: str) -> Response:
    """By id any member of the project may, for another right is asked than for all else."""
    owner = call.cluster.sessions[ref].user if ref in call.cluster.sessions else call.user
    session = call.cluster.find(owner, ref, permission="CREATE: 4")
    body = call.body()
    app = creation.parse(StreamProxyRequest, {"app": body.get("service"), **body}).app
    port = session.host_port(app)
    if port is None:
        raise errors.AppNotFound(f"{session.name}:{app}")
    if not call.cluster.settings.app_proxy:
        raise errors.AppProxyUnavailable
    token = str(uuid4())
    call.cluster.app_tokens[token] = port
    return json_response({"token": token, "wsproxy_addr": call.cluster.settings.app_proxy})


def events(call: Call) -> Response:
    """From now on, no replay. A superadmin's stream carries everybody's sessions."""
    name, wanted = call.request.query.get("sessionName", "*"), call.request.query.get("sessionId")
    if name != "*" and not is_uuid(name):
        wanted = call.cluster.find(call.user, name).id

    def fits(session: Session) -> bool:
        mine = call.user.superadmin or session.user == call.user
        return mine and wanted in (None, session.id)

    return Events(wanted=fits)
