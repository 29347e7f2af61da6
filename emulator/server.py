"""The stand-in on two loopback ports: one aiohttp loop in a background thread, handlers in worker threads."""

import asyncio
import contextlib
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Self

from aiohttp import WSCloseCode, WSMsgType, web

from emulator.aiohttp_faults import broken
from emulator.app_proxy import AppProxy
from emulator.cluster.models import Session
from emulator.cluster.responses import Events, Tunnel
from emulator.faults import Cut
from emulator.http import Headers, Request
from emulator.standin import Answer, StandIn

WORKERS = 64  # requests answered at once; a slow fault and a create that waits hold one each
MAX_BODY = 64 * 1024**2  # bytes
CHUNK = 64 * 1024  # bytes


class Emulator(StandIn):
    """`with Emulator() as emu:` manager at `emu.endpoint`, Hub at `emu.hub_endpoint`. Port 0: a free one.

    `app_proxy`: the cluster has one, at an address that only its answers tell.
    """

    def __init__(
        self,
        *,
        load_seconds: float | None = None,
        start_seconds: float = 0.3,
        gpu_slot: str = "cuda.device",
        app_proxy: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
        hub_port: int = 0,
    ) -> None:
        sockets = [_listen(host, port), _listen(host, hub_port)]
        super().__init__(load_seconds=load_seconds, start_seconds=start_seconds, gpu_slot=gpu_slot)
        self.endpoint, self.hub_endpoint = (f"http://{host}:{s.getsockname()[1]}" for s in sockets)
        self.cluster.settings.hub_endpoint = self.hub_endpoint
        self._app_proxy = (AppProxy(self.cluster, self.faults, host), _listen(host, 0)) if app_proxy else None
        if self._app_proxy:
            self.cluster.settings.app_proxy = f"http://{host}:{self._app_proxy[1].getsockname()[1]}"
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._runners: list[web.AppRunner] = []  # of the cluster and of the Hub
        ready = threading.Event()
        self._thread = threading.Thread(
            target=self._loop.run_until_complete,
            args=(self._serve(sockets, ready),),
            name="server",
            daemon=True,
        )
        self._thread.start()
        ready.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the sessions' processes, then the servers. Twice is fine."""
        if not self._thread.is_alive():
            return
        super().close()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    @property
    def app_proxy_requests(self) -> list[tuple[str, str, int]]:
        """As `cluster.requests`, of the app-proxy."""
        return self._app_proxy[0].requests if self._app_proxy else []

    def refuse(self) -> None:
        """Nobody listens at the manager's address, until `listen`; what is connected stays so."""
        asyncio.run_coroutine_threadsafe(self.hang_up(), self._loop).result()

    def listen(self) -> None:
        """The manager's address is served again, and the app-proxy's; fine when they are."""
        asyncio.run_coroutine_threadsafe(self._listen_again(), self._loop).result()

    def refuse_app_proxy(self) -> None:
        """The same of the app-proxy's addresses."""
        if self._app_proxy:
            asyncio.run_coroutine_threadsafe(self._app_proxy[0].hang_up(), self._loop).result()

    async def hang_up(self) -> None:
        """`refuse`, inside the server's loop."""
        for site in tuple(self._runners[0].sites):
            await site.stop()

    async def _listen_again(self) -> None:
        if not self._runners[0].sites:
            host, port = self.endpoint.removeprefix("http://").rsplit(":", 1)
            await web.SockSite(self._runners[0], _listen(host, int(port))).start()
        if self._app_proxy:
            await self._app_proxy[0].listen()

    async def _serve(self, sockets: list[socket.socket], ready: threading.Event) -> None:
        with contextlib.ExitStack() as stack:
            workers = stack.enter_context(ThreadPoolExecutor(WORKERS, "handler"))
            for sock, answer in zip(sockets, (self.answer_cluster, self.answer_hub), strict=True):
                app = web.Application(client_max_size=MAX_BODY)
                app.router.add_route("*", "/{path:.*}", _Handler(self, answer, workers).handle)
                runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
                await runner.setup()
                await web.SockSite(runner, sock).start()
                self._runners.append(runner)
            if self._app_proxy:
                await self._app_proxy[0].start(self._app_proxy[1])
            ready.set()
            await self._stop.wait()
            if self._app_proxy:
                await self._app_proxy[0].close()
            for runner in self._runners:
                await runner.cleanup()


def _listen(host: str, port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    return sock


class _Handler:
    """aiohttp's side of one service: requests in, responses, tunnels and event streams out."""

    def __init__(self, standin: Emulator, answer: Answer, workers: ThreadPoolExecutor) -> None:
        self._standin, self._answer, self._workers = standin, answer, workers

    async def handle(self, incoming: web.Request) -> web.StreamResponse:
        request = Request(
            incoming.method,
            incoming.raw_path.partition("?")[0],
            dict(incoming.query),
            Headers(incoming.headers.items()),
            await incoming.read(),
            incoming.raw_path,
        )
        loop = asyncio.get_running_loop()
        try:
            response = await loop.run_in_executor(self._workers, self._answer, request)
        except Cut as cut:
            if cut.how != "last":
                return await broken(incoming, cut)
            await self._standin.hang_up()
            response = replace(cut.response, headers={**cut.response.headers, "Connection": "close"})
        match response:
            case Tunnel():
                return await _tunnel(incoming, response.port)
            case Events():
                return await self._events(incoming, response)
        return web.Response(status=response.status, headers=dict(response.headers), body=response.body)

    async def _events(self, incoming: web.Request, asked: Events) -> web.StreamResponse:
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[tuple[str, dict[str, Any]]]()

        def heard(session: Session, event: str, data: dict[str, Any]) -> None:
            if asked.wanted(session):
                loop.call_soon_threadsafe(queue.put_nowait, (event, data))

        stream = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-cache",
                "Connection": "keep-alive",
                "X-Accel-Buffering": "no",
            }
        )
        await stream.prepare(incoming)
        stop = self._standin.cluster.listen(heard)
        try:
            while True:
                event, data = await queue.get()
                text = json.dumps(data, separators=(",", ":"))
                await stream.write(f"event: {event}\r\ndata: {text}\r\n\r\n".encode())
        except ConnectionError:
            return stream
        finally:
            stop()


async def _tunnel(incoming: web.Request, port: int) -> web.WebSocketResponse:
    """Binary messages to a TCP connection and back; where nothing listens, the WebSocket opens and closes."""
    websocket = web.WebSocketResponse(max_msg_size=MAX_BODY)
    await websocket.prepare(incoming)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        await websocket.close(code=WSCloseCode.GOING_AWAY)
        return websocket

    async def downstream() -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                await websocket.send_bytes(data)
        await websocket.close(code=WSCloseCode.GOING_AWAY)

    down = asyncio.create_task(downstream())
    try:
        async for message in websocket:
            if message.type is WSMsgType.BINARY:
                writer.write(message.data)
                with contextlib.suppress(ConnectionError):
                    await writer.drain()
    finally:
        down.cancel()
        writer.close()
    return websocket
