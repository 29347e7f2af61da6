"""One signed request without `backendai/`, signed by the SDK's own function: for what the door hides or can't send."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from ai.backend.client.auth import generate_signature
from yarl import URL

API_VERSION = "v9.20250722"
JSON = "application/json"
TIMEOUT = aiohttp.ClientTimeout(total=30.0)  # seconds


@dataclass(frozen=True)
class Keys:
    """A key pair of a user."""

    access_key: str
    secret_key: str = field(repr=False)


@dataclass(frozen=True)
class Answer:
    """`body` is what the JSON says; text where it isn't JSON."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(repr=False)

    @property
    def problem(self) -> tuple[int, str]:
        """What an error is classified by: status and error_code."""
        code = self.body.get("error_code", "") if isinstance(self.body, dict) else ""
        return self.status, str(code)


def signed(endpoint: str, who: Keys, method: str, path: str, clock: timedelta = timedelta(0)) -> dict[str, str]:
    """The headers of a request; `path` with its query.  `clock`: how far ahead the sender's clock is."""
    date = datetime.now(UTC) + clock
    authorization, _ = generate_signature(
        method=method,
        version=API_VERSION,
        endpoint=URL(endpoint),
        date=date,
        rel_url=path,
        content_type=JSON,
        access_key=who.access_key,
        secret_key=who.secret_key,
        hash_type="sha256",
    )
    return {**authorization, "Date": date.isoformat(), "Content-Type": JSON, "X-BackendAI-Version": API_VERSION}


async def ask(
    endpoint: str, who: Keys, method: str, path: str, body: Any = None, *, clock: timedelta = timedelta(0)
) -> Answer:
    """One signed request with a JSON body."""
    headers = signed(endpoint, who, method, path, clock)
    data = None if body is None else json.dumps(body)
    return await fetch(method, f"{endpoint}{path}", headers=headers, data=data)


async def fetch(method: str, url: str, **options: Any) -> Answer:
    """One request as it is, no redirect followed, no cookie kept."""
    cookies = aiohttp.DummyCookieJar()
    async with (
        aiohttp.ClientSession(timeout=TIMEOUT, cookie_jar=cookies) as http,
        http.request(method, URL(url, encoded=True), allow_redirects=False, **options) as response,
    ):
        text = await response.text()
        try:
            return Answer(response.status, json.loads(text), response.headers)
        except ValueError:
            return Answer(response.status, text, response.headers)
