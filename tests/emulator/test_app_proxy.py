"""What the conformance suite can't show of the app-proxy: a cluster without one, and an answer that breaks off."""

from __future__ import annotations

from collections.abc import Iterator

import aiohttp
import pytest

from backendai import Api, Connection, errors, open_circuit
from backendai.light import LightApi
from emulator import Emulator
from tests.conftest import ADMIN
from tests.emulator.cluster_client import connected

HALF = """exec python3 -u -c "
import os, socket
server = socket.create_server(('127.0.0.1', int(os.environ['EMULATOR_PORT_8000'])))
print('up', flush=True)
while True:
    connection, _ = server.accept()
    connection.recv(65536)
    connection.sendall(b'HTTP/1.1 200 OK' + bytes([13, 10]) + b'Content-Length: 10' + bytes([13, 10] * 2) + b'half ')
    connection.close()
"
"""


@pytest.fixture
def with_proxy() -> Iterator[Emulator]:
    with Emulator(start_seconds=0.06, app_proxy=True) as emulator:
        yield emulator


async def test_a_cluster_without_one_has_no_circuit(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        session_id = await client.started()
    async with Api(Connection(emulator.endpoint, *ADMIN)) as api:
        assert await open_circuit(api, session_id, "8000") is None


@pytest.mark.parametrize(
    "body",
    ["{}", "[]", "null", '{"token": "t"}', '{"token": "t", "wsproxy_addr": 5}', '{"token": 1, "wsproxy_addr": "%s"}'],
)
async def test_what_is_no_way_to_an_app_proxy_is_said(body: str, emulator: Emulator) -> None:
    async with connected(emulator) as client:
        session_id = await client.started()
    told = body.replace("%s", emulator.endpoint)  # which is no app-proxy
    fault = emulator.faults.add(action="status", status=200, method="POST", path=r"/services/start$", body=told)
    async with LightApi(Connection(emulator.endpoint, *ADMIN)) as api:
        with pytest.raises(errors.AppProxyFault, match=emulator.endpoint):
            await open_circuit(api, session_id, "8000")
    assert fault.taken == 1


async def test_half_an_answer_does_not_look_whole(with_proxy: Emulator) -> None:
    async with connected(with_proxy) as client:
        session_id = await client.started(HALF)
        while "up" not in (await client.call("GET", f"/v2/sessions/{session_id}/logs"))["logs"]:
            pass
    async with Api(Connection(with_proxy.endpoint, *ADMIN)) as api:
        circuit = await open_circuit(api, session_id, "8000")
    assert circuit is not None
    headers = {"Cookie": f"appproxy_permit={circuit.cookie}"}
    async with aiohttp.ClientSession(headers=headers) as http, http.get(circuit.url) as answer:
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
