"""A conversation that only asks, cheap enough for every preview: signed requests without the SDK.

Importing the SDK costs more than a second, a preview shall not.  What carries a request is the standard library, a
connection a request, in threads.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import http.client
import json
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from . import errors
from .classification import classify
from .connection import NOT_WHOLE, Connection, check_the_way, untrusted
from .translation import answer_of

API_VERSION = "v9.20250722"
_JSON = "application/json"
_ERRORS_FROM = 300


class Reader:
    """`call` as Api has it, a connection a request."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        timeout: float = 5.0,
    ) -> Any:
        """One request; the answer's JSON.  `timeout`: seconds for each step of it.  Raises ClusterError."""
        target = quote(path) + (f"?{urlencode(params)}" if params else "")
        return await asyncio.to_thread(self._ask, method, target, body, timeout)

    def _ask(self, method: str, target: str, body: Any, timeout: float) -> Any:
        endpoint, cure = self.connection.endpoint, check_the_way(self.connection.endpoint)
        parts = urlsplit(endpoint)
        http_connection = http.client.HTTPConnection(parts.netloc, timeout=timeout)
        if parts.scheme == "https":
            http_connection = http.client.HTTPSConnection(parts.netloc, timeout=timeout, context=self.connection.tls())
        data = None if body is None else json.dumps(body)
        try:
            http_connection.request(method, parts.path + target, data, self.headers(method, target))
            response = http_connection.getresponse()
            status, text, told = response.status, response.read(), response.headers
        except ConnectionRefusedError:
            raise errors.Unreachable(f"Nothing answers at {endpoint}.", cure, sent=False) from None
        except ssl.SSLCertVerificationError as error:
            raise untrusted(endpoint, error.verify_message) from None
        except http.client.IncompleteRead:
            raise errors.ServerFault(f"{endpoint} gave an answer that was cut off.", NOT_WHOLE) from None
        except (OSError, http.client.HTTPException) as error:
            raise errors.Unreachable(f"{endpoint} didn't answer ({type(error).__name__}).", cure) from None
        finally:
            http_connection.close()
        try:
            answer = json.loads(text) if status != HTTPStatus.NO_CONTENT else None
        except ValueError:
            if status < _ERRORS_FROM:
                what = f"{endpoint} gave an answer that is no JSON (status {status})."
                raise errors.ServerFault(what, NOT_WHOLE) from None
            answer = {}
        if status >= _ERRORS_FROM:
            secrets = (self.connection.access_key, self.connection.secret_key)
            headers = {"retry_after": told.get("Retry-After"), "location": told.get("Location")}
            raise classify(status, answer, endpoint=endpoint, secrets=secrets, **headers)
        return answer_of(answer, endpoint)

    def headers(self, method: str, target: str) -> dict[str, str]:
        """Those of a signed request; `target` is path and query."""
        date = datetime.now(UTC)
        return {
            "Host": urlsplit(self.connection.endpoint).netloc,  # as signed, with a default port, too
            "Authorization": signature(self.connection, method, target, date),
            "Date": date.isoformat(),
            "Content-Type": _JSON,
            "X-BackendAI-Version": API_VERSION,
            "X-BackendAI-Domain": self.connection.domain,
        }


def signature(connection: Connection, method: str, target: str, date: datetime) -> str:
    """The Authorization header, as `ai.backend.common.auth.utils.generate_signature` makes it: the body isn't signed.

    (Importing that function costs 0.1 s; a test holds the two equal.)
    """
    host = urlsplit(connection.endpoint).netloc
    lines = (method, target, date.isoformat(), f"host:{host}", f"content-type:{_JSON}")
    text = "\n".join((*lines, f"x-backendai-version:{API_VERSION}", hashlib.sha256(b"").hexdigest()))
    key = connection.secret_key.encode()
    for part in (date.strftime("%Y%m%d"), host):
        key = hmac.digest(key, part.encode(), "sha256")
    signed = hmac.digest(key, text.encode(), "sha256").hex()
    return f"BackendAI signMethod=HMAC-SHA256, credential={connection.access_key}:{signed}"
