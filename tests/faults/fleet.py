"""Many models in one stack, side by side in one run of the CLI, each with a fault of its own."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from emulator import Emulator
from emulator.faults import Fault
from tests.lifecycle.driver import TINY, PulumiStack, Result

from .columns import NAMES
from .marks import Marks
from .rows import Cell, heals

SHARE = {"gpu_unit": "cuda.shares"}
ROOMY = {"cpu": Decimal(512), "mem": Decimal(2**41), "cuda.shares": Decimal(256)}
LONGEST = 150.0  # seconds for one run of the CLI, however the cluster behaves


@dataclass(frozen=True)
class Ordered:
    """One cell and who suffers it."""

    number: int
    cell: Cell
    fault: Fault


class Fleet:
    """`size` models; `generation` is a part of the sessions' names, so a new one renames them all."""

    def __init__(self, stack: PulumiStack, emulator: Emulator, size: int) -> None:
        self.stack, self.emulator, self.size = stack, emulator, size
        emulator.cluster.settings.capacity = ROOMY
        self.declare(1)

    def declare(self, generation: int) -> None:
        models = [
            {"name": f"m{n:02d}", "session_name": f"cell-{n:02d}-{generation}", **TINY, "gpus": 0.5, "wait": False}
            for n in range(self.size)
        ]
        self.stack.configure(models, SHARE)

    def order(self, cells: Sequence[Cell]) -> list[Ordered]:
        """One cell a model."""
        assert len(cells) <= self.size
        return [
            Ordered(n, cell, self.emulator.faults.add(**cell.order(session=f"^cell-{n:02d}-")))
            for n, cell in enumerate(cells)
        ]

    def run(self, command: str, *args: str) -> tuple[Result, float]:
        started = time.monotonic()
        words = [command, "--yes", "--skip-preview", "--stack", self.stack.name, *args]
        result = self.stack.run(*words, code=None, timeout=LONGEST + 60)
        return result, time.monotonic() - started

    def sound(self, command: str) -> None:
        """A run on a cluster that is in order again."""
        run, _ = self.run(command)
        assert run.code == 0, run.text[-6000:]

    def living(self) -> dict[str, str]:
        """id -> name."""
        return {s.id: s.name for s in self.emulator.cluster.living()}

    def recorded(self) -> dict[str, str]:
        """id -> resource, as the state has it."""
        return {r["id"]: r["urn"].rsplit("::", 1)[1] for r in self.stack.resources()}

    def until_all(self, status: str, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while any(session.status != status for session in self.emulator.cluster.living()):
            assert time.monotonic() < end, f"not all are {status}"
            time.sleep(0.1)


def said_of(result: Result, resource: str) -> str:
    """What the CLI's diagnostics say of one resource, in one line."""
    blocks = re.split(r"\n  (?=\S)", result.text.partition("Diagnostics:")[2])
    own = [b for b in blocks if re.match(rf"\S*(?:VLLMModelSession|ModelEndpoint) \({re.escape(resource)}\):", b)]
    return " ".join(" ".join(own).split())


def judge(run: Result, took: float, ordered: Sequence[Ordered], marks: Marks) -> None:
    """Each cell was met, ended as it must, within its time, and the words name cause and cure."""
    fails = [one for one in ordered if not heals(one.cell)]
    for one in ordered:
        with marks.cell(one.cell.id):
            said = said_of(run, f"m{one.number:02d}-0")
            assert one.fault.taken, f"no request met it\n{run.text[-3000:]}"
            assert took < LONGEST, f"the run took {took:.0f} s"
            assert (run.code != 0) == bool(fails), f"exit code {run.code}\n{run.text[-3000:]}"
            if heals(one.cell):
                assert "error:" not in said, said
                continue
            assert "error:" in said, f"it says nothing of it: {said}\n{run.text[-3000:]}"
            column = one.cell.column
            assert re.search(one.cell.cause, said), f"no cause /{one.cell.cause}/ in: {said}"
            assert re.search(column.cure, said), f"no cure /{column.cure}/ in: {said}"
            if column.name == "409":
                assert (NAMES in said) == one.cell.names, said
            assert "Traceback" not in said, said


def nothing_twice(fleet: Fleet, ordered: Sequence[Ordered], marks: Marks) -> None:
    """No model has two living sessions, and no id in the state is of a session that never was."""
    names = Counter(name.rpartition("-")[0] for name in fleet.living().values())
    recorded = fleet.recorded()
    for one in ordered:
        with marks.cell(one.cell.id):
            assert names[f"cell-{one.number:02d}"] <= 1, "two sessions live"
            ids = [id_ for id_, resource in recorded.items() if resource == f"m{one.number:02d}-0"]
            assert len(ids) <= 1, "two ids in the state"
            assert set(ids) <= set(fleet.emulator.cluster.sessions), "an id that never was"


def settled(fleet: Fleet, ordered: Sequence[Ordered], marks: Marks, *, lives: bool) -> None:
    """What lives is what the state has: one session a model, or none."""
    living, recorded = fleet.living(), fleet.recorded()
    for one in ordered:
        with marks.cell(one.cell.id):
            ids = {id_ for id_, resource in recorded.items() if resource == f"m{one.number:02d}-0"}
            alive = {id_ for id_, name in living.items() if name.startswith(f"cell-{one.number:02d}-")}
            assert ids == alive, f"state {ids}, cluster {alive}"
            assert len(alive) == int(lives), f"{len(alive)} live"


def chunks(cells: Sequence[Cell], size: int) -> Iterator[list[Cell]]:
    for start in range(0, len(cells), size):
        yield list(cells[start : start + size])


def environment(emulator: Emulator, user: Mapping[str, str]) -> dict[str, Any]:
    return {**user, "BACKEND_ENDPOINT": emulator.endpoint, "HF_ENDPOINT": emulator.hub_endpoint}
