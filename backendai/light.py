"""A conversation without the SDK's client, for what looks, waits and ends: cheap enough for each `bai-vllm list`, for
the refresh before each `up`, which mostly finds nothing changed, and for the program, which only waits.

Requests go as the Reader's do; a websocket, such as a tunnel's, is aiohttp's with the same signature.  What creates
sessions uses Api.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from types import SimpleNamespace, TracebackType
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import quote, urlencode

from .api import Api
from .connection import Connection
from .reader import Reader
from .translation import translated

if TYPE_CHECKING:
    import aiohttp
    from ai.backend.client.request import WebSocketResponse


class LightApi(Api):
    """`async with LightApi(connection) as api:` as Api, without the second that its SDK takes to load."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._reader = Reader(connection)
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self.connection.connect_timeout)
        connector = aiohttp.TCPConnector(ssl=self.connection.tls())
        self._http = aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.close()

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        timeout: float = 0.0,
    ) -> Any:
        """One request; the answer's JSON.  `timeout`: seconds for each step of it, 0: the connection's read_timeout.

        Raises ClusterError.
        """
        seconds = timeout or self.connection.read_timeout
        return await self._reader.call(method, path, body=body, params=params, timeout=seconds)

    @contextlib.asynccontextmanager
    async def websocket(self, path: str, params: Mapping[str, str]) -> AsyncIterator[WebSocketResponse]:
        """A websocket to the manager.  Raises ClusterError when the handshake fails."""
        import aiohttp

        assert self._http is not None, "use `async with`"
        endpoint = self.connection.endpoint
        target = f"{quote(path)}?{urlencode(params)}"
        headers = self._reader.headers("GET", target)
        async with contextlib.AsyncExitStack() as stack:
            try:
                raw = await stack.enter_async_context(
                    self._http.ws_connect(endpoint + target, headers=headers, max_msg_size=0)
                )
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise translated(error, endpoint) from None
            yield cast("WebSocketResponse", SimpleNamespace(raw_websocket=raw))
