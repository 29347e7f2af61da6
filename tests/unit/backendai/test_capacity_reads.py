"""The invariant: whatever the cluster answers, looking ends in time and never fails; what isn't learnt is said."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from backendai import Want, capacity_reads, errors, look

WANT = Want("w", "", "image", "default", "default", "default", {"cpu": Decimal(1)}, ("folder",))


class Cluster:
    """Answers everything with the same."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def call(self, method: str, path: str, *, body: Any = None, params: Mapping[str, str] | None = None) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        if self._answer is asyncio.sleep:
            await asyncio.sleep(60)
        return self._answer


@pytest.mark.parametrize(
    "answer", [{}, [], {"items": [{}]}, {"data": {"i0": {}}}, {"data": [1]}, "text", None], ids=str
)
async def test_an_answer_that_is_not_understood(answer: Any) -> None:
    capacity = await look(Cluster(answer), [WANT])
    assert [s for s in capacity.shortfalls([WANT]) if "folder" not in s.what] == []


@pytest.mark.parametrize(
    "error",
    [errors.Unreachable("Nothing."), errors.PermissionDenied("No."), errors.ServerFault("500."), errors.NotFound("?")],
    ids=lambda error: type(error).__name__,
)
async def test_a_cluster_that_refuses(error: Exception) -> None:
    capacity = await look(Cluster(error), [WANT])
    assert capacity.shortfalls([WANT]) == []
    assert any("quota and free slots" in words for words in capacity.unknown)


async def test_a_cluster_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity_reads, "LONGEST", 0.05)
    capacity = await look(Cluster(asyncio.sleep), [WANT])
    assert capacity.unknown == ("what took longer than 0 s",)
