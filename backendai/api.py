"""The only place that speaks to the manager: one signed conversation over the SDK, its failures classified.

`ai.backend.client` costs more than a second to import, so it is imported when the first conversation begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from . import errors
from .classification import REDIRECTS, classify
from .connection import Connection
from .translation import answer_of, translated

if TYPE_CHECKING:
    import aiohttp
    from ai.backend.client.request import Response, WebSocketResponse
    from ai.backend.client.session import AsyncSession

NO_CONTENT, TOO_MANY = 204, 429
_ERRORS_FROM = 300
_LOADING = threading.Lock()


def load_sdk() -> None:
    """Import the SDK (about 1.3 s), and stop it from reading `.env` files.

    Its config object loads a `.env` from the working folder or any folder above and lets it override the
    environment, at each construction, whatever arguments it is given.  One thread at a time: of many that import
    it for the first time at once, some see it half made.
    """
    with _LOADING:
        import ai.backend.client.config
        import ai.backend.client.request
        import ai.backend.client.session

        ai.backend.client.config.load_dotenv = lambda *_args, **_kwargs: False


class Api:
    """`async with Api(connection) as api:` one conversation, in one event loop."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._session: AsyncSession | None = None
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(load_sdk)  # a program that waits for other models must not stand still meanwhile
        import aiohttp
        from ai.backend.client.session import AsyncSession

        # "proxy mode" only skips the request that negotiates a version: one less each time, and that request
        # swallows some failures and dies of others with bare ValueErrors.
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self.connection.tls()))
        self._session = AsyncSession(config=_config(self.connection), proxy_mode=True, aiohttp_session=self._http)
        await self._session.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            with contextlib.suppress(ValueError):  # entered in one task and left in another
                await self._session.__aexit__(kind, error, trace)
        if self._http is not None:
            await self._http.close()

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> Any:
        """One request; the answer's JSON.  `timeout` (seconds) bounds the whole of it.  Raises ClusterError."""
        with _classified(self.connection):
            async with asyncio.timeout(timeout):
                request = self._request(method, path, params)
                if body is not None:
                    request.set_json(body)
                async with request.fetch(check_status=False) as response:  # the SDK's errors leave the headers out
                    if response.status >= _ERRORS_FROM:
                        raise await _refusal(response, self.connection)
                    if response.status == NO_CONTENT:
                        return None
                    return answer_of(await response.json(), self.connection.endpoint)

    @contextlib.asynccontextmanager
    async def websocket(self, path: str, params: Mapping[str, str]) -> AsyncIterator[WebSocketResponse]:
        """A websocket to the manager.  Raises ClusterError when the handshake fails."""
        async with contextlib.AsyncExitStack() as stack:
            with _classified(self.connection):
                yielded = await stack.enter_async_context(self._request("GET", path, params).connect_websocket())
            yield yielded

    def _request(self, method: str, path: str, params: Mapping[str, str] | None) -> Any:
        from ai.backend.client.request import Request
        from ai.backend.client.session import api_session

        assert self._session is not None, "use `async with`"
        token = api_session.set(self._session)  # a Request takes its session from here, at construction only
        try:
            return Request(method, path, params=dict(params) if params else None)
        finally:
            api_session.reset(token)


def _config(connection: Connection) -> Any:
    from ai.backend.client.config import APIConfig

    class Config(APIConfig):
        # BACKEND_SKIP_SSLCERT_VALIDATION would turn verification off behind our back.
        skip_sslcert_validation = False

    return Config(
        endpoint=connection.endpoint,
        endpoint_type="api",
        domain=connection.domain,
        group="default",
        storage_proxy_address_map={},
        access_key=connection.access_key,
        secret_key=connection.secret_key,
        connection_timeout=connection.connect_timeout,
        read_timeout=connection.read_timeout,
    )


@contextlib.contextmanager
def _classified(connection: Connection) -> Iterator[None]:
    """Nothing of the SDK or of aiohttp gets out, neither as an exception nor as its cause."""
    import aiohttp
    from ai.backend.client.exceptions import BackendClientError, BackendError

    try:
        yield
    except (BackendError, aiohttp.ClientError, OSError, json.JSONDecodeError) as error:
        own = error.__cause__ if isinstance(error, BackendClientError) and error.__cause__ else error
        raise translated(own, connection.endpoint) from None


async def _refusal(response: Response, connection: Connection) -> errors.ClusterError:
    """The error that an answer is; a page instead of a problem document is the limit of a proxy, or a fault."""
    import aiohttp

    try:
        problem = await response.json()
    except (aiohttp.ContentTypeError, json.JSONDecodeError):
        if response.status != TOO_MANY and response.status not in REDIRECTS:
            raise
        problem = {}
    return classify(
        response.status,
        problem,
        endpoint=connection.endpoint,
        secrets=(connection.access_key, connection.secret_key),
        retry_after=response.headers.get("Retry-After"),
        location=response.headers.get("Location"),
    )
