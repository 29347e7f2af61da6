"""`python -m bench [ROW ...]`: each row's value and its aim, with the medians behind it.

A group takes 1 to 3 minutes on an idle machine of two cores; `growth` and `many` longer.

preview  of 1, 12 and 48 models, against the floor and the empty program
life     12 models: up, readiness, up without a change, state, memory, destroy
create   the create path against a bare script
plan     `bai-vllm`, a verdict, requests to the Hub
list     `bai-vllm list`
growth   200 models that wait in the queue: time, memory, state
many     the same with 200 running stand-ins; only when it is asked for
"""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import create, life, many, plan, preview
from bench import list as listing
from bench.beds import SLOT, Beds
from bench.rows import HEAD, Row
from emulator import Emulator

TABLES: dict[str, Callable[[Beds], Iterator[Row]]] = {
    "preview": preview.rows,
    "life": life.rows,
    "create": create.rows,
    "plan": lambda beds: plan.rows(beds.folder / "plan", beds.emulator),
    "list": lambda beds: listing.rows(beds.folder / "list", beds.emulator),
    "growth": many.growth,
    "many": many.rows,
}
ASKED_FOR = ("many",)

# A run in the background of a shell ignores Ctrl-C, and so would the CLI's language host, which the CLI ends by it:
# each command would take 5 s more.
signal.signal(signal.SIGINT, signal.default_int_handler)


def main() -> None:
    wanted = sys.argv[1:] or [name for name in TABLES if name not in ASKED_FOR]
    if unknown := set(wanted) - set(TABLES):
        sys.exit(f"no such row: {', '.join(sorted(unknown))}\n\n{__doc__}")
    with tempfile.TemporaryDirectory() as folder, Emulator(load_seconds=1, gpu_slot=SLOT) as emulator:
        print(HEAD, flush=True)
        for name in wanted:
            place = Path(folder) / name
            place.mkdir()
            for row in TABLES[name](Beds(place, emulator)):
                print(row, flush=True)


if __name__ == "__main__":
    main()
