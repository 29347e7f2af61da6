"""The invariant: while a model loads, nothing that happens on the wire ends it, and what stays wrong is told."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from backendai import ClusterError, Connection, SessionSpec, sessions
from backendai.light import LightApi
from emulator import Emulator
from providers.waiting import EndpointError, Target, wait_until_ready
from tests.conftest import ADMIN
from tests.lifecycle.driver import IMAGE, TINY

from . import rows
from .marks import Marks, everything
from .rows import Cell, cells, empty, heals

LONGEST = 60.0  # seconds for one wait
STALL = 4.0  # seconds without anything that moves
SAMPLE = ("reset", "401", "404 gone", "500")
PATIENT = 35.0  # the same, where silence alone lasts longer than that
KEY = "sk-0123456789abcdef"
MODEL = str(TINY["model"])


@pytest.fixture(scope="module")
def own() -> Iterator[Emulator]:
    with Emulator(load_seconds=0.1, start_seconds=0.1, gpu_slot="cuda.shares") as emulator:
        yield emulator


def mine() -> list[Cell]:
    found = [c for c in cells(*rows.WAIT) if not empty(c)]
    return found if everything() else [c for c in found if c.column.name in SAMPLE and c.when == "before"][::3]


def must_heal(cell: Cell) -> bool:
    row, column = cell.row, cell.column
    if column.name == "refused":  # from then on nobody answers at all
        return False
    if row == rows.WAIT[1]:  # the log is read to tell the phase: nothing depends on it
        return True
    if row == rows.WAIT[2]:
        return cell.once
    return heals(cell)


def spec(name: str) -> SessionSpec:
    command = f"exec vllm serve {MODEL} --host=0.0.0.0 --port=8000 --served-model-name={MODEL} --max-model-len=512"
    slots = {"cpu": "1", "mem": "1g", "cuda.shares": "0.5"}
    place: dict[str, Any] = {"resource_group": "default", "domain": "default", "project": "default"}
    tag = "bai-vllm:0123456789ab.abcdef:0"
    return SessionSpec(name, tag, IMAGE, command, slots, "64m", ports=(8000,), environ={"VLLM_API_KEY": KEY}, **place)


@pytest.mark.parametrize("cell", mine(), ids=lambda cell: cell.id)
def test_a_cell(cell: Cell, own: Emulator, marks: Marks) -> None:
    own.listen()
    own.reset()
    with marks.cell(cell.id):
        said, took = asyncio.run(waited(cell, own))
        assert took < LONGEST, f"{took:.0f} s"
        assert (said == "") is must_heal(cell), said
        if said:
            assert re.search(cell.cause, said), said
            assert re.search(cell.column.cure + r"|`pulumi up`", said), said
        assert len(own.cluster.living()) == 1, "the session is kept"


async def waited(cell: Cell, own: Emulator) -> tuple[str, float]:
    """What the wait ended with ("" when the model answered), and after how long."""
    async with LightApi(Connection(own.endpoint, *ADMIN)) as api:
        id_ = await sessions.ensure(api, spec("chat-1"))
        while own.cluster.sessions[id_].status != "RUNNING":
            await asyncio.sleep(0.05)
        met = order(cell, own)
        started, said = time.monotonic(), ""
        stall = PATIENT if cell.column.name == "timeout" else STALL
        try:
            await wait_until_ready(api, Target(id_, "chat-1", MODEL, 8000, KEY, stall), lambda _phase: None)
        except (EndpointError, ClusterError) as error:
            said = str(error)
        finally:
            own.listen()
        assert met(), "no request met it"
        return said, time.monotonic() - started


def order(cell: Cell, own: Emulator) -> Any:
    if cell.column.name != "refused":
        fault = own.faults.add(**cell.order())
        return lambda: fault.taken
    n = rows.WAIT.index(cell.row)
    if n:
        fault = own.faults.add(**Cell(rows.WAIT[n - 1], "before", cell.column).order(times=1))
        return lambda: fault.taken
    # It may have a connection open from before, which no listener has to answer.
    fault = own.faults.add(**Cell(rows.WAIT[0], "before", cell.column).order(times=1))
    return lambda: fault.taken
