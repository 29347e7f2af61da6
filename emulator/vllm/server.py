"""Sockets: routes, API key and SSE over http.server; one thread a connection.

Bound at the start, but listening only when the model is ready: until then a client is refused.
"""

import hmac
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from emulator.vllm.api import Api
from emulator.vllm.bodies import ApiError, Body, invalid, problem
from emulator.vllm.journal import API, Refusal, raw

_JSON = "application/json"
_PORT_VARIABLE = "EMULATOR_PORT_"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_GUARDED = ("/v1", "/v2", "/inference", "/cohere")
_NOT_FOUND = {"detail": "Not Found"}


class Answer(NamedTuple):
    status: int = 200
    body: bytes = b""
    content_type: str | None = _JSON


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    api: Api
    keys: tuple[bytes, ...]
    access_log: bool

    def server_bind(self) -> None:
        """Bind only: the base class would also look its own name up, which can take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.socket.getsockname()[:2]


def address(host: str | None, port: int, environ: Mapping[str, str] = os.environ) -> tuple[str, int]:
    """Where to listen. Inside a session of the emulator its port stands for the container's.

    There, a port that the container does not expose, or a server on the container's own loopback,
    is up but nobody outside can reach it: any free port will do.
    """
    if not any(name.startswith(_PORT_VARIABLE) for name in environ):
        return host or "", port
    mapped = environ.get(f"{_PORT_VARIABLE}{port}")
    if mapped is None or host in _LOOPBACK:
        return "127.0.0.1", 0
    return "127.0.0.1", int(mapped)


def bind(host: str | None, port: int) -> _Server:
    """Take the port without listening; Refusal when it cannot be had."""
    where = address(host, port)
    server = _Server(where, _Handler, bind_and_activate=False)
    try:
        server.server_bind()
    except OverflowError as error:
        raise Refusal("OverflowError", "bind(): port must be 0-65535.") from error
    except OSError as error:
        raise Refusal("OSError", str(error)) from error
    return server


def listen(server: _Server, api: Api, *, access_log: bool) -> None:
    """Open the doors. The flag --api-key replaces VLLM_API_KEY; empty keys count as none."""
    keys = api.api_keys(os.environ.get("VLLM_API_KEY"))
    server.api, server.keys, server.access_log = api, tuple(key.encode() for key in keys), access_log
    server.server_activate()


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _json(value: Any, status: int = 200) -> Answer:
    return Answer(status, _dump(value))


def _empty(api: Api, body: Body) -> Answer:
    return Answer(503 if api.dead else 200, b"", None)


def _metrics(api: Api, body: Body) -> Answer:
    return Answer(200, api.counters.text().encode(), "text/plain; version=1.0.0; charset=utf-8")


def _inference(call: Callable[[Api, Body], Body | Iterator[Body]]) -> "_Route":
    def run(api: Api, body: Body) -> Answer | Iterator[Body]:
        answer = call(api, body)
        return _json(answer) if isinstance(answer, dict) else answer

    return run


_Route = Callable[[Api, Body], Answer | Iterator[Body]]

_ROUTES: dict[tuple[str, str], _Route] = {
    ("GET", "/health"): _empty,
    ("GET", "/ping"): _empty,
    ("POST", "/ping"): _empty,
    ("GET", "/load"): lambda api, body: _json({"server_load": 0}),
    ("GET", "/version"): lambda api, body: _json({"version": api.version}),
    ("GET", "/metrics"): _metrics,
    ("GET", "/v1/models"): lambda api, body: _json(api.models()),
    ("POST", "/v1/completions"): _inference(Api.complete),
    ("POST", "/v1/chat/completions"): _inference(Api.chat),
    ("POST", "/invocations"): _inference(Api.invoke),
    ("POST", "/_standin/serve"): lambda api, body: _json(api.serve(body)),
    ("POST", "/tokenize"): lambda api, body: _json(api.tokenize(body)),
    ("POST", "/detokenize"): lambda api, body: _json(api.detokenize(body)),
}
_PATHS = {path for _, path in _ROUTES}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    disable_nagle_algorithm = True
    server: _Server

    def version_string(self) -> str:
        return "uvicorn"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        if self.server.access_log:
            phrase = HTTPStatus(int(code)).phrase
            host, port = self.client_address[:2]
            raw(API, f'INFO:     {host}:{port} - "{self.requestline}" {int(code)} {phrase}')

    def log_error(self, format: str, *args: Any) -> None:  # the base class's name for it
        """uvicorn says nothing of clients that go away."""

    def _any(self) -> None:
        content = self._read()
        try:
            answer = self._answer(content)
        except ApiError as error:
            answer = _json(error.body, error.status)
        if isinstance(answer, Answer):
            self._send(answer)
        else:
            self._send_events(answer)

    do_GET = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_HEAD = do_PATCH = _any

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, content: bytes) -> Answer | Iterator[Body]:
        path = self.path.split("?")[0]
        if not self._allowed(path):
            return _json({"error": "Unauthorized"}, 401)
        if path not in _PATHS:
            found = path.endswith("/") and path[:-1] in _PATHS
            return Answer(307, b"", None) if found else _json(_NOT_FOUND, 404)
        route = _ROUTES.get((self.command, path))
        if route is None:
            return _json({"detail": "Method Not Allowed"}, 405)
        return route(self.server.api, self._body(content) if self.command == "POST" and path != "/ping" else {})

    def _allowed(self, path: str) -> bool:
        """The key guards some prefixes only, and never OPTIONS."""
        if not self.server.keys or self.command == "OPTIONS" or not path.startswith(_GUARDED):
            return True
        scheme, _, given = self.headers.get("Authorization", "").partition(" ")
        known = [hmac.compare_digest(given.encode(), key) for key in self.server.keys]
        return scheme.lower() == "bearer" and any(known)

    def _body(self, content: bytes) -> Body:
        if self.headers.get("Content-Type", "").split(";")[0].strip().lower() != _JSON:
            text = "1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed"
            raise ApiError(400, "Bad Request", text)
        try:
            body = json.loads(content) if content else None
        except json.JSONDecodeError as error:
            where, more = f"body.{error.pos}", {"ctx": {"error": error.msg}}
            raise invalid(problem("json_invalid", where, "JSON decode error", {}, **more)) from error
        if body is None:
            raise invalid(problem("missing", "body", "Field required", None))
        if not isinstance(body, dict):
            text = "Input should be a valid dictionary or object to extract fields from"
            raise invalid(problem("model_attributes_type", "body", text, body))
        return body

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(answer.body)))
        if answer.content_type:
            self.send_header("Content-Type", answer.content_type)
        if answer.status == HTTPStatus.TEMPORARY_REDIRECT:
            path, question, rest = self.path.partition("?")
            self.send_header("Location", f"http://{self.headers.get('Host')}{path[:-1]}{question}{rest}")
        if answer.status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", ", ".join(m for m, path in _ROUTES if path == self.path.split("?")[0]))
        if answer.status != HTTPStatus.UNAUTHORIZED:
            self.send_header("Vary", "Origin")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _send_events(self, events: Iterator[Body]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Vary", "Origin")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for event in events:
                self._send_event(_dump(event))
            self._send_event(b"[DONE]")
            self.wfile.write(b"0\r\n\r\n")
        except ConnectionError:
            self.close_connection = True
        finally:
            events.close()  # type: ignore[attr-defined]  # a generator: its counters are put right at once

    def _send_event(self, data: bytes) -> None:
        chunk = b"data: " + data + b"\n\n"
        self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        self.wfile.flush()
