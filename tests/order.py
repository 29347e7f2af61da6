"""Which tests stay together on one worker of a run, and in which order they begin.

A run ends when its last worker does, so what takes longest begins first.  Who waits for the real cluster's turn waits
with its worker, so those who need it for themselves are one chain, and its other users begin when that one is over.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from _pytest.nodeid import coerce_node_id

from .conformance.counting import BEDS

TESTS = Path(__file__).parent
CLUSTER = "cluster"  # the chain of those who need it alone
LIMITED = "limited"  # the chain of those who need the limited user's small quota alone
WATCHERS = "test_canaries"  # they look for secrets in the list of all processes, where they type some themselves
ONE_STACK = {"operated", "bench"}  # fixtures: one stack is brought up for all tests of the module
# Folders of tests/ in the order of their longest tests; the shortest fill the gaps at the end.
FIRST = (
    "docs",
    "lifecycle",
    "faults",
    "cli",
    "security",
    "policies",
    "conformance",
    "provider",
    "setup",
    "emulator",
    "cluster",
)
LAST = ("unit",)


def bed(item: pytest.Item) -> str:
    """Where it runs: on one of the two beds, or "" for all else, which may use a cluster of its own making."""
    names = getattr(item, "fixturenames", ())
    params = getattr(getattr(item, "callspec", None), "params", {})
    if (place := params.get("place")) in BEDS:
        return str(place)
    return CLUSTER if "running_cluster" in names else ""


def chain(item: pytest.Item) -> str:
    """The name of those with which it shares a worker; "" for a test that runs anywhere."""
    names, where = getattr(item, "fixturenames", ()), bed(item)
    if where == CLUSTER and ("limited_alone" in names or "shared_cluster" in names):
        return LIMITED if "limited_alone" in names else item.path.stem
    if where == CLUSTER and ("alone" in names or "place" not in names):
        return CLUSTER
    if item.path.stem.startswith(WATCHERS):
        return WATCHERS
    if not ONE_STACK.isdisjoint(names):
        return item.path.stem
    # Its module's tests look at sessions that were made once for all of them.
    return f"{item.path.stem}-{where}" if where else ""


def rank(item: pytest.Item) -> tuple[int, int, float]:
    """Smaller begins earlier.  A test that has a longer timeout than others says by that that it takes long."""
    folder, own = item.path.relative_to(TESTS).parts[0], item.get_closest_marker("timeout")
    seconds = float(own.args[0]) if own else 0.0
    if bed(item) == CLUSTER:
        return (0 if chain(item) == CLUSTER else 2, 0, -seconds)
    if folder in LAST:
        return (3, LAST.index(folder), -seconds)
    return (1, FIRST.index(folder) if folder in FIRST else len(FIRST), -seconds)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """In the order after pytest has put together what shares a parameter.

    A worker tells its chains by the ids of the tests: `id@chain`, which --dist loadgroup reads.  The mark xdist_group
    would do the same, but pytest-xdist 3.8 writes it into `_nodeid`, where pytest 9.2 has no id any more.
    """
    yield
    items.sort(key=rank)
    if config.getoption("loadgroup", default=False):
        for item in items:
            if name := chain(item):
                item._id = coerce_node_id(f"{item.nodeid}@{name}")
