"""A loopback port that leads to a session's port through the manager: one websocket per TCP connection.

It needs the owner's key pair and nothing else, no app-proxy.  (`backend.ai app` does the same.)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from . import errors
from .api import Api

CHUNK = 64 * 1024  # bytes


@contextlib.asynccontextmanager
async def open_tunnel(
    api: Api,
    session_id: str,
    app: str,
    *,
    port: int = 0,
    on_failure: Callable[[errors.ClusterError], None] = lambda _error: None,
) -> AsyncIterator[str]:
    """The base URL `http://127.0.0.1:PORT` of a session's app ("8000"), as long as the block lasts.

    `port` 0 takes a free one.  Raises OSError when the port is taken.  A connection whose tunnel can't be opened
    is closed without an answer, as one to a port where nobody listens yet; `on_failure` is told why.
    """
    connections: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await _relay(api, session_id, app, reader, writer)
        except errors.ClusterError as error:
            on_failure(error)  # the client sees the connection close
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            connections.discard(task)
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", port)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tuple(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _relay(
    api: Api, session_id: str, app: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    import aiohttp

    async with api.websocket(f"/stream/session/{session_id}/tcpproxy", {"app": app}) as websocket:
        raw = websocket.raw_websocket

        async def upstream() -> None:
            with contextlib.suppress(ConnectionError, aiohttp.ClientError):
                while data := await reader.read(CHUNK):
                    await raw.send_bytes(data)

        async def downstream() -> None:
            async for message in raw:
                if message.type is not aiohttp.WSMsgType.BINARY:
                    break
                writer.write(message.data)
                await writer.drain()

        sending = asyncio.create_task(upstream())
        try:
            await downstream()  # a client that has sent all it has still waits for its answer
        finally:
            sending.cancel()
