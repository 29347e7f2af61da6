"""The invariant: the same for the calls that no CLI run can single out, one after another through the provider's gRPC.

What the CLI would add, an exit code and a line of diagnostics, is the same for every failed call (test_session_rows).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from emulator import Emulator
from emulator.faults import Fault
from tests.provider.driver import CallFailed

from . import rows
from .columns import NAMES
from .marks import Marks, everything
from .rows import Cell, Row, cells, empty, heals
from .stage import INPUTS, Stage

LONGEST = 150.0  # seconds for one call of a provider
SAMPLE = ("refused", "reset", "404 gone", "half JSON")
REFUSED_OF = (*rows.CREATE, rows.READ[0], *rows.UPDATE, *rows.DELETE)  # their other columns run through the CLI
HERE = (*rows.PROVE, *rows.READ[1:], *rows.SERVED, *rows.LOOK, *rows.REPLACE)


def mine() -> list[Cell]:
    wanted = [c for c in cells(*REFUSED_OF) if c.column.name == "refused"] + cells(*HERE)
    wanted = [c for c in wanted if not empty(c)]
    if everything():
        return wanted
    quick = [c for c in wanted if c.column.name in SAMPLE and c.when == "before" and not c.waits]
    return quick[::4]


@pytest.fixture(scope="module")
def own() -> Iterator[Emulator]:
    with Emulator(load_seconds=0.2, start_seconds=0.1, gpu_slot="cuda.shares") as emulator:
        yield emulator


@pytest.fixture(scope="module")
def stage(own: Emulator, cluster_env: dict[str, str]) -> Iterator[Stage]:
    with Stage(own, cluster_env) as stage:
        yield stage


Call = Callable[[], Any]


def prepared(stage: Stage, operation: str) -> Call:
    """The operation, ready to be called; what it needs is there."""
    if operation == "create":
        return stage.session
    if operation == "leftover":
        stage.session(max_model_len=256)
        return stage.session
    if operation == "prove":
        id_, _ = stage.serving()
        return lambda: stage.endpoints.create(stage.endpoint(id_))
    if operation == "look again":
        id_, _ = stage.serving()
        name, outs = stage.endpoints.create(stage.endpoint(id_))
        return lambda: stage.endpoints.read(name, outs)
    id_, outs = stage.running()
    if operation == "read, ended":
        stage.bed.cluster.kill_container(stage.bed.cluster.sessions[id_])
        stage.until(lambda: stage.bed.cluster.sessions[id_].terminal)
    calls: dict[str, Call] = {
        "read": lambda: stage.sessions.read(id_, outs),
        "read, ended": lambda: stage.sessions.read(id_, outs),
        "update": lambda: stage.sessions.update(id_, outs, {**INPUTS, "session_name": "chat-2"}),
        "delete": lambda: stage.sessions.delete(id_, outs),
    }
    return calls[operation]


def spoil(stage: Stage, cell: Cell) -> Callable[[], bool]:
    """Orders the fault; what comes back tells whether it was met."""
    faults = stage.bed.faults
    if cell.column.name != "refused":
        fault = faults.add(**cell.order())
        return lambda: bool(fault.taken)
    before = predecessor(cell.row)
    if before is None:
        stage.bed.refuse()
        return lambda: True
    last: Fault = faults.add(**Cell(before, "before", cell.column).order(times=1))
    return lambda: bool(last.taken)


def predecessor(row: Row) -> Row | None:
    """The call whose answer is the last that is given."""
    same = [r for r in rows.ROWS if r.operation == row.operation]
    if row.operation == "read, ended":
        same.insert(0, rows.READ[0])
    before = same.index(row) - 1
    return same[before] if before >= 0 else None


# Nothing is lost when these aren't had: the operation goes on without them.
NOT_NEEDED = {*rows.READ[1:], *rows.SERVED, rows.PROVE[2], rows.PROVE[3], rows.PROVE[4]}
# Asked again within the operation, or a proof that is tried again.
TRIED_AGAIN = {rows.PROVE[1], rows.LOOK[1]}


def must_heal(cell: Cell) -> bool:
    row, column = cell.row, cell.column
    if row == rows.PROVE[2]:  # a cluster without an app-proxy answers 500; anything else isn't taken for that
        return column.name in ("500", "502 page", "half JSON", "slow")
    if row in NOT_NEEDED:
        return True
    if row in TRIED_AGAIN:
        if row == rows.LOOK[1]:  # an endpoint that doesn't answer is gone, which is no failure
            return True
        return cell.once and column.name != "timeout"  # silence is taken for a model that is busy
    return heals(cell)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("cell", mine(), ids=lambda cell: cell.id)
def test_a_cell(cell: Cell, stage: Stage, marks: Marks) -> None:
    bed = stage.bed
    bed.listen()
    bed.reset()
    call = prepared(stage, cell.row.operation)
    with marks.cell(cell.id):
        met = spoil(stage, cell)
        started, said = time.monotonic(), ""
        try:
            call()
        except CallFailed as error:
            said = str(error)
        finally:
            bed.listen()
        assert met(), "no request met it"
        assert time.monotonic() - started < LONGEST
        bed.faults.clear()
        if must_heal(cell):
            assert not said, said
        else:
            assert re.search(cell.cause, said), said
            assert re.search(cell.column.cure + r"|`pulumi up`", said), said
            assert "Traceback" not in said
            if cell.column.name == "409":
                assert (NAMES in said) == cell.names, said
        converges(stage, cell.row.operation)


def converges(stage: Stage, operation: str) -> None:
    """One more run: exactly one session, or none."""
    cluster = stage.bed.cluster
    if operation in ("delete", "read, ended"):
        for session in list(cluster.sessions.values()):
            stage.sessions.delete(session.id, {**INPUTS, "endpoint": stage.bed.endpoint})
        assert cluster.living() == []
        return
    assert len(cluster.living()) <= 1
    name = cluster.living()[0].name if cluster.living() else "chat-1"
    id_, _ = stage.sessions.create({**INPUTS, "session_name": name})
    assert [session.id for session in cluster.living()] == [id_]
