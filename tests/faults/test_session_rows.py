"""The invariant: whatever happens to one call of create, read, update or delete, the next run leads to one session.

Through the real CLI: many models side by side in one run, each of which suffers one cell.
"""

from __future__ import annotations

import pytest

from emulator import Emulator
from tests.lifecycle.driver import PulumiStack

from . import rows
from .fleet import Fleet, judge, nothing_twice, settled
from .marks import Marks, everything
from .rows import Cell, Row, cells, empty, heals

BY_ITSELF = "refused"  # nobody listens: that can't be so for one model only (test_provider_rows.py)
LARGEST = 26
SAMPLE = ("reset", "401", "404 gone", "404 address", "409", "429", "502 page", "half JSON", "clock")


def batches(*of: Row) -> list[list[Cell]]:
    """Runs that must fail and runs that must not: so the exit code tells of each cell."""
    all_ = [cell for cell in cells(*of) if not empty(cell) and cell.column.name != BY_ITSELF]
    found = []
    for good in (False, True):
        same = [cell for cell in all_ if heals(cell) is good]
        found += [same[start : start + LARGEST] for start in range(0, len(same), LARGEST)]
    return found


def sample(*of: Row) -> list[list[Cell]]:
    """For `make test`: each quick column once, each in another row where there are several, of those that must fail."""
    quick = [c for c in cells(*of) if not (empty(c) or heals(c) or c.waits) and c.column.name in SAMPLE]
    chosen = []
    for n, name in enumerate(SAMPLE):
        same = [cell for cell in quick if cell.column.name == name]
        chosen += same[n % len(same) :][:1] if same else []
    return [chosen]


def lives() -> list[tuple[list[Cell], ...]]:
    """create, read, update, delete: a batch of each.  An operation with fewer batches than others repeats some."""
    pick = batches if everything() else sample
    of = [pick(*rows.CREATE), pick(rows.READ[0]), pick(*rows.UPDATE), pick(*rows.DELETE)]
    return [tuple(each[n % len(each)] for each in of) for n in range(max(map(len, of)))]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("number", range(len(lives())))
def test_a_life(number: int, stack: PulumiStack, bed: Emulator, marks: Marks) -> None:
    create, read, update, delete = lives()[number]
    fleet = Fleet(stack, bed, max(map(len, (create, read, update, delete))))

    ordered = fleet.order(create)
    run, took = fleet.run("up", "--continue-on-error", "--refresh=false")
    judge(run, took, ordered, marks)
    nothing_twice(fleet, ordered, marks)
    bed.faults.clear()
    fleet.sound("up")
    settled(fleet, ordered, marks, lives=True)

    ordered, before = fleet.order(read), fleet.living()
    run, took = fleet.run("refresh")
    judge(run, took, ordered, marks)
    nothing_twice(fleet, ordered, marks)
    assert fleet.living() == before, "a refresh ends nothing"
    bed.faults.clear()
    fleet.sound("up")
    assert fleet.living() == before, "nothing was really gone"
    settled(fleet, ordered, marks, lives=True)

    fleet.until_all("RUNNING")
    fleet.declare(2)
    ordered = fleet.order(update)
    run, took = fleet.run("up", "--continue-on-error", "--refresh=false")
    judge(run, took, ordered, marks)
    bed.faults.clear()
    fleet.sound("up")
    assert set(fleet.living()) == set(before), "a new name replaces nothing"
    assert all(name.endswith("-2") for name in fleet.living().values())
    settled(fleet, ordered, marks, lives=True)

    ordered = fleet.order(delete)
    run, took = fleet.run("destroy", "--continue-on-error", "--refresh=false")
    judge(run, took, ordered, marks)
    lost = set(fleet.living()) - set(fleet.recorded())
    assert not lost, "what lives is still in the state"
    bed.faults.clear()
    fleet.sound("destroy")
    settled(fleet, ordered, marks, lives=False)
