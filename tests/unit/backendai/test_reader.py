"""The invariant: a reader signs as the SDK does."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from ai.backend.common.auth.utils import generate_signature
from yarl import URL

from backendai import Connection
from backendai.reader import API_VERSION, signature


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:8090", "https://manager.example.com", "https://m.example:8443"])
@pytest.mark.parametrize(("method", "target"), [("GET", "/folders?a=b%20c"), ("POST", "/v2/sessions/my/search")])
def test_as_the_sdk(endpoint: str, method: str, target: str) -> None:
    date = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
    theirs, _ = generate_signature(
        method=method,
        version=API_VERSION,
        endpoint=URL(endpoint),
        date=date,
        rel_url=target,
        content_type="application/json",
        access_key="AK",
        secret_key="SK",
        hash_type="sha256",
    )
    assert signature(Connection(endpoint, "AK", "SK"), method, target, date) == theirs["Authorization"]
