"""The invariant: only a completion under the served name is Ready; all else says what it is."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from serving import NotReady, Ready, probe, served_models

MODEL = "tiny"
KEY = "key-of-the-model"
CARD = {"id": MODEL, "object": "model", "created": 1, "owned_by": "vllm", "root": "a/b", "max_model_len": 256}
COMPLETION = {"id": "cmpl-1", "choices": [{"index": 0, "text": "", "finish_reason": "length"}]}
DEAD = {"error": {"message": "EngineCore encountered an issue...", "type": "InternalServerError", "code": 500}}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def answers(status: int, body: Any = None) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status) if body is not None else web.Response(status=status)

    return handler


async def completion(request: web.Request) -> web.StreamResponse:
    asked = await request.json()
    assert (asked["max_tokens"], asked["temperature"]) == (1, 0)
    if asked["model"] != MODEL:
        text = f"The model `{asked['model']}` does not exist. Valid aliases: {MODEL}."
        return web.json_response({"error": {"message": text, "type": "NotFoundError", "code": 404}}, status=404)
    return web.json_response(COMPLETION)


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path.startswith("/v1") and request.headers.get("Authorization") != f"Bearer {KEY}":
        return web.json_response({"error": "Unauthorized"}, status=401)
    return await handler(request)


@asynccontextmanager
async def server(**changed: Handler) -> AsyncIterator[str]:
    routes = {
        "health": answers(200),
        "models": answers(200, {"object": "list", "data": [CARD]}),
        "complete": completion,
    }
    routes |= changed
    app = web.Application(middlewares=[guard])
    app.router.add_get("/health", routes["health"])
    app.router.add_get("/v1/models", routes["models"])
    app.router.add_post("/v1/completions", routes["complete"])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def test_a_completion_is_ready() -> None:
    async with server() as url:
        answer = await probe(url + "/", MODEL, KEY)
    assert answer == Ready((MODEL,), 256, MODEL)
    assert (answer.ready, answer.busy, answer.final, answer.reason) == (True, False, False, "")


async def test_a_refused_connection_is_loading() -> None:
    async with server() as url:
        pass
    answer = await probe(url, MODEL, KEY)
    assert answer == NotReady("nothing listens on the port yet", "loading")


async def test_a_connection_that_closes_at_once_is_loading() -> None:
    """As through a tunnel to a port where nobody listens yet."""
    closer = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    async with closer:
        answer = await probe(f"http://127.0.0.1:{closer.sockets[0].getsockname()[1]}", MODEL, KEY)
    assert isinstance(answer, NotReady)
    assert (answer.phase_hint, answer.final) == ("loading", False)


async def hang(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response()


async def drop(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


CASES: list[tuple[dict[str, Handler], str, str, bool, bool, list[str]]] = [
    ({"health": answers(503)}, MODEL, "failing", False, False, ["/health answers 503"]),
    ({"complete": answers(500, DEAD)}, MODEL, "failing", False, False, ["500", "EngineCore encountered"]),
    ({"complete": hang}, MODEL, "busy", True, False, ["healthy", "0.3 s"]),
    ({"health": hang}, MODEL, "busy", True, False, ["nothing came back"]),
    ({"complete": answers(429, {"detail": "queue"})}, MODEL, "busy", True, False, ["too much to do (queue)"]),
    ({"complete": drop}, MODEL, "failing", False, False, ["broke"]),
    ({}, "other", "wrong-model", False, True, ["it serves tiny and not other"]),
    (
        {"complete": answers(400, {"error": {"message": "no completions"}})},
        MODEL,
        "refused",
        False,
        True,
        ["no completions"],
    ),
    (
        {"complete": answers(404, {"detail": "Not Found"})},
        MODEL,
        "refused",
        False,
        True,
        ["404", "Not Found"],
    ),
    ({"models": answers(200, {"data": []})}, MODEL, "unknown", False, False, ["lists no model"]),
    ({"models": answers(200, [])}, MODEL, "unknown", False, False, ["lists no model"]),
    ({"complete": answers(200, {"choices": []})}, MODEL, "unknown", False, False, ["holds none"]),
]


@pytest.mark.parametrize(("changed", "model", "hint", "busy", "final", "texts"), CASES)
async def test_what_else_a_server_does(
    *, changed: dict[str, Handler], model: str, hint: str, busy: bool, final: bool, texts: list[str]
) -> None:
    async with server(**changed) as url:
        answer = await probe(url, model, KEY, timeout=0.3)
    assert isinstance(answer, NotReady), answer
    assert (answer.phase_hint, answer.busy, answer.final) == (hint, busy, final)
    assert all(text in answer.reason for text in texts), answer.reason


@pytest.mark.parametrize("key", [None, "wrong-key-of-somebody"])
async def test_a_wrong_key_is_final_and_not_repeated(key: str | None) -> None:
    async with server() as url:
        answer = await probe(url, MODEL, key)
    assert isinstance(answer, NotReady)
    assert (answer.phase_hint, answer.final) == ("wrong-key", True)
    assert "401" in answer.reason
    assert key is None or key not in answer.reason


async def test_a_key_in_an_error_is_taken_out() -> None:
    async with server(complete=answers(500, {"error": {"message": f"bad header {KEY}"}})) as url:
        answer = await probe(url, MODEL, KEY)
    assert KEY not in answer.reason
    assert "[secret]" in answer.reason


async def test_redirects_are_not_followed_with_the_key() -> None:
    async def elsewhere(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("http://127.0.0.1:9/steal")

    async with server(complete=elsewhere) as url:
        answer = await probe(url, MODEL, KEY)
    assert isinstance(answer, NotReady)
    assert "302" in answer.reason


async def test_a_proxy_of_the_environment_is_not_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address is a tunnel's end on this machine."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with server() as url:
        assert (await probe(url, MODEL, KEY)).ready


async def test_the_callers_session_is_used_and_stays_open() -> None:
    seen: list[str] = []

    async def on_request(session: Any, context: Any, params: aiohttp.TraceRequestStartParams) -> None:
        seen.append(params.url.path)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(on_request)
    async with server() as url, aiohttp.ClientSession(trace_configs=[trace]) as session:
        assert (await probe(url, MODEL, KEY, session=session)).ready
        assert not session.closed
    assert seen == ["/health", "/v1/models", "/v1/completions"]


LISTS: list[tuple[dict[str, Handler], str, dict[str, int | None]]] = [
    ({}, KEY, {MODEL: 256}),
    ({"models": answers(200, {"data": [{"id": "other"}, {"max_model_len": 8}, 7]})}, KEY, {"other": None}),
    ({"health": answers(503)}, KEY, {MODEL: 256}),
    ({}, "another-key", {}),
    ({"models": answers(200, {"data": []})}, KEY, {}),
    ({"models": answers(200, {"data": 7})}, KEY, {}),
    ({"models": answers(200)}, KEY, {}),
    ({"models": answers(404, {"data": [CARD]})}, KEY, {}),
    ({"models": answers(500, DEAD)}, KEY, {}),
    ({"models": answers(307, {"data": [CARD]})}, KEY, {}),
    ({"models": hang}, KEY, {}),
    ({"models": drop}, KEY, {}),
]


@pytest.mark.parametrize(("changed", "key", "wanted"), LISTS)
async def test_only_a_list_of_models_says_what_is_served(
    changed: dict[str, Handler], key: str, wanted: dict[str, int | None]
) -> None:
    async with server(**changed) as url:
        assert await served_models(url, key, timeout=0.3) == wanted


async def test_where_nobody_listens_nothing_is_served() -> None:
    async with server() as url:
        pass
    assert await served_models(url, KEY) == {}
