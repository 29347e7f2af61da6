"""A tunnel is a TCP connection to the session's port: bytes both ways, and closed where nobody listens."""

from __future__ import annotations

import asyncio
import os

import aiohttp
import pytest

from backendai import errors, open_tunnel

from .beds import AT_8000, Bed
from .raw import fetch
from .serving import PAUSE, PIECES, Serving


async def test_bytes_both_ways(bed: Bed, serving: Serving) -> None:
    sent = os.urandom(300_000)
    async with bed.light() as api, open_tunnel(api, serving.id, "8000") as url, aiohttp.ClientSession() as http:
        async with http.post(url, data=sent) as answer:
            assert (answer.status, answer.headers["X-Mine"]) == (418, "yes")
            assert await answer.read() == sent
        async with http.get(f"{url}/a%20b?c=d") as answer:
            assert (await answer.text()).splitlines()[0] == "/a%20b?c=d"


async def test_pieces_arrive_when_they_are_sent(bed: Bed, serving: Serving) -> None:
    loop = asyncio.get_running_loop()
    async with (
        bed.light() as api,
        open_tunnel(api, serving.id, "8000") as url,
        aiohttp.ClientSession() as http,
        http.get(f"{url}/stream") as answer,
    ):
        moments = [(piece, loop.time()) async for piece in answer.content.iter_any()]
    assert b"".join(piece for piece, _ in moments) == b"0123"[:PIECES]
    assert moments[-1][1] - moments[0][1] > PAUSE, "not all at the end"


async def test_many_connections_at_once(bed: Bed, serving: Serving) -> None:
    async with bed.light() as api, open_tunnel(api, serving.id, "8000") as url, aiohttp.ClientSession() as http:

        async def one(number: int) -> bool:
            body = bytes([number]) * 10_000
            async with http.post(url, data=body) as answer:
                return await answer.read() == body

        assert all(await asyncio.gather(*(one(number) for number in range(8))))


async def test_by_name_too(bed: Bed, serving: Serving) -> None:
    async with bed.light() as api, open_tunnel(api, serving.name, "8000") as url:
        assert (await fetch("GET", url)).status == 200


async def test_nothing_listens_yet(bed: Bed) -> None:
    """The websocket opens and closes; a client sees its connection break."""
    async with bed.light() as api:
        session_id = await bed.started(api, "deaf")
        async with open_tunnel(api, session_id, "8000") as url, aiohttp.ClientSession() as http:
            with pytest.raises(aiohttp.ClientError):
                async with http.get(url):
                    pass
        async with api.websocket(f"/stream/session/{session_id}/tcpproxy", {"app": "8000"}) as websocket:
            async with asyncio.timeout(10):
                message = await websocket.raw_websocket.receive()
            assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)


async def test_a_connection_ends_with_its_server(bed: Bed) -> None:
    command = f"""{AT_8000} exec python3 -u -c "
import os, socket
server = socket.create_server((os.environ['HOST'], int(os.environ['PORT'])))
print('listening')
connection, _ = server.accept()
connection.sendall(b'hello')
connection.close()
import time; time.sleep(600)
" """
    async with bed.light() as api:
        session_id = await bed.started(api, "once", command)
        await bed.logged(api, session_id, "listening")
        async with open_tunnel(api, session_id, "8000") as url:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            async with asyncio.timeout(10):
                assert await reader.read() == b"hello"
            writer.close()


@pytest.mark.parametrize("what", ["app", "session", "ended"])
async def test_no_tunnel_to_what_there_is_not(what: str, bed: Bed, serving: Serving) -> None:
    async with bed.light() as api:
        session_id, app = serving.id, "8000"
        if what == "app":
            app = "nope"
        elif what == "session":
            session_id = bed.name("nobody")
        else:
            session_id = (await bed.ran(api, "over", "exit 0")).id
        with pytest.raises(errors.NotFound):
            async with api.websocket(f"/stream/session/{session_id}/tcpproxy", {"app": app}):
                pass


async def test_no_tunnel_into_another_users_session(bed: Bed, serving: Serving) -> None:
    async with bed.light(bed.limited) as api:
        with pytest.raises(errors.PermissionDenied):
            async with api.websocket(f"/stream/session/{serving.id}/tcpproxy", {"app": "8000"}):
                pass


async def test_the_apps_of_a_session(bed: Bed, serving: Serving) -> None:
    apps = (await bed.ask("GET", f"/stream/session/{serving.name}/apps")).body
    assert {"name": "8000", "protocol": "preopen", "ports": [8000]} in apps
