"""Ordered faults on aiohttp's side: connections that break, and the app-proxy's answers."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

from aiohttp import web

from emulator.faults import Cut, Faults
from emulator.http import Headers, Request, Response

SERVICE = "app-proxy"
WHOLE = web.RequestKey("whole", bool)  # the handler must not begin to answer before it has all of it
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def broken(incoming: web.Request, cut: Cut) -> web.StreamResponse:
    """No answer, half of one, or nothing for a long time; then the connection breaks."""
    stream = web.StreamResponse(status=cut.response.status, headers=dict(cut.response.headers))
    if cut.how == "timeout":
        await asyncio.sleep(cut.delay)
    if cut.how == "truncate":
        stream.content_length = len(cut.response.body)
        await stream.prepare(incoming)
        await stream.write(cut.response.body[: len(cut.response.body) // 2])
        await asyncio.sleep(0.02)  # what was written must be read before the reset discards it
    if transport := incoming.transport:
        if cut.how == "reset" and (sock := transport.get_extra_info("socket")):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return stream


class Spoiled:
    """A handler behind the orders for the app-proxy; `seen` gets (method, path, status) of each request."""

    def __init__(
        self,
        handler: Handler,
        faults: Faults,
        seen: list[tuple[str, str, int]],
        hang_up: Callable[[], Awaitable[None]],
    ) -> None:
        self._handler, self._faults, self._seen, self._hang_up = handler, faults, seen, hang_up

    async def handle(self, incoming: web.Request) -> web.StreamResponse:
        path = incoming.raw_path.partition("?")[0]
        request = Request(incoming.method, path, dict(incoming.query), Headers(incoming.headers.items()))
        status = 0
        try:
            answer = await self._answer(incoming, request)
            status = answer.status
            return answer
        finally:
            self._seen.append((request.method, path, status))

    async def _answer(self, incoming: web.Request, request: Request) -> web.StreamResponse:
        fault = self._faults.take(SERVICE, request)
        if fault is None:
            return await self._handler(incoming)
        loop = asyncio.get_running_loop()

        def act() -> Response:
            return asyncio.run_coroutine_threadsafe(self._whole(incoming), loop).result()

        try:
            made = await asyncio.to_thread(fault.spoil, act)
        except Cut as cut:
            if cut.how != "last":
                return await broken(incoming, cut)
            await self._hang_up()
            made = cut.response
        return web.Response(status=made.status, headers=dict(made.headers), body=made.body)

    async def _whole(self, incoming: web.Request) -> Response:
        incoming[WHOLE] = True
        try:
            answer = await self._handler(incoming)
        except web.HTTPException as error:
            answer = error
        assert isinstance(answer, web.Response)
        headers = dict(answer.headers)
        for cookie in answer.cookies.values():  # one at most
            headers["Set-Cookie"] = cookie.OutputString()
        return Response(answer.status, headers, answer.body if isinstance(answer.body, bytes) else b"")
