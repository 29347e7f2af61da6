"""The app-proxy, on a loopback port of its own: a token becomes a circuit, a circuit is a URL with a cookie.

GET /v2/proxy/auth?token&session_id&app&protocol[&open_to_public=true]   {"redirect_url", "reuse"}; 308 without JSON
GET /setup?token                                                        302 to the circuit, with its cookie

A circuit is another loopback port that relays to the port the session's app is published on.  The same session, app,
protocol and openness get the same circuit again, and it stays when the session has ended: 502 from then on.
"""

import secrets
import socket
from dataclasses import dataclass, field

from aiohttp import ClientError, ClientSession, ClientTimeout, web

from emulator.aiohttp_faults import WHOLE, Handler, Spoiled
from emulator.cluster.exceptions import problem_response
from emulator.cluster.models import Cluster, is_uuid
from emulator.faults import Faults

COOKIE = "appproxy_permit"
COOKIE_SECONDS = 7 * 24 * 3600
CHUNK = 64 * 1024  # bytes
# Headers that are about one connection; both sides have their own.
HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
HEADERS = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "authorization"}
ASKED = ("token", "session_id", "app", "protocol")


@dataclass(frozen=True)
class Key:
    """What makes two requests for a circuit the same."""

    session_id: str
    app: str
    protocol: str
    public: bool


@dataclass
class Circuit:
    """One URL. `target` is the loopback port it leads to."""

    key: Key
    target: int
    url: str = ""
    setup_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    permit: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)


class AppProxy:
    """Coordinator and worker in one; lives in the server's event loop.  `requests`: (method, path, status)."""

    def __init__(self, cluster: Cluster, faults: Faults, host: str) -> None:
        self._cluster, self._faults, self._host = cluster, faults, host
        self.requests: list[tuple[str, str, int]] = []
        self._circuits: dict[Key, Circuit] = {}
        self._runners: dict[int, web.AppRunner] = {}  # by port
        self._http: ClientSession

    async def start(self, sock: socket.socket) -> None:
        """Serve the coordinator on this socket."""
        self._http = ClientSession(auto_decompress=False, timeout=ClientTimeout(total=None))
        app = web.Application()
        app.router.add_get("/v2/proxy/auth", self._spoiled(self._auth))
        app.router.add_get("/setup", self._spoiled(self._setup))
        app.router.add_route("*", "/{path:.*}", _unknown)
        await self._serve(app, sock)

    async def close(self) -> None:
        for runner in self._runners.values():
            await runner.cleanup()
        await self._http.close()

    async def hang_up(self) -> None:
        """Nobody listens at any of its addresses, until `listen`."""
        for runner in self._runners.values():
            for site in tuple(runner.sites):
                await site.stop()

    async def listen(self) -> None:
        """All addresses are served again; fine when they are."""
        for port, runner in self._runners.items():
            if not runner.sites:
                await web.TCPSite(runner, self._host, port, reuse_address=True).start()

    def _spoiled(self, handler: Handler) -> Handler:
        return Spoiled(handler, self._faults, self.requests, self.hang_up).handle

    async def _serve(self, app: web.Application, sock: socket.socket) -> None:
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
        await runner.setup()
        await web.SockSite(runner, sock).start()
        self._runners[sock.getsockname()[1]] = runner

    async def _auth(self, request: web.Request) -> web.Response:
        wrong = [name for name in ASKED if name not in request.query]
        if not wrong and not is_uuid(request.query["session_id"]):
            wrong = ["session_id"]
        if wrong:
            return _invalid(wrong)
        query = request.query
        if not is_uuid(query["token"]):
            return _failed()
        target = self._cluster.app_tokens.get(query["token"])
        if target is None:
            return _problem(404, "object-not-found", "E00002: No such token.", "read_not-found")
        public = query.get("open_to_public", "").lower() in ("true", "1", "yes")
        key = Key(query["session_id"], query["app"], query["protocol"], public)
        reuse = key in self._circuits
        if not reuse:
            self._circuits[key] = Circuit(key, target)
            await self._open(self._circuits[key])
        base = f"http://{request.headers['Host']}"
        redirect = f"{base}/setup?token={self._circuits[key].setup_token}"
        if "application/json" not in request.headers.get("Accept", ""):
            raise web.HTTPPermanentRedirect(redirect)
        return web.json_response({"redirect_url": redirect, "reuse": reuse})

    async def _setup(self, request: web.Request) -> web.Response:
        token = request.query.get("token", "")
        circuit = next((c for c in self._circuits.values() if c.setup_token == token), None)
        if circuit is None:
            return _failed()
        answer = web.Response(status=302, text="302: Found", headers={"Location": circuit.url})
        answer.set_cookie(COOKIE, circuit.permit, max_age=COOKIE_SECONDS, httponly=True, samesite="Lax")
        return answer

    async def _open(self, circuit: Circuit) -> None:
        sock = socket.socket()
        sock.bind((self._host, 0))
        circuit.url = f"http://{self._host}:{sock.getsockname()[1]}"

        async def handle(request: web.Request) -> web.StreamResponse:
            permit = request.cookies.get(COOKIE)
            if permit is None and not circuit.key.public:
                return _refused("E20004: Authorization cookie not provided")
            if permit != circuit.permit and not circuit.key.public:
                return _refused("E20005: Invalid authorization cookie")
            return await self._relay(request, circuit)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._spoiled(handle))
        await self._serve(app, sock)

    def _nobody(self, circuit: Circuit) -> web.Response:
        """While the session lives, its port is open and only then it turns out that nobody listens behind it."""
        session = self._cluster.sessions.get(circuit.key.session_id)
        if session and not session.terminal:
            return web.Response(status=500, text="500 Internal Server Error\n\nServer got itself in trouble")
        text = "<!DOCTYPE html><html><body>Bad Gateway</body></html>"
        return web.Response(status=502, text=text, content_type="text/html", headers=HEADERS)

    async def _relay(self, request: web.Request, circuit: Circuit) -> web.StreamResponse:
        """There and back, piece by piece."""
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        headers |= {"X-Forwarded-Host": request.host, "X-Forwarded-Proto": "http", "X-Forwarded-For": "127.0.0.1"}
        url = f"http://127.0.0.1:{circuit.target}{request.raw_path}"
        body = request.content.iter_chunked(CHUNK) if request.can_read_body else None
        try:
            incoming = await self._http.request(request.method, url, headers=headers, data=body, allow_redirects=False)
        except (ClientError, OSError):
            return self._nobody(circuit)
        async with incoming:
            kept = {name: value for name, value in incoming.headers.items() if name.lower() not in HOP_BY_HOP}
            if request.get(WHOLE):
                return web.Response(status=incoming.status, headers={**kept, **HEADERS}, body=await incoming.read())
            answer = web.StreamResponse(status=incoming.status, reason=incoming.reason, headers={**kept, **HEADERS})
            await answer.prepare(request)
            try:
                async for piece in incoming.content.iter_any():
                    await answer.write(piece)
            except (ClientError, ConnectionError):  # the app broke off: so do we, half an answer must not look whole
                if request.transport:
                    request.transport.abort()
            return answer


async def _unknown(request: web.Request) -> web.Response:
    return _problem(404, "url-not-found", "Unknown URL path.", "request_not-found", data=request.path)


def _problem(
    status: int, kind: str, title: str, error_code: str, *, msg: str | None = None, data: object = None
) -> web.Response:
    texts = {"title": title, "error_code": f"agent_{error_code}", "msg": msg, "data": data}
    made = problem_response(status, kind, texts)
    return web.Response(status=made.status, body=made.body, headers={**made.headers, **HEADERS})


def _failed() -> web.Response:
    return _problem(500, "internal-server-error", "Internal server error.", "generic_internal-error")


def _invalid(names: list[str]) -> web.Response:
    errors = {"errors": [{"type": "missing", "loc": [name], "msg": "Field required"} for name in names]}
    title, code = "Missing or invalid API parameters.", "request_invalid-parameters"
    return _problem(400, "invalid-api-params", title, code, msg="Input validation error", data=errors)


def _refused(msg: str) -> web.Response:
    return _problem(401, "invalid-credentials", "Authentication credentials not valid.", "auth_unauthorized", msg=msg)
