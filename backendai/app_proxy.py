"""The app-proxy: a URL that leads to a session's port without a key pair of the cluster.

Three steps, of which the SDK does only the first: the manager starts the service and hands out a token; the app-proxy
turns the token into an address; that address answers with a redirect to the base URL and with the cookie that opens
it.  The cookie is good for 7 days; a circuit that nobody uses goes after an hour, and asking again gives another one.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from . import errors
from .api import Api
from .connection import Connection, untrusted

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

    async def check(self, path: str = "/health") -> None:
        """Raises AppProxyFault unless the session answers 200 through it."""
        headers = {"Cookie": f"{COOKIE}={self.cookie}"}
        async with _asked(self.connection, self.url + path, headers=headers) as answer:
            _expect(answer, answer.status == _OK)


async def open_circuit(api: Api, session_id: str, app: str) -> Circuit | None:
    """The session's circuit for an app ("8000"), a new one or the one that is there.  None: there is no app-proxy.

    Raises AppProxyFault when its app-proxy leads nowhere from here, another ClusterError for what says nothing about
    an app-proxy, such as a session that doesn't exist.
    """
    try:
        started = await api.call(
            "POST", f"/v2/sessions/{session_id}/services/start", body={"service": app}, timeout=TIMEOUT
        )
    except errors.ServerFault:  # 500 appproxy_request_unavailable, or the coordinator refuses the manager
        return None
    match started:
        case {"token": str(token), "wsproxy_addr": str(address)}:
            query = {"token": token, "session_id": session_id, "app": app, "protocol": "preopen"}
            return await _opened(address.rstrip("/"), query, api.connection)
    raise _fault(api.connection.endpoint, "answered with no token and address of an app-proxy")


async def _opened(address: str, query: dict[str, str], connection: Connection) -> Circuit:
    auth, accept = f"{address}/v2/proxy/auth", {"Accept": "application/json"}
    async with _asked(connection, auth, params=query, headers=accept) as answer:
        _expect(answer, answer.status == _OK)
        said = await answer.json()
        redirect = said.get("redirect_url") if isinstance(said, dict) else None
    if not isinstance(redirect, str):
        raise _fault(auth, "answered with no address")
    async with _asked(connection, redirect) as answer:
        location, cookie = answer.headers.get("Location"), answer.cookies.get(COOKIE)
        _expect(answer, answer.status in _REDIRECTS)
        if not location or cookie is None:
            raise _fault(redirect, "answered with no address or no cookie")
        return Circuit(location.rstrip("/"), cookie.value, connection)


@contextlib.asynccontextmanager
async def _asked(connection: Connection, url: str, **how: Any) -> AsyncIterator[aiohttp.ClientResponse]:
    """One GET, which isn't sent on elsewhere.

    Raises AppProxyFault for an answer that doesn't come, and for one that breaks off or turns out to be no JSON inside.
    """
    import aiohttp

    connector = aiohttp.TCPConnector(ssl=connection.tls())
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT), connector=connector) as http,
            http.get(url, allow_redirects=False, **how) as answer,
        ):
            yield answer
    except aiohttp.ClientConnectorCertificateError as error:
        verify = getattr(error.certificate_error, "verify_message", "certificate")
        known = untrusted(_base(url), verify)
        raise errors.AppProxyFault(known.what, known.cure) from None
    except TimeoutError:
        raise _fault(url, f"didn't answer within {TIMEOUT:.0f} s") from None
    except aiohttp.ClientConnectionError as error:
        refused = isinstance(error, aiohttp.ClientConnectorError)
        raise _fault(url, "can't be reached from here" if refused else "broke off the connection") from None
    except (aiohttp.ClientError, OSError, ValueError):
        raise _fault(url, "gave an answer that is cut off or no JSON") from None


def _expect(answer: aiohttp.ClientResponse, fine: bool) -> None:
    if not fine:
        raise _fault(str(answer.url), f"answered {answer.url.path} with status {answer.status}")


def _fault(url: str, what: str) -> errors.AppProxyFault:
    return errors.AppProxyFault(
        f"The app-proxy at {_base(url)} {what}.", "Check that it runs and that this address can be reached from here."
    )


def _base(url: str) -> str:
    """Without the path and the query, in which tokens are."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
