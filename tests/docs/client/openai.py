"""A stand-in for the package `openai`, which is no dependency: the calls of the guide, by their real names and
parameters, sent to a real server.  What the guide uses and the real package doesn't have, isn't here either.

With OPENAI_PACKAGE=FOLDER the test runs the guide's Python on the real package instead (`pip install --target`).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import httpx

# Fields of an answer that may be left out, and are None then.
_OPTIONAL = frozenset({"content", "text", "usage", "finish_reason", "role"})


class Answer:
    """One object of an answer, its fields as attributes."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.__dict__.update({name: _answer(value) for name, value in fields.items()})

    def __getattr__(self, name: str) -> Any:
        if name in _OPTIONAL:
            return None
        raise AttributeError(f"the answer has no {name}")


def _answer(value: Any) -> Any:
    if isinstance(value, dict):
        return Answer(value)
    return [_answer(item) for item in value] if isinstance(value, list) else value


class _Options:
    def __init__(
        self, *, base_url: str, api_key: str, default_headers: Mapping[str, str] | None = None, timeout: float = 60.0
    ) -> None:
        assert base_url.endswith("/v1")
        self._sent: dict[str, Any] = {
            "base_url": base_url,
            "headers": {"Authorization": f"Bearer {api_key}", **(default_headers or {})},
            "timeout": timeout,
            "trust_env": False,
        }


def _chat(
    *,
    model: str,
    messages: Sequence[Mapping[str, str]],
    max_tokens: int | None = None,
    temperature: float | None = None,
    stream: bool = False,
    stream_options: Mapping[str, bool] | None = None,
) -> dict[str, Any]:
    return {name: value for name, value in locals().items() if value is not None}


def _completion(
    *, model: str, prompt: str, max_tokens: int | None = None, temperature: float | None = None, stream: bool = False
) -> dict[str, Any]:
    return {name: value for name, value in locals().items() if value is not None}


def _piece(line: str) -> Any:
    return Answer(json.loads(line.removeprefix("data: "))) if line.startswith("data: {") else None


class OpenAI(_Options):
    """As long as it lives, one connection a call."""

    @property
    def models(self) -> Any:
        return _Part(list=lambda: self._ask("GET", "/models", None))

    @property
    def chat(self) -> Any:
        return _Part(completions=_Part(create=lambda **said: self._ask("POST", "/chat/completions", _chat(**said))))

    @property
    def completions(self) -> Any:
        return _Part(create=lambda **said: self._ask("POST", "/completions", _completion(**said)))

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        if body and body.get("stream"):
            return self._stream(path, body)
        with httpx.Client(**self._sent) as http:
            return Answer(http.request(method, path, json=body).raise_for_status().json())

    def _stream(self, path: str, body: Mapping[str, Any]) -> Iterator[Any]:
        with httpx.Client(**self._sent) as http, http.stream("POST", path, json=body) as answer:
            yield from (piece for line in answer.raise_for_status().iter_lines() if (piece := _piece(line)))


class AsyncOpenAI(_Options):
    """The same, awaited."""

    @property
    def chat(self) -> Any:
        return _Part(completions=_Part(create=self._create))

    async def _create(self, **said: Any) -> Any:
        body = _chat(**said)
        if body["stream"]:
            return self._stream(body)
        async with httpx.AsyncClient(**self._sent) as http:
            return Answer((await http.post("/chat/completions", json=body)).raise_for_status().json())

    async def _stream(self, body: Mapping[str, Any]) -> AsyncIterator[Any]:
        async with httpx.AsyncClient(**self._sent) as http, http.stream("POST", "/chat/completions", json=body) as got:
            async for line in got.raise_for_status().aiter_lines():
                if piece := _piece(line):
                    yield piece


class _Part:
    """A name space."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)
