"""`make faults`: every cell of the matrix, run and printed.  Exit code 1 when one is red or has not been exercised.

A cell is ok, RED, or `–`: it can't occur, for a reason that is written down and printed below.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import marks, rows, test_scenes, test_signals, test_states
from .columns import COLUMNS
from .rows import WHENS, cells

MARKS = Path(__file__).resolve().parents[2] / ".local" / "faults" / "marks"
WORKERS = "4"  # most of the time they wait for what is slow
# Cells that tests/lifecycle runs on a real control plane as well (`make test` has them where it can run).
ON_THE_REAL_ONE = (
    ("agent lost, destroy", "test_on_a_broken_cluster.py::test_an_agent_that_is_lost_…"),
    ("stuck CREATING, up and destroy", "test_on_the_cluster.py::test_a_session_that_is_stuck_while_it_is_created"),
    ("a container that cannot be created", "test_on_the_cluster.py::test_a_container_that_cannot_be_created"),
    ("endless PENDING", "tests/conformance/test_queue.py"),
    ("kill -9 of CLI and plugin in a create", "test_on_the_cluster.py::test_from_up_to_destroy"),
    ("manager and Redis restart in a wait", "test_on_a_broken_cluster.py::test_redis_and_the_manager_restart_…"),
)


@dataclass(frozen=True)
class Table:
    """`of[row][column]`: the cell's name, or why there is none, with a leading dash."""

    title: str
    columns: Sequence[str]
    of: dict[str, list[str]]


def tables() -> list[Table]:
    wire = {
        f"{row.label} | {when}": [
            f"-{why}" if (why := rows.empty(cell)) else cell.id for cell in cells(row) if cell.when == when
        ]
        for row in rows.ROWS
        for when in WHENS
    }
    signals: dict[str, list[str]] = {}
    for blow in test_signals.BLOWS:
        line = signals.setdefault(f"{blow.row.label} | {blow.when}", [])
        line.append(f"-{blow.empty}" if blow.empty else blow.id)
    states = {
        operation: [test_states.name_of(operation, state) for state in test_states.STATES]
        for operation in test_states.OPERATIONS
    }
    return [
        Table("one answer of the cluster", [column.name for column in COLUMNS], wire),
        Table("somebody is killed", test_signals.SIGNALS, signals),
        Table("a session's state", test_states.STATES, states),
        Table("scenes", ["ends well"], {scene: [scene] for scene in test_scenes.SCENES}),
    ]


def show(table: Table, found: dict[str, str]) -> int:
    """Prints it; how many cells are red or were never exercised."""
    bad, reasons = 0, dict[str, str]()
    wide = max(map(len, table.of)) + 2
    print(f"\n{table.title.upper()}\n{'':{wide}}" + "  ".join(table.columns))
    for label, line in table.of.items():
        shown = []
        for name, column in zip(line, table.columns, strict=True):
            if name.startswith("-"):
                reasons.setdefault(name[1:], chr(ord("a") + len(reasons)))
                mark = f"– {reasons[name[1:]]}"
            else:
                mark = {None: "EMPTY", "": "ok"}.get(found.get(name), "RED")
                bad += mark != "ok"
            shown.append(f"{mark:{len(column)}}")
        print(f"{label:{wide}}" + "  ".join(shown))
    for reason, letter in reasons.items():
        print(f"  – {letter}: {reason}")
    return bad


def main(arguments: list[str]) -> int:
    """Runs them all and prints the tables; with pytest's `--lf` only what has failed, the others are as they were."""
    started = time.monotonic()
    MARKS.parent.mkdir(parents=True, exist_ok=True)
    if "--lf" not in arguments:
        MARKS.unlink(missing_ok=True)
    env = {**os.environ, marks.ALL: "all", marks.VARIABLE: str(MARKS), marks.RUN: str(int(time.time()))}
    command = [sys.executable, "-m", "pytest", "tests/faults", "-n", WORKERS, "--dist=worksteal", "-q", "--tb=line"]
    command += ["-o", f"cache_dir={MARKS.parent / 'cache'}"]  # --lf: of these runs
    ended = subprocess.run([*command, *arguments], env=env, check=False)
    found = marks.read(MARKS)
    every = tables()
    bad = sum(show(table, found) for table in every)
    print("\nON A REAL CONTROL PLANE, TOO (in tests/lifecycle, if not said otherwise)")
    for what, where in ON_THE_REAL_ONE:
        print(f"  {what}: {where}")
    for name, why in found.items():
        if why:
            print(f"\nRED  {name}\n     {why[:600]}")
    good = sum(why == "" for why in found.values())
    print(f"\n{good} cells ok, {bad} red or empty, {time.monotonic() - started:.0f} s")
    return 1 if bad or ended.returncode else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
