"""Requests go to the least busy replica; what comes back is passed on as it comes; a dead replica costs no request."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web

from cli.balance import Balancer, Replica, serving

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Upstream:
    """A replica that answers as it is told: by default with its name and what it got."""

    name: str
    replica: Replica = field(init=False)
    handler: Handler | None = None
    asked: list[str] = field(default_factory=list)
    broken_off: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/metrics":
            return web.Response(status=404)
        self.asked.append(request.path_qs)
        try:
            if self.handler:
                return await self.handler(request)
            got = {"by": self.name, "path": request.raw_path, "body": await request.text(), "host": request.host}
            return web.json_response({**got, "key": request.headers.get("Authorization")}, headers={"X-Own": "kept"})
        except asyncio.CancelledError:
            self.broken_off += 1
            raise


@contextlib.asynccontextmanager
async def upstreams(*names: str) -> AsyncIterator[list[Upstream]]:
    async with contextlib.AsyncExitStack() as stack:
        made = []
        for name in names:
            upstream = Upstream(name)
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", upstream.handle)
            runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            upstream.replica = Replica(name, f"http://127.0.0.1:{runner.addresses[0][1]}")
            made.append(upstream)
        yield made


@contextlib.asynccontextmanager
async def proxied(*made: Upstream, dead: int = 0) -> AsyncIterator[tuple[aiohttp.ClientSession, Balancer]]:
    """A client of a balancer over these, and over so many where nothing listens."""
    gone = [Replica(f"dead-{n}", f"http://127.0.0.1:{n + 1}") for n in range(dead)]
    balancer = Balancer([*gone, *(upstream.replica for upstream in made)])
    async with serving(balancer) as url, aiohttp.ClientSession(base_url=url, trust_env=False) as client:
        yield client, balancer


async def test_everything_of_a_request_and_an_answer_is_passed_on() -> None:
    async with upstreams("a") as (a,), proxied(a) as (client, _):
        async with client.post("/v1/x%2Fy?z=%20", data="text", headers={"Authorization": "Bearer k"}) as answer:
            got = await answer.json()
            assert (answer.status, answer.headers["X-Own"]) == (200, "kept")
        assert (got["path"], got["body"], got["key"]) == ("/v1/x%2Fy?z=%20", "text", "Bearer k")
        assert a.replica.url.endswith(got["host"])
        a.handler = lambda _request: _answer(web.json_response({"error": "no"}, status=400))
        async with client.get("/v1/models") as answer:
            assert (answer.status, await answer.json()) == (400, {"error": "no"})


async def _answer(response: web.StreamResponse) -> web.StreamResponse:
    return response


async def test_the_least_busy_one_is_asked_and_equals_take_turns() -> None:
    async with upstreams("a", "b", "c") as made, proxied(*made) as (client, balancer):
        release = asyncio.Event()

        async def waits(_request: web.Request) -> web.StreamResponse:
            await release.wait()
            return web.Response()

        for upstream in made:
            upstream.handler = waits
        tasks = []
        for _ in range(7):
            tasks.append(asyncio.create_task(client.post("/v1/completions")))
            before = len(tasks)
            while sum(replica.busy for replica in balancer.replicas) < before:
                await asyncio.sleep(0.001)
        assert sorted(replica.busy for replica in balancer.replicas) == [2, 2, 3]
        release.set()
        for task in tasks:
            (await task).release()
        assert [replica.busy for replica in balancer.replicas] == [0, 0, 0]
        for upstream in made:
            upstream.handler, upstream.asked = None, []
        for _ in range(6):
            (await client.get("/health")).release()
        assert [len(upstream.asked) for upstream in made] == [2, 2, 2]


def test_requests_of_others_count_and_failures_come_last() -> None:
    a, b, c = (Replica(name, "") for name in "abc")
    balancer = Balancer([a, b, c])
    a.others, b.busy, c.others = 3, 1, 2
    assert balancer.choose() is b
    balancer.failed(b)
    assert balancer.choose() is c
    assert balancer.choose(["c"]) is a
    assert balancer.choose(["a", "c"]) is b
    assert balancer.choose(["a", "b", "c"]) is None


async def test_a_stream_is_passed_on_piece_by_piece() -> None:
    async with upstreams("a") as (a,), proxied(a) as (client, _):
        seen = asyncio.Event()

        async def streams(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            await response.write(b"data: one\n\n")
            await asyncio.wait_for(seen.wait(), 5)  # the next piece is made when the first one has arrived
            await response.write(b"data: two\n\n")
            return response

        a.handler = streams
        async with client.post("/v1/completions") as answer:
            assert await answer.content.readline() == b"data: one\n"
            seen.set()
            assert (await answer.content.read()) == b"\ndata: two\n\n"


@pytest.mark.parametrize("dead", [1, 3])
async def test_a_dead_replica_is_left_out(dead: int) -> None:
    async with upstreams("a") as (a,), proxied(a, dead=dead) as (client, balancer):
        for _ in range(4):
            async with client.post("/v1/completions", data="x") as answer:
                assert (answer.status, (await answer.json())["body"]) == (200, "x")
        assert len(a.asked) == 4
        assert [replica.down_until > 0 for replica in balancer.replicas] == [*[True] * dead, False]


async def test_one_that_breaks_off_or_is_not_available_is_left_out_while_nothing_was_sent() -> None:
    async with upstreams("a", "b") as (a, b), proxied(a, b) as (client, balancer):

        async def breaks(request: web.Request) -> web.StreamResponse:
            assert request.transport
            request.transport.abort()
            return web.Response()

        for handler in (breaks, lambda _request: _answer(web.Response(status=503))):
            a.handler, a.asked, b.asked = handler, [], []
            a.replica.down_until = 0.0
            for _ in range(3):
                async with client.post("/v1/completions") as answer:
                    assert (await answer.json())["by"] == "b"
            assert (len(a.asked), len(b.asked)) == (1, 3)
        assert balancer.replicas[0].busy == 0


async def test_when_none_answers_the_client_is_told_as_openai_clients_are() -> None:
    async with proxied(dead=2) as (client, _):
        async with client.post("/v1/completions") as answer:
            told = json.loads(await answer.text())
            assert answer.status == 502
        assert "No replica answers (tried dead-0, dead-1" in told["error"]["message"]


async def test_one_that_is_back_is_used_again_when_all_have_failed() -> None:
    async with upstreams("a") as (a,), proxied(a) as (client, balancer):
        a.handler = lambda _request: _answer(web.Response(status=503))
        async with client.get("/health") as answer:
            assert answer.status == 503  # the last one's own answer is passed on
        balancer.failed(a.replica)
        a.handler = None
        async with client.get("/health") as answer:
            assert answer.status == 200


async def test_half_an_answer_never_looks_like_a_whole_one() -> None:
    async with upstreams("a", "b") as (a, b), proxied(a, b) as (client, _):

        async def half(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"data: one\n\n")
            assert request.transport
            request.transport.abort()
            return response

        a.handler = b.handler = half
        with pytest.raises(aiohttp.ClientError):
            async with client.post("/v1/completions") as answer:
                await answer.read()
        assert len(a.asked) + len(b.asked) == 1


async def test_a_client_that_goes_away_stops_its_request() -> None:
    async with upstreams("a") as (a,), proxied(a) as (client, balancer):

        async def waits(_request: web.Request) -> web.StreamResponse:
            await asyncio.sleep(60)
            return web.Response()

        a.handler = waits
        with pytest.raises(TimeoutError):
            await client.post("/v1/completions", timeout=aiohttp.ClientTimeout(total=0.2))
        async with asyncio.timeout(5):
            while not a.broken_off or balancer.replicas[0].busy:
                await asyncio.sleep(0.01)


async def test_it_says_when_its_port_is_taken() -> None:
    async with upstreams("a") as (a,):
        port = int(a.replica.url.rpartition(":")[2])
        with pytest.raises(OSError):
            async with serving(Balancer([a.replica]), port=port):
                pass
