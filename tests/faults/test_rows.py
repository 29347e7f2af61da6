"""The invariant: every call that the real CLI makes of the cluster has a row in the matrix, and every row is made."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from emulator import Emulator
from tests.lifecycle.driver import TINY, PulumiStack

from . import rows
from .rows import ID, Row

CHAT: dict[str, Any] = {"name": "chat", **TINY, "session_name": "chat-1", "gpus": 0.5, "model_cache": "hf-cache"}
CLUSTER = {"gpu_unit": "cuda.shares"}


@pytest.fixture
def bed() -> Iterator[Emulator]:
    with Emulator(load_seconds=0.2, gpu_slot="cuda.shares", app_proxy=True) as emulator:
        yield emulator


def asked_of_the_app_proxy(bed: Emulator) -> set[str]:
    seen = {f"{method} {path}" for method, path, _ in bed.app_proxy_requests}
    bed.app_proxy_requests.clear()
    return seen


def asked(bed: Emulator) -> set[str]:
    """What was asked since the last look, ids left out."""
    seen = {f"{method} {re.sub(ID, '{id}', path)}" for method, path, _ in bed.cluster.requests}
    bed.cluster.requests.clear()
    return {re.sub(r"(/v2/domains/)[^/]+$", r"\1{domain}", call) for call in seen}


def calls(*groups: Iterable[Row]) -> set[str]:
    return {row.call for group in groups for row in group}


def test_every_call_of_a_life_has_a_row(stack: PulumiStack, bed: Emulator) -> None:
    stack.configure([CHAT], CLUSTER)
    stack.up()
    assert asked(bed) == calls(rows.ROOM, rows.CREATE, rows.WAIT, rows.PROVE)
    assert asked_of_the_app_proxy(bed) == calls(rows.PROXY)

    stack.refresh()
    assert asked(bed) == calls(rows.READ[:1], rows.SERVED, rows.LOOK)
    assert asked_of_the_app_proxy(bed) == calls(rows.LOOK_PROXY)

    stack.configure([{**CHAT, "session_name": "chat-2"}], CLUSTER)
    stack.up("--refresh=false")
    assert asked(bed) - calls(rows.ROOM) == calls(rows.UPDATE)

    stack.destroy("--refresh=false")
    assert asked(bed) == calls(rows.DELETE)


def test_each_row_is_once_in_the_table() -> None:
    assert len({row.label for row in rows.ROWS}) == len(rows.ROWS)
