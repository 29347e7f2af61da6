"""The invariant: whatever happens to a question about room, it is said, the rest is judged, and nothing waits long."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from decimal import Decimal

import pytest

import backendai
from backendai import Connection, Reader, Want
from emulator import Emulator
from tests.conftest import ADMIN
from tests.lifecycle.driver import IMAGE, TINY, PulumiStack

from . import rows
from .marks import Marks, everything
from .rows import Cell, Row, cells, empty

LONGEST = 20.0  # seconds for the whole look
QUICK = ("reset", "401", "404 address", "500", "502 page", "half JSON", "clock")
WANT = Want(
    name="chat-0",
    owner="0123456789ab.abcdef",
    image=IMAGE,
    resource_group="default",
    project="default",
    domain="default",
    slots={"cpu": Decimal(1), "mem": Decimal(2**30), "cuda.shares": Decimal("0.5")},
    folders=("hf-cache",),
)


@pytest.fixture(scope="module")
def own() -> Iterator[Emulator]:
    with Emulator(gpu_slot="cuda.shares") as emulator:
        yield emulator


def mine(row: Row) -> list[Cell]:
    """Those of one row; in a `make test` each column with some of the rows only."""
    found = [c for c in cells(row) if not empty(c)]
    return found if everything() else [c for c in found if c.column.name in QUICK]


@pytest.mark.parametrize("row", rows.ROOM, ids=lambda row: row.call)
def test_a_row(row: Row, own: Emulator, marks: Marks) -> None:
    reader = Reader(Connection(own.endpoint, *ADMIN))
    for cell in mine(row):
        own.listen()
        own.reset()
        with marks.cell(cell.id):
            fault = None
            if cell.column.name == "refused":
                own.refuse()  # one look asks side by side: none of it, or all
            else:
                fault = own.faults.add(**cell.order())
            started = time.monotonic()
            try:
                capacity = asyncio.run(backendai.look(reader, [WANT]))
            finally:
                own.listen()
            assert time.monotonic() - started < LONGEST
            assert fault is None or fault.taken, "no request met it"
            assert capacity.shortfalls([WANT]) == [], "what isn't known isn't judged"
            unknown = "; ".join(capacity.unknown)
            # Room is nothing to wait long for: an answer that is slow may come too late, and that is said.
            cause = cell.column.cause or r"^$|didn't answer"
            assert re.search(cause, unknown), unknown
            assert ADMIN[1] not in unknown


def test_an_up_goes_on_when_nothing_can_be_asked_beforehand(stack: PulumiStack, bed: Emulator) -> None:
    for n, row in enumerate(rows.ROOM):
        names = ["401", "500", "502 page", "404 address", "reset", "half JSON", "clock"]
        if row.call != rows.SEARCH:  # create asks it, too
            cell = next(c for c in cells(row) if c.column.name == names[n])
            bed.faults.add(**cell.order())
    stack.configure([{"name": "chat", **TINY, "gpus": 0.5, "wait": False}], {"gpu_unit": "cuda.shares"})
    up = stack.up()
    assert "Not checked on the cluster: " in up.text
    assert "HMAC signature mismatch" in up.text
    assert {session.id for session in bed.cluster.living()} == stack.session_ids()
