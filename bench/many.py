"""Many models in one stack: every command works, and nothing grows faster than the stack.

`growth`: the sessions wait in the cluster's queue, so that only the stack itself is measured.  `rows`: all of them run.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.beds import Beds, serve, state_file
from bench.rows import Row
from bench.watching import Watched
from tests.lifecycle.driver import PulumiStack

SIZES = (12, 200)
KB = 1000


def rows(beds: Beds) -> Iterator[Row]:
    """All sessions are real processes, and are waited for."""
    yield from _rows(beds, wait=True)


def growth(beds: Beds) -> Iterator[Row]:
    """Without the processes."""
    beds.emulator.reset()
    beds.emulator.cluster.faults.stuck_status = "PENDING"
    yield from _rows(beds, wait=False)
    beds.emulator.reset()


def _rows(beds: Beds, *, wait: bool) -> Iterator[Row]:
    few, many = SIZES
    stack, state = beds.stack("many"), {}
    for count in (0, few):
        serve(stack, count, wait=wait)
        stack.up()
        state[count] = state_file(stack).stat().st_size
    serve(stack, many, wait=wait)
    yield _row(stack, beds, "preview", many)
    yield _row(stack, beds, "up", many)
    assert len(stack.session_ids()) == len(beds.emulator.cluster.living()) == many
    state[many] = state_file(stack).stat().st_size
    one_of_few, one_of_many = ((state[n] - state[0]) / n / KB for n in SIZES)
    detail = f"{one_of_many:.1f} KB ÷ {one_of_few:.1f} KB; {state[many] / KB / KB:.2f} MB in all"
    yield Row(f"state of a model, {many} of them ÷ {few}", one_of_many / one_of_few, 1.05, detail)
    yield _row(stack, beds, "refresh", many)
    yield _row(stack, beds, "up", many, "up without a change")
    yield _row(stack, beds, "destroy", many)
    assert not beds.emulator.cluster.living()
    assert not stack.resources()


def _row(stack: PulumiStack, beds: Beds, command: str, many: int, called: str = "") -> Row:
    seen = Watched(stack, beds.emulator, probing=False).run(command)
    peak = ", ".join(f"{role} {mib:.0f}" for role, mib in seen.peak.items())
    return Row(f"{called or command} of {many} models", seen.seconds, None, f"at most, MB: {peak}", "s")
