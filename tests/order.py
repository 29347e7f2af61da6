"""Which tests stay together on one worker of a run, and in which order they begin.

A run ends when its last worker does, so what takes longest begins first.  Tests on the real cluster mostly wait, others
mostly compute: so there are two chains of the former, each as long as half a run, beside which the rest is shared out.
Who waits for the cluster's turn waits with its worker, so those who need it for themselves are all in the chain that
begins at once, and the other chain begins when they are about to be over.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from _pytest.nodeid import coerce_node_id

from .conformance.counting import BEDS

TESTS = Path(__file__).parent
CLUSTER = "cluster"  # the chain of those who need it alone, then of those who share it
BESIDE = "beside"  # meanwhile: the chain of a stack's whole lives there, and of the limited user, whose quota is small
WATCHERS = "test_canaries"  # they look for secrets in the list of all processes, where they type some themselves
ONE_STACK = {"operated", "bench"}  # fixtures: one stack is brought up for all tests of the module
# Folders of tests/ in the order of their longest tests; the shortest fill the gaps at the end.
FIRST = (
    "docs",
    "lifecycle",
    BESIDE,
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


def alone(item: pytest.Item) -> bool:
    """Whether it needs the real cluster for itself."""
    names = getattr(item, "fixturenames", ())
    return "alone" in names or ("place" not in names and "shared_cluster" not in names)


def chain(item: pytest.Item) -> str:
    """The name of those with which it shares a worker; "" for a test that runs anywhere."""
    names, where = getattr(item, "fixturenames", ()), bed(item)
    if where == CLUSTER:
        return BESIDE if "limited_alone" in names or "shared_cluster" in names else CLUSTER
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
    name = chain(item)
    if name == CLUSTER:
        return (0, 0, -seconds) if alone(item) else (0, 1, 0.0)
    if name == BESIDE:
        return (1, FIRST.index(BESIDE), -seconds)
    if folder in LAST:
        return (2, LAST.index(folder), -seconds)
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
