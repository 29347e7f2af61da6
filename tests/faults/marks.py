"""Where the tests leave a mark for each cell that they have exercised, and `make faults` finds it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

VARIABLE = "FAULTS_MARKS"  # the file; unset: nobody collects
RUN = "FAULTS_RUN"  # the number of the run, larger than that of the one before
ALL = "FAULTS"  # "all": every cell, not only those of `make test`


def everything() -> bool:
    return os.environ.get(ALL) == "all"


def whole[F: Callable[..., Any]](test: F) -> F:
    """Marks a test that runs in `make faults` only (conftest.py)."""
    test.whole = True  # type: ignore[attr-defined]
    return test


class Marks:
    """The cells of one test.  Each is judged on its own; at the end the test fails if one is red."""

    def __init__(self) -> None:
        self.red: dict[str, str] = {}

    @contextmanager
    def cell(self, name: str) -> Iterator[None]:
        """What is asserted inside is about this cell; a failure doesn't keep the others from being judged."""
        try:
            yield
        except AssertionError as error:
            self.red[name] = str(error).partition("\nassert ")[0][:2000]
        _write(name, self.red.get(name, ""))

    def check(self) -> None:
        assert not self.red, "\n\n".join(f"{name}: {why}" for name, why in self.red.items())


def _write(name: str, why: str) -> None:
    if path := os.environ.get(VARIABLE):
        with Path(path).open("a") as file:  # a line at once: several workers write
            file.write(json.dumps([int(os.environ.get(RUN, "0")), name, why]) + "\n")


def read(path: Path) -> dict[str, str]:
    """Cell -> "" when it is good, else why not.  The last run that has it counts; one red mark in it is enough."""
    found: dict[str, tuple[int, str]] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        run, name, why = json.loads(line)
        before = found.get(name, (run, ""))
        found[name] = (run, before[1] or why) if before[0] == run else (run, why)
    return {name: why for name, (_, why) in found.items()}
