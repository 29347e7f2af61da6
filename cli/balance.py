"""A small reverse proxy on this machine that spreads requests over the replicas of a model, least busy first.

A request goes to the replica with the fewest requests under way: ours, which are counted, and those of others, which
its /metrics tell.  What comes back is passed on as it comes, streams piece by piece.  A replica that can't be reached,
or says that it isn't available, is left out for a while, and its request goes to the next one, as long as the client
has been sent nothing.  When a client goes away, its request to the replica is broken off, too, which stops vLLM.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from .metrics import NoMetrics, fetch

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

LEFT_OUT = 5.0  # seconds after a failure
LOOK_EVERY = 2.0  # seconds between two looks at /metrics
MAX_BODY = 256 * 1024**2  # bytes of one request; images in chats are large
CONNECT_WITHIN = 10.0  # seconds
KEEP_ALIVE = 2.0  # seconds, less than the 5 after which uvicorn closes a connection that is idle
_UNAVAILABLE = (502, 503, 504)
# Of one connection, not of the message (RFC 9110, 7.6.1), or set anew by the client.
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"}
    | {"transfer-encoding", "upgrade", "host", "content-length"}
)


@dataclass
class Replica:
    """`url`: its base URL; `busy`: our requests under way; `others`: those of other clients, when it was last asked."""

    name: str
    url: str
    busy: int = 0
    others: int = 0
    served: int = 0
    last_used: int = 0
    down_until: float = 0.0

    @property
    def load(self) -> int:
        return self.busy + self.others


class Balancer:
    """Which replica gets the next request."""

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self.replicas = tuple(replicas)
        self._turns = itertools.count(1)

    def choose(self, tried: Collection[str] = ()) -> Replica | None:
        """The least busy one that wasn't tried; of equals the one that waits the longest.

        Those that failed lately come last: when all have, they are tried all the same.
        """
        now = time.monotonic()
        left = [replica for replica in self.replicas if replica.name not in tried]
        if not left:
            return None
        chosen = min(left, key=lambda r: (r.down_until > now, r.load, r.last_used))
        chosen.last_used = next(self._turns)
        return chosen

    def failed(self, replica: Replica) -> None:
        replica.down_until = time.monotonic() + LEFT_OUT

    async def watch(self) -> None:
        """Keeps `others` current, until it is cancelled."""
        async with aiohttp.ClientSession(trust_env=False) as http:
            while True:
                await asyncio.gather(*(self._look(replica, http) for replica in self.replicas))
                await asyncio.sleep(LOOK_EVERY)

    async def _look(self, replica: Replica, http: aiohttp.ClientSession) -> None:
        ours = replica.busy
        with contextlib.suppress(NoMetrics):
            load = await fetch(replica.url, http=http)
            replica.others = max(0, load.running + load.waiting - max(ours, replica.busy))


@contextlib.asynccontextmanager
async def serving(balancer: Balancer, *, port: int = 0) -> AsyncIterator[str]:
    """The base URL, as long as the block lasts; on loopback only.  Raises OSError when the port is taken."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_WITHIN)
    async with aiohttp.ClientSession(
        trust_env=False,
        timeout=timeout,
        auto_decompress=False,
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE),
    ) as http:
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", _Proxy(balancer, http).handle)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
        await runner.setup()
        watching = asyncio.create_task(balancer.watch())
        try:
            site = web.TCPSite(runner, "127.0.0.1", port)
            await site.start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await runner.cleanup()


class _Proxy:
    def __init__(self, balancer: Balancer, http: aiohttp.ClientSession) -> None:
        self._balancer, self._http = balancer, http

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body, tried, last = await request.read(), list[str](), ""
        while replica := self._balancer.choose(tried):
            tried.append(replica.name)
            replica.busy += 1
            try:
                answer = await self._forwarded(request, body, replica, last=len(tried) == len(self._balancer.replicas))
            except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
                last = f"{replica.name}: {type(error).__name__}"
            else:
                if answer is not None:
                    replica.served += 1
                    return answer
                last = f"{replica.name} isn't available"
            finally:
                replica.busy -= 1
            self._balancer.failed(replica)
        return _refusal(f"No replica answers (tried {', '.join(tried)}; {last}).")

    async def _forwarded(
        self, request: web.Request, body: bytes, replica: Replica, *, last: bool
    ) -> web.StreamResponse | None:
        """The answer, passed on; None when the replica says that it isn't available, and there is another one."""
        async with self._http.request(
            request.method,
            replica.url + request.raw_path,
            headers=_passed_on(request.headers),
            data=body or None,
            allow_redirects=False,
        ) as upstream:
            if upstream.status in _UNAVAILABLE and not last:
                return None
            response = web.StreamResponse(
                status=upstream.status, reason=upstream.reason, headers=_passed_on(upstream.headers)
            )
            if upstream.content_length is not None and request.method != "HEAD":
                response.content_length = upstream.content_length
            await response.prepare(request)
            try:
                async for chunk in upstream.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
            except (aiohttp.ClientError, OSError):
                if request.transport:  # half an answer must not look like a whole one
                    request.transport.abort()
            return response


def _passed_on(headers: CIMultiDictProxy[str]) -> list[tuple[str, str]]:
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    return [(k, v) for k, v in headers.items() if k.lower() not in _HOP_BY_HOP | named]


def _refusal(message: str) -> web.Response:
    error = {"message": message, "type": "replicas_unavailable", "param": None, "code": 502}
    return web.Response(status=502, text=json.dumps({"error": error}), content_type="application/json")
