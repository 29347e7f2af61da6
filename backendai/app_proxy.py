"""The app-proxy: a URL that leads to a session's port without a key pair of the cluster.

Three steps, of which the SDK does only the first: the manager starts the service and hands out a token; the app-proxy
turns the token into an address; that address answers with a redirect to the base URL and with the cookie that opens
it.  The cookie is good for 7 days; a circuit that nobody uses goes after an hour, and asking again gives another one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import errors
from .api import Api
from .connection import Connection

if TYPE_CHECKING:
    import aiohttp

COOKIE = "appproxy_permit"
TIMEOUT = 10.0  # seconds for each of the steps
_REDIRECTS = (301, 302, 303, 307, 308)
_OK = 200


@dataclass(frozen=True)
class Circuit:
    """`url` is the base URL; without the cookie, as `Cookie: NAME=VALUE`, it answers 401."""

    url: str
    cookie: str = field(repr=False)
    connection: Connection = field(repr=False)  # whose certificates are trusted

    async def answers(self, path: str = "/health") -> bool:
        """Whether the session still answers 200 through it."""
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, connector=_connector(self.connection)) as http,
                http.get(self.url + path, headers={"Cookie": f"{COOKIE}={self.cookie}"}) as answer,
            ):
                return answer.status == _OK
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False


async def open_circuit(api: Api, session_id: str, app: str) -> Circuit | None:
    """The session's circuit for an app ("8000"), a new one or the one that is there.

    None where the cluster has no app-proxy, or none that can be reached from here.  Raises ClusterError for what says
    nothing about an app-proxy, such as a session that doesn't exist.
    """
    try:
        started = await api.call(
            "POST", f"/v2/sessions/{session_id}/services/start", body={"service": app}, timeout=TIMEOUT
        )
    except errors.ServerFault:  # 500 appproxy_request_unavailable, or the coordinator refuses the manager
        return None
    return await _address(started, session_id, app, api.connection)


def _connector(connection: Connection) -> aiohttp.TCPConnector:
    import aiohttp

    return aiohttp.TCPConnector(ssl=connection.tls())


async def _address(started: Any, session_id: str, app: str, connection: Connection) -> Circuit | None:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    try:
        query = {"token": str(started["token"]), "session_id": session_id, "app": app, "protocol": "preopen"}
        async with aiohttp.ClientSession(timeout=timeout, connector=_connector(connection)) as http:
            url = f"{str(started['wsproxy_addr']).rstrip('/')}/v2/proxy/auth"
            async with http.get(url, params=query, headers={"Accept": "application/json"}) as answer:
                if answer.status != _OK:
                    return None
                redirect = (await answer.json())["redirect_url"]
            async with http.get(redirect, allow_redirects=False) as answer:
                location, cookie = answer.headers.get("Location"), answer.cookies.get(COOKIE)
                if answer.status not in _REDIRECTS or not location or cookie is None:
                    return None
                return Circuit(location.rstrip("/"), cookie.value, connection)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError):
        return None  # an address inside the cluster's network, or none of an app-proxy
