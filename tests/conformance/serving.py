"""One long-running session with a small HTTP server on its port 8000: what it is asked for comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from backendai import Api, sessions

from .beds import AT_8000, RUNNING, Bed, Place, laid_on

ENVIRON = {"GREETING": 'good morning, "world" ü', "EMPTY": ""}
RESOURCES = {"cpu": "2", "mem": "512m", "cuda.device": "1"}
FOLDER, FOLDER_PATH = "llm-model", "/home/work/models"
TAG = "bai-vllm:conformance:serving"
PIECES, PAUSE = 4, 0.3  # of /stream; seconds

# GET /stream: PIECES pieces, PAUSE seconds apart.  Any other GET: its path and headers.  POST: 418 and what was sent.
_SERVER = f"""
import http.server, os, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        if self.path == '/stream':
            return self.stream()
        self.reply(200, (self.path + chr(10) + str(self.headers)).encode())
    def do_POST(self):
        self.reply(418, self.rfile.read(int(self.headers['Content-Length'])))
    def reply(self, status, body):
        self.send_response(status)
        self.send_header('Content-Length', str(len(body)))
        self.send_header('X-Mine', 'yes')
        self.end_headers()
        self.wfile.write(body)
    def stream(self):
        self.send_response(200)
        self.send_header('Content-Type', 'text/event-stream')
        self.send_header('Transfer-Encoding', 'chunked')
        self.end_headers()
        for number in range({PIECES}):
            self.wfile.write(b'1' + b'\\r\\n%d\\r\\n' % number)
            time.sleep({PAUSE})
        self.wfile.write(b'0\\r\\n\\r\\n')
server = http.server.ThreadingHTTPServer((os.environ['HOST'], int(os.environ['PORT'])), Handler)
print('listening', flush=True)
server.serve_forever()
"""
COMMAND = f"{AT_8000} exec python3 -u -c \"$(cat <<'END'{_SERVER}END\n)\""


@dataclass(frozen=True)
class Serving:
    """The session; `log` is what it had printed when it began to listen."""

    id: str
    name: str
    log: str


@dataclass
class Shared:
    """What is kept from test to test."""

    bed: Bed
    serving: Serving | None = None


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _shared(place: Place) -> AsyncIterator[Shared]:
    async with laid_on(place) as bed:
        yield Shared(bed)


@pytest.fixture
async def serving(_shared: Shared, bed: Bed) -> Serving:
    """The session, running and listening, for all tests that only look at it.

    It is asked for after `bed`, which has the turn on the cluster: between two turns somebody may have ended it.
    """
    async with _shared.bed.api() as api:
        if _shared.serving is None or (await sessions.read(api, _shared.serving.id)).status != RUNNING:
            _shared.serving = await _start(_shared.bed, api)
        return _shared.serving


async def _start(bed: Bed, api: Api) -> Serving:
    session_id = await bed.started(
        api,
        "serving",
        COMMAND,
        tag=TAG,
        environ=ENVIRON,
        resources=RESOURCES,
        mounts={FOLDER: FOLDER_PATH},
    )
    return Serving(session_id, bed.name("serving"), await bed.logged(api, session_id, "listening"))
