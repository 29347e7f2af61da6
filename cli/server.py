"""A vLLM server as a client sees it: its routes, its refusals in its own words, its streams piece by piece."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from serving.server_words import json_object, models_listed, words_of_error

if TYPE_CHECKING:
    import aiohttp

_OK = 200
_LONGEST = 300  # characters of a server's own words
_NO_TEMPLATE = "chat template"  # in what vLLM answers (400) to a chat with a model that has none


class Refused(Exception):
    """The server said no, or nothing.  `status` is 0 where no answer came; `words` are its own, without the key."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"it answers {status}: {words}" if status else words)
        self.status, self.words = status, words

    @property
    def no_template(self) -> bool:
        """Whether the model only lacks a chat template: completions work."""
        return self.status in (400, 500) and _NO_TEMPLATE in self.words


class Piece(NamedTuple):
    """A part of a streamed answer.  `tokens`: of the whole answer, where the server tells (at the end)."""

    text: str
    tokens: int | None = None


class Server:
    """One server.  `seconds`: how long one answer, or the next piece of one, may take.  All calls raise Refused."""

    def __init__(self, base_url: str, key: str | None, http: aiohttp.ClientSession, *, seconds: float = 60.0) -> None:
        self._url, self._key, self._http, self._seconds = base_url.rstrip("/"), key, http, seconds
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    async def health(self) -> None:
        await self._ask("GET", "/health")

    async def models(self) -> dict[str, int | None]:
        """The names that it serves, each with its max_model_len (tokens)."""
        return models_listed(await self._ask("GET", "/v1/models"))

    async def complete(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return json_object(await self._ask("POST", "/v1/completions", body))

    async def chat(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return json_object(await self._ask("POST", "/v1/chat/completions", body))

    async def stream(self, body: Mapping[str, Any]) -> AsyncIterator[Piece]:
        """The answer to `messages`, or to a `prompt`, as its pieces arrive.  Leaving it stops the server, too."""
        path = "/v1/chat/completions" if "messages" in body else "/v1/completions"
        body = {**body, "stream": True, "stream_options": {"include_usage": True}}
        async for event in self._events(path, body):
            if "error" in event:
                raise Refused(0, f"it broke off: {self._words(json.dumps(event))}")
            choices = event.get("choices") or []
            text = "".join(c.get("text") or (c.get("delta") or {}).get("content") or "" for c in choices)
            yield Piece(text, (event.get("usage") or {}).get("completion_tokens"))

    async def _events(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._seconds, sock_read=self._seconds)
        try:
            async with self._http.post(
                self._url + path, json=body, headers=self._headers, timeout=timeout, allow_redirects=False
            ) as answer:
                if answer.status != _OK:
                    raise Refused(answer.status, self._words((await answer.read()).decode(errors="replace")))
                async for line in answer.content:
                    data = line.decode(errors="replace").strip().removeprefix("data:").strip()
                    if data == "[DONE]":
                        return
                    if data:
                        yield json_object(data)
        except TimeoutError:
            raise Refused(0, f"nothing came within {self._seconds:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Refused(0, _broken(error)) from None

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> str:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=self._seconds)
        try:
            async with self._http.request(
                method, self._url + path, json=body, headers=self._headers, timeout=timeout, allow_redirects=False
            ) as answer:
                status, text = answer.status, (await answer.read()).decode(errors="replace")
        except TimeoutError:
            raise Refused(0, f"no answer within {self._seconds:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Refused(0, _broken(error)) from None
        if status != _OK:
            raise Refused(status, self._words(text))
        return text

    def _words(self, text: str) -> str:
        """What a server says in an error, in one line and without the key."""
        return words_of_error(text, self._key, _LONGEST) or "without a word"


def _broken(error: Exception) -> str:
    import aiohttp

    if isinstance(error, aiohttp.InvalidURL):
        return "the address is no URL"
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno or 0
        return f"nothing can be reached there ({os.strerror(number) if number > 0 else 'no such host'})"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the connection was closed without an answer"
    return f"the connection broke ({type(error).__name__})"
