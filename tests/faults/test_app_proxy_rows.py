"""The invariant: an app-proxy that leads nowhere costs no endpoint: the tunnel's address takes its place, said why."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from emulator import Emulator
from providers.model_endpoint import APP_PROXY, TUNNEL

from . import rows
from .marks import Marks, everything
from .rows import Cell, cells, empty
from .stage import Stage

LONGEST = 60.0  # seconds for one call of a provider
SAMPLE = ("refused", "reset", "401", "half JSON")
# What is said on stderr; an answer's status is said whatever its body is.
SAYS = {
    "refused": "can't be reached from here",
    "reset": "broke off the connection",
    "timeout": "didn't answer within 10 s",
    "502 page": "with status 502",
}


def mine() -> list[Cell]:
    found = [c for c in cells(*rows.PROXY, *rows.LOOK_PROXY) if not empty(c)]
    return found if everything() else [c for c in found if c.column.name in SAMPLE and c.when == "before"][::3]


@pytest.fixture(scope="module")
def own() -> Iterator[Emulator]:
    with Emulator(load_seconds=0.2, start_seconds=0.1, gpu_slot="cuda.shares", app_proxy=True) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def stage(own: Emulator, cluster_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(own, cluster_env, tmp_path_factory.mktemp("said") / "stderr") as stage:
        yield stage


def spoil(stage: Stage, cell: Cell) -> Callable[[], bool]:
    """Orders the fault; what comes back tells whether it was met."""
    order = cell
    if cell.column.name == "refused":
        if cell.row in (rows.PROXY[0], *rows.LOOK_PROXY):
            stage.bed.refuse_app_proxy()
            return lambda: True
        order = Cell(rows.PROXY[rows.PROXY.index(cell.row) - 1], "before", cell.column)
    fault = stage.bed.faults.add(**order.order())
    return lambda: bool(fault.taken)


def called(stage: Stage, cell: Cell) -> tuple[Callable[[], bool], str, dict[str, Any]]:
    """Whether the fault was met; the session's id, and what the endpoint's state has afterwards."""
    id_, _ = stage.serving()
    if cell.row not in rows.LOOK_PROXY:
        met = spoil(stage, cell)
        return met, id_, stage.endpoints.create(stage.endpoint(id_))[1]
    name, outs = stage.endpoints.create(stage.endpoint(id_))
    assert outs["via"] == APP_PROXY
    met = spoil(stage, cell)
    return met, id_, stage.endpoints.read(name, outs)[1]


def leads_there(cell: Cell) -> bool:
    """Whether the endpoint's address is the app-proxy's all the same."""
    if cell.column.name == "slow":
        return True
    if cell.row in rows.LOOK_PROXY:  # another circuit is asked for, and checked
        return cell.once
    if cell.column.name == "reset":  # aiohttp itself asks once more
        return cell.once
    # Of all but the first answer, the headers are what counts.
    return cell.column.name == "half JSON" and cell.when == "after" and cell.row != rows.PROXY[0]


def says(cell: Cell) -> str:
    """A regular expression for the reason."""
    status = cell.column.order.get("status", 500)
    said = SAYS.get(cell.column.name, f"with status {status}")
    if cell.column.name == "half JSON" and cell.when == "after":
        said = "cut off or no JSON"
    if cell.column.name == "302" and cell.row == rows.PROXY[1]:  # whose true answer is a redirect, too
        said = "no address or no cookie"
    return rf"\[chat-1\] The app-proxy at http://127\.0\.0\.1:\d+ [^.]*{re.escape(said)}.*the manager's tunnel"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("cell", mine(), ids=lambda cell: cell.id)
def test_a_cell(cell: Cell, stage: Stage, marks: Marks) -> None:
    bed, stderr = stage.bed, stage.stderr
    assert stderr is not None
    bed.listen()
    bed.reset()
    before = len(stderr.read_text())
    with marks.cell(cell.id):
        started = time.monotonic()
        try:
            met, id_, outs = called(stage, cell)
        finally:
            bed.listen()
        said = stderr.read_text()[before:]
        assert met(), "no request met it"
        assert time.monotonic() - started < LONGEST
        assert outs["models"], "the model answers"
        assert outs["via"] == (APP_PROXY if leads_there(cell) else TUNNEL)
        assert bool(outs.get("cookie")) == (outs["via"] == APP_PROXY)
        assert "Traceback" not in said
        if leads_there(cell):
            assert said == "" or cell.row in rows.LOOK_PROXY, said
        else:
            assert re.search(says(cell), said), said
        assert [session.id for session in bed.cluster.living()] == [id_]
        name, length = f"{id_}/{outs['served_model_name']}", len(stderr.read_text())
        if not cell.once and outs["via"] == TUNNEL and cell.column.name != "refused":
            outs = stage.endpoints.read(name, outs)[1]
            assert (outs["via"], len(stderr.read_text())) == (TUNNEL, length), "told once"
        bed.faults.clear()
        assert stage.endpoints.read(name, outs)[1]["via"] == APP_PROXY, "asked again"
