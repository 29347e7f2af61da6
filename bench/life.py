"""The life of 12 models: `up` while they load, what is kept of them, `up` again without a change, and `destroy`."""

from __future__ import annotations

import gzip
import statistics
import time
from collections.abc import Iterator

from bench.beds import Beds, serve, state_file
from bench.rows import Row, paired, pairwise, timed
from bench.watching import Watched
from tests.lifecycle.driver import PulumiStack

MODELS = 12
LOAD_SECONDS = 20
ROUNDS = 3
KB = 1000
LONG = 600.0  # seconds of load: who is told to end meanwhile is killed 5 s later, as a container is


def rows(beds: Beds) -> Iterator[Row]:
    """One stack from its first `up` to its `destroy`."""
    beds.size_floor(MODELS)
    beds.floor.up()
    serve(beds.ours, 0)
    beds.ours.up()
    bare = state_file(beds.ours).read_bytes()
    serve(beds.ours, MODELS, load_seconds=LOAD_SECONDS)
    empty = timed(beds.empty.up)
    up = Watched(beds.ours, beds.emulator).run("up")
    empty = (empty + timed(beds.empty.up)) / 2
    detail = f"{up.seconds:.1f} s ÷ ({LOAD_SECONDS} s + {empty:.1f} s)"
    yield Row(f"up of {MODELS} models of {LOAD_SECONDS} s load", up.seconds / (LOAD_SECONDS + empty), 1.25, detail)
    late = sorted(up.late.values())
    detail = f"the median of {len(late)}; the last {late[-1]:.2f} s"
    yield Row("readiness seen after the first completion", statistics.median(late), 1.0, detail, "s")
    yield _again(beds)
    yield from _state(beds, bare)
    detail = f"at most, in up; program {up.peak['program']:.0f} MB, CLI {up.peak['CLI']:.0f} MB"
    yield Row("memory of the provider process", up.peak["provider"], None, detail, "MB")
    alone = beds.stack("alone")
    serve(alone, 1)
    alone.up()
    yield _destroy(beds, alone, f"destroy of {MODELS} ÷ that of one")
    serve(beds.ours, MODELS, load_seconds=LONG, wait=False)
    serve(alone, 1, load_seconds=LONG, wait=False)
    beds.ours.up()
    alone.up()
    _until_all_load(beds)
    yield _destroy(beds, alone, f"destroy of {MODELS} that take 5 s to end ÷ that of one")


def _until_all_load(beds: Beds) -> None:
    """Who waits or starts is ended at once."""
    end = time.monotonic() + 60
    while any(b"Starting to load model" not in session.log for session in beds.emulator.cluster.living()):
        assert time.monotonic() < end
        time.sleep(0.1)


def _again(beds: Beds) -> Row:
    ours, floor = paired(beds.ours.up, beds.floor.up, ROUNDS)
    detail = f"{statistics.median(ours):.2f} s ÷ {statistics.median(floor):.2f} s, refresh included"
    return Row("up without a change ÷ floor", pairwise(ours, floor), 1.5, detail)


def _state(beds: Beds, bare: bytes) -> Iterator[Row]:
    """Beside what the floor's resources take, which is what Pulumi keeps of a resource without content."""
    whole, floor = state_file(beds.ours).read_bytes(), state_file(beds.floor).read_bytes()
    each = (len(whole) - len(bare)) / MODELS / KB
    packed = (len(gzip.compress(whole)) - len(gzip.compress(bare))) / MODELS / KB
    noop = len(floor) / (2 * MODELS + 1) / KB
    detail = f"{packed:.1f} KB with gzip; three no-ops of the floor: {3 * noop:.1f} KB"
    yield Row("state of a model", each, 3.0, detail, "KB")


def _destroy(beds: Beds, alone: PulumiStack, name: str) -> Row:
    one, all_ = timed(alone.destroy), timed(beds.ours.destroy)
    return Row(name, all_ / one, 1.5, f"{all_:.1f} s ÷ {one:.1f} s")
