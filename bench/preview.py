"""`pulumi preview` of our program against the floor (as many no-op dynamic resources) and the empty program."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from bench.beds import Beds, serve
from bench.rows import Row, in_turn, pairwise

SIZES = (1, 12, 48)
ROUNDS = 3
AIM = 1.25


def rows(beds: Beds) -> Iterator[Row]:
    """Three programs in turn, for each number of models.  Facts of the Hub are in the cache, as they mostly are."""
    for size in SIZES:
        serve(beds.ours, size)
        count = beds.size_floor(size)
        seconds = in_turn([beds.ours.preview, beds.floor.preview, beds.empty.preview], ROUNDS)
        ours, floor, empty = seconds
        took, at_least, nothing = (statistics.median(s) for s in seconds)
        models = "1 model" if size == 1 else f"{size} models"
        detail = f"{took:.2f} s ÷ {at_least:.2f} s"
        yield Row(f"preview of {models} ÷ floor of {count} no-ops", pairwise(ours, floor), AIM, detail)
        detail = f"{took:.2f} s ÷ {nothing:.2f} s; the floor's: {pairwise(floor, empty):.2f}"
        yield Row(f"preview of {models} ÷ empty program", pairwise(ours, empty), None, detail)
