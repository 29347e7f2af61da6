"""The demo shows what the models really say, and fails when one doesn't say it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from aiohttp import web

from scripts import demo_chat
from scripts.demo_chat import DemoError, Endpoint

OUTPUTS = {
    "api_keys": {"chat": "sk-chat", "my-model": "sk-mine"},
    "endpoints": [
        {
            "name": "chat-0",
            "model": "m",
            "session_id": "s0",
            "port": 8000,
            "via": "tunnel",
            "url": "u0",
            "more": 1,
        },
        {"name": "my-model-1", "model": "n", "session_id": "s1", "port": 9000, "via": "tunnel", "url": "u1"},
    ],
}
ENDPOINT = Endpoint("chat-0", "m", "s0", 8000, "tunnel", "u0", "sk-chat")


def test_endpoints_get_the_key_of_their_model() -> None:
    assert demo_chat.endpoints_of(OUTPUTS) == [
        ENDPOINT,
        Endpoint("my-model-1", "n", "s1", 9000, "tunnel", "u1", "sk-mine"),
    ]


@pytest.mark.parametrize("outputs", [{}, {"endpoints": [], "api_keys": {}}])
def test_a_stack_without_endpoints_is_no_success(outputs: dict[str, Any]) -> None:
    with pytest.raises(DemoError, match="has no endpoints"):
        demo_chat.endpoints_of(outputs)


def test_the_table_has_no_key_in_it() -> None:
    lines = demo_chat.table(demo_chat.endpoints_of(OUTPUTS)).splitlines()
    assert lines == [
        "ENDPOINT    MODEL  VIA     SESSION",
        "chat-0      m      tunnel  s0",
        "my-model-1  n      tunnel  s1",
    ]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("", ""),
        (": ping", ""),
        ("data: [DONE]", ""),
        ('data: {"choices": []}', ""),
        ('data: {"choices": [{"delta": {"role": "assistant", "content": null}}]}', ""),
        ('data: {"choices": [{"delta": {"content": " two"}}]}', " two"),
    ],
)
def test_pieces(line: str, text: str) -> None:
    assert demo_chat.text_of(line) == text


class Server:
    """An OpenAI-compatible server that answers with these pieces."""

    def __init__(self, pieces: list[str], status: int = 200) -> None:
        self.pieces, self.status, self.asked = pieces, status, list[tuple[str, Any]]()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append((request.headers["Authorization"], body))
        if self.status != 200:
            return web.json_response({"error": {"message": "Unauthorized"}}, status=self.status)
        if not body["stream"]:
            return web.json_response({"choices": [{"message": {"content": "".join(self.pieces)}}]})
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in self.pieces:
            await response.write(f"data: {json.dumps({'choices': [{'delta': {'content': piece}}]})}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    @contextlib.asynccontextmanager
    async def base_url(self, _endpoint: Endpoint) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        try:
            yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
        finally:
            await runner.cleanup()


def talk(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_chat, "base_url", server.base_url)
    asyncio.run(demo_chat.chat(ENDPOINT, stream=True))


def test_what_the_model_says_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    server = Server(["one", " two", " three"])
    talk(server, monkeypatch)
    said = capsys.readouterr().out
    assert "  < one two three\n" in said
    assert "(3 pieces)" in said
    assert "sk-chat" not in said
    assert [key for key, _ in server.asked] == ["Bearer sk-chat"] * 2
    assert [(body["model"], body["stream"]) for _, body in server.asked] == [("m", False), ("m", True)]


def test_one_piece_is_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DemoError, match="asked to stream and sent 1 pieces"):
        talk(Server(["one two three"]), monkeypatch)


def test_a_refusal_is_a_failure_without_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DemoError, match=r"chat-0 doesn't answer: .*401") as problem:
        talk(Server([], status=401), monkeypatch)
    assert "sk-chat" not in str(problem.value)


def test_nobody_there_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.asynccontextmanager
    async def nowhere(_endpoint: Endpoint) -> AsyncIterator[str]:
        yield "http://127.0.0.1:9"

    monkeypatch.setattr(demo_chat, "base_url", nowhere)
    with pytest.raises(DemoError, match="chat-0 doesn't answer") as problem:
        asyncio.run(demo_chat.chat(ENDPOINT, stream=False))
    assert isinstance(problem.value.__cause__, httpx.ConnectError)
