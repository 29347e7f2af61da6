"""HMAC request signatures, checked as the manager does (`ai.backend.common.auth.utils.generate_signature`).

The body isn't signed: its hash is that of an empty one.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from emulator.cluster.exceptions import AuthFailed, InternalError, InvalidAuthParameters
from emulator.cluster.models import User
from emulator.http import Request

WINDOW = timedelta(minutes=15)


def authenticate(request: Request, users: Mapping[str, User], now: datetime) -> User:
    """The user whose key signed the request. Raises AuthFailed (401) or InvalidAuthParameters (400)."""
    if "Authorization" not in request.headers:
        raise AuthFailed("Unauthorized access")
    raw_date = request.headers.get("Date", "")
    date = _date(raw_date)
    if date is None or abs(now - date) >= WINDOW:
        raise InvalidAuthParameters("Date/time sync error")
    access_key, signature = _credential(request.headers["Authorization"])
    if access_key not in users:
        raise AuthFailed("Access key not found in HMAC")
    expected = _signature(request, users[access_key].secret_key, raw_date, date)
    if not hmac.compare_digest(expected, signature):
        raise AuthFailed("HMAC signature mismatch")
    return users[access_key]


def _date(text: str) -> datetime | None:
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _credential(header: str) -> tuple[str, str]:
    kind, _, text = header.partition(" ")
    if kind != "BackendAI":
        raise InvalidAuthParameters("Invalid authorization type name")
    parts = dict(part.strip().partition("=")[::2] for part in text.split(","))
    access_key, colon, signature = parts.get("credential", "").partition(":")
    if not colon or parts.get("signMethod", "").upper() != "HMAC-SHA256":
        raise InternalError
    return access_key, signature


def _signature(request: Request, secret_key: str, raw_date: str, date: datetime) -> str:
    version = request.headers.get("X-BackendAI-Version")
    if version is None:
        raise InvalidAuthParameters("API version missing in request headers")
    host = request.headers.get("Host", "")
    content_type = request.headers.get("Content-Type", "application/octet-stream").partition(";")[0].lower()
    text = "\n".join(
        [
            request.method,
            request.target,
            raw_date,
            f"host:{host}",
            f"content-type:{content_type}",
            f"x-backendai-version:{version}",
            hashlib.sha256(b"").hexdigest(),
        ]
    )
    key = hmac.digest(secret_key.encode(), date.strftime("%Y%m%d").encode(), "sha256")
    key = hmac.digest(key, host.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()
