"""What only a server can give: tunnels, and processes that never outlive it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import requests
from ai.backend.client.exceptions import BackendClientError
from ai.backend.client.request import Request

from emulator import Emulator
from tests.conftest import LIMITED
from tests.emulator.cluster_client import SERVE, Client, connected

ECHO = """exec python3 -c "
import os, socket
server = socket.create_server(('127.0.0.1', int(os.environ['EMULATOR_PORT_8000'])))
print('up', flush=True)
while True:
    connection, _ = server.accept()
    while data := connection.recv(65536):
        connection.sendall(data)
    connection.close()
"
"""


async def logged(client: Client, session_id: str, text: str) -> None:
    async with asyncio.timeout(8):
        while text not in (await client.call("GET", f"/v2/sessions/{session_id}/logs"))["logs"]:
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def tunnel(name: str, app: str = "8000") -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    request = Request("GET", f"/stream/session/{name}/tcpproxy", params={"app": app})
    async with request.connect_websocket() as response:
        yield response.raw_websocket


async def handshake(name: str, app: str = "8000") -> int:
    """The status a refused WebSocket got."""
    with pytest.raises(BackendClientError) as caught:
        async with tunnel(name, app):
            pass
    assert isinstance(caught.value.__cause__, aiohttp.WSServerHandshakeError)
    return caught.value.__cause__.status


async def test_bytes_through_the_tunnel_both_ways(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        session_id = await client.started(ECHO, name="echo")
        await logged(client, session_id, "up")
        for ref in ("echo", session_id):
            async with tunnel(ref) as websocket:
                sent = os.urandom(300_000)
                await websocket.send_bytes(sent)
                got = b""
                while len(got) < len(sent):
                    got += await websocket.receive_bytes()
                assert got == sent


async def test_http_through_the_tunnel(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        session_id = await client.started(f"echo hello > index.html; {SERVE}", name="web")
        await logged(client, session_id, "Serving")
        async with tunnel("web") as websocket:
            await websocket.send_bytes(b"GET / HTTP/1.0\r\n\r\n")
            got = b""
            async for message in websocket:
                got += message.data
            assert got.startswith(b"HTTP/1.0 200 OK") and got.endswith(b"hello\n")
            assert websocket.close_code == aiohttp.WSCloseCode.GOING_AWAY


async def test_a_tunnel_to_a_port_where_nothing_listens_opens_and_closes(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        await client.started(name="deaf")
        async with tunnel("deaf") as websocket:
            assert (await websocket.receive()).type is aiohttp.WSMsgType.CLOSE


@pytest.mark.parametrize(("name", "app"), [("there", "nope"), ("nobody", "8000")])
async def test_no_tunnel_to_what_there_is_not(name: str, app: str, emulator: Emulator) -> None:
    async with connected(emulator) as client:
        await client.started(name="there")
        assert await handshake(name, app) == 404


async def test_no_tunnel_into_somebody_else_s_session(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        session_id = await client.started()
    async with connected(emulator, *LIMITED):
        assert await handshake(session_id) == 403


async def test_eight_sessions_on_port_8000(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        ids = [await client.started(f"echo {i} > index.html; {SERVE}", name=f"eight-{i}") for i in range(8)]
        ports = {emulator.cluster.sessions[i].host_port("8000") for i in ids}
        assert len(ports) == 8
        for number, session_id in enumerate(ids):
            await logged(client, session_id, "Serving")
            async with tunnel(f"eight-{number}") as websocket:
                await websocket.send_bytes(b"GET / HTTP/1.0\r\n\r\n")
                got = b"".join([message.data async for message in websocket])
                assert got.endswith(f"\n{number}\n".encode())


async def test_vllm_serves_on_the_mapped_port(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        command = "exec vllm serve backendai-vllm/tiny-llama --host=0.0.0.0 --port=8000"
        gpu = {"cpu": "1", "mem": "1g", "cuda.device": "1"}
        session_id = await client.started(command, name="vllm", resources=gpu)
        await logged(client, session_id, "Application startup complete")
        async with tunnel("vllm") as websocket:
            await websocket.send_bytes(b"GET /health HTTP/1.0\r\n\r\n")
            assert b" 200 OK\r\n" in await websocket.receive_bytes()


def test_head_of_the_hub_has_headers_and_no_body(emulator: Emulator) -> None:
    url = f"{emulator.hub_endpoint}/Qwen/Qwen2.5-7B-Instruct/resolve/main/config.json"
    head, get = requests.head(url, timeout=5), requests.get(url, timeout=5)
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["Content-Length"]) == len(get.content)
    assert ("GET", "/Qwen/Qwen2.5-7B-Instruct/resolve/main/config.json", 200) in emulator.hub_requests


@contextlib.contextmanager
def program(tmp_path: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    state = tmp_path / "state.json"
    command = [
        sys.executable,
        "-m",
        "emulator",
        "--port=0",
        "--hub-port=0",
        f"--state-file={state}",
        *options,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("emulator ready: ")
        try:
            yield process, json.loads(state.read_text())
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_no_process_outlives_the_program(number: signal.Signals, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    command = f"trap '' TERM; setsid sleep 1000 & echo $! > {pids}; sleep 1000 & echo $! $$ >> {pids}; wait"
    with program(tmp_path, f"--log={tmp_path / 'log'}") as (process, state):
        running = Emulator.__new__(Emulator)
        running.endpoint = state["endpoint"]
        async with connected(running) as client:
            await client.started(command, environ={"HF_TOKEN": "hf_very_secret"})
            while not pids.exists() or len(pids.read_text().split()) < 3:
                await asyncio.sleep(0.02)
        process.send_signal(number)
        assert process.wait(8) == (0 if number == signal.SIGTERM else -signal.SIGKILL)
        end = time.monotonic() + 5
        left = pids.read_text().split()
        while left and time.monotonic() < end:
            left = [pid for pid in left if Path(f"/proc/{pid}").exists()]
            await asyncio.sleep(0.02)
        assert left == []
        assert Path(tmp_path / "state.json").exists() == (number == signal.SIGKILL)
    log = (tmp_path / "log").read_text()
    assert "POST /session 201" in log
    assert "secret" not in log.lower() and "signMethod" not in log
