"""Whether a vLLM server answers.  A completion under the served name is the proof; /health alone lies."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from .server_words import json_object, models_listed, words_of_error

if TYPE_CHECKING:
    import aiohttp

_PROMPT = "Hi"
_MAX_WORDS = 300  # characters of a server's own message
_OK, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY, _SERVER_ERROR = 200, 401, 403, 404, 429, 500


@dataclass(frozen=True)
class Ready:
    """A completion came back.  `models`: all names it serves; `max_model_len`: tokens, None when not said."""

    models: tuple[str, ...]
    max_model_len: int | None
    served: str

    ready: ClassVar[bool] = True
    busy: ClassVar[bool] = False
    final: ClassVar[bool] = False
    reason: ClassVar[str] = ""


@dataclass(frozen=True)
class NotReady:
    """No completion came back.  `reason` is a sentence; `phase_hint` a word for it.

    `busy`: it is alive but didn't answer in time.  `final`: asking again can't help, something is set wrong.
    """

    reason: str
    phase_hint: str
    busy: bool = False
    final: bool = False

    ready: ClassVar[bool] = False


class _Refusal(Exception):
    """Ends a probe with its verdict."""

    def __init__(self, answer: NotReady) -> None:
        super().__init__(answer.reason)
        self.answer = answer


async def probe(
    base_url: str,
    model: str,
    api_key: str | None = None,
    timeout: float = 15.0,
    *,
    session: aiohttp.ClientSession | None = None,
) -> Ready | NotReady:
    """Asks /health, then /v1/models, then for one token of `model`, within `timeout` seconds in all.

    `session` may bring a connector of its own; otherwise one is made that uses no proxy.  Never raises
    for what the server does.
    """
    import aiohttp

    if session is None:
        async with aiohttp.ClientSession(trust_env=False) as own:
            return await probe(base_url, model, api_key, timeout, session=own)
    server = _Server(base_url.rstrip("/"), api_key, session)
    try:
        async with asyncio.timeout(timeout):
            return await _probe(server, model)
    except _Refusal as refusal:
        return refusal.answer
    except TimeoutError:
        if server.healthy:
            return NotReady(f"it is healthy, but a token took more than {timeout:g} s", "busy", busy=True)
        return NotReady(f"nothing came back within {timeout:g} s", "busy", busy=True)
    except (aiohttp.ClientError, OSError) as error:
        if server.healthy:
            return NotReady(f"the connection broke during a request ({type(error).__name__})", "failing")
        return NotReady("nothing listens on the port yet", "loading")


async def served_models(base_url: str, api_key: str | None = None, timeout: float = 3.0) -> dict[str, int | None]:
    """What GET /v1/models lists, asked once: each name with its max_model_len.

    Empty without a definite answer within `timeout` seconds: nobody listens yet, another status, no list of models.
    Never raises for what the server does.
    """
    import aiohttp

    try:
        async with asyncio.timeout(timeout), aiohttp.ClientSession(trust_env=False) as session:
            status, text = await _Server(base_url.rstrip("/"), api_key, session).ask("GET", "/v1/models")
    except (aiohttp.ClientError, TimeoutError, OSError):
        return {}
    return models_listed(text) if status == _OK else {}


class _Server:
    """Requests to one server, each as its status and its text."""

    def __init__(self, base_url: str, api_key: str | None, session: aiohttp.ClientSession) -> None:
        self._base_url, self._session, self._api_key = base_url, session, api_key
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.healthy = False

    async def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, str]:
        url = self._base_url + path
        async with self._session.request(
            method, url, json=body, headers=self._headers, allow_redirects=False
        ) as response:
            return response.status, (await response.read()).decode(errors="replace")

    def words(self, text: str) -> str:
        """What a server says in an error, short and without the key."""
        return words_of_error(text, self._api_key, _MAX_WORDS)


async def _probe(server: _Server, model: str) -> Ready:
    status, text = await server.ask("GET", "/health")
    if status != _OK:
        raise _Refusal(NotReady(f"/health answers {status}", "failing"))
    server.healthy = True
    status, text = await server.ask("GET", "/v1/models")
    _refuse_unless_served(server, status, text, model)
    lengths = models_listed(text)
    if not lengths:
        raise _Refusal(NotReady("/v1/models lists no model: this is no vLLM, or not up yet", "unknown"))
    if model not in lengths:
        raise _Refusal(_not_served(model, tuple(lengths)))
    body = {"model": model, "prompt": _PROMPT, "max_tokens": 1, "temperature": 0}
    status, text = await server.ask("POST", "/v1/completions", body)
    _refuse_unless_served(server, status, text, model)
    if not json_object(text).get("choices"):
        raise _Refusal(NotReady("the answer to a completion holds none: this is no vLLM", "unknown"))
    return Ready(tuple(lengths), lengths[model], model)


def _refuse_unless_served(server: _Server, status: int, text: str, model: str) -> None:
    """Raises _Refusal for every status but 200."""
    if status == _OK:
        return
    said = server.words(text)
    if status in (_UNAUTHORIZED, _FORBIDDEN):
        answer = NotReady(
            f"it answers {status}: the api_key isn't the one it was started with", "wrong-key", final=True
        )
    elif status == _TOO_MANY:
        answer = NotReady(f"it has too much to do ({said})", "busy", busy=True)
    elif status >= _SERVER_ERROR:
        answer = NotReady(f"the engine fails: it answers {status} ({said})", "failing")
    elif status == _NOT_FOUND and "does not exist" in said:
        answer = NotReady(f"it doesn't serve {model}: {said}", "wrong-model", final=True)
    else:
        answer = NotReady(f"it answers {status} to a completion ({said})", "refused", final=True)
    raise _Refusal(answer)


def _not_served(model: str, served: tuple[str, ...]) -> NotReady:
    names = ", ".join(served)
    reason = f"it serves {names} and not {model}: another server has the port, or served_model_name differs"
    return NotReady(reason, "wrong-model", final=True)
