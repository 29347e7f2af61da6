"""The two beds.  Every test that asks for `bed` runs on both."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

import pytest

from emulator import Emulator
from tests.cluster.control import Cluster
from tests.turns import turn

from . import counting
from .beds import Bed, Place, laid_on
from .serving import _shared, serving

__all__ = ["_shared", "serving"]

ENDPOINT = "CONFORMANCE_ENDPOINT"  # a running cluster with the fixtures' users and images, instead of an own one


@pytest.fixture(scope="session", params=counting.BEDS)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A running cluster of each kind, one for the whole run.  Where no real one can run: skipped, or failed in CI."""
    run = secrets.token_hex(3)
    if request.param == "emulator":
        with Emulator(start_seconds=0.3, app_proxy=True) as emulator:
            yield Place("emulator", emulator.endpoint, run)
    elif endpoint := os.environ.get(ENDPOINT):
        yield Place("cluster", endpoint, run)
    else:
        cluster: Cluster = request.getfixturevalue("running_cluster")
        yield Place("cluster", cluster.endpoint, run)


@pytest.fixture
async def bed(place: Place, request: pytest.FixtureRequest) -> AsyncIterator[Bed]:
    """A part of the cluster for one test; its sessions are ended afterwards.

    What takes the whole queue or the limited user's small quota asks for `alone` or `limited_alone`, too: other
    processes of the run work on the same real cluster.
    """
    counting.mark(request.node, place.kind)
    with contextlib.ExitStack() as turns:
        if place.kind == "cluster":
            turns.enter_context(turn("cluster", exclusive="alone" in request.fixturenames))
            if "limited_alone" in request.fixturenames:
                turns.enter_context(turn("limited", exclusive=True))
        async with laid_on(place) as bed:
            yield bed


@pytest.fixture
def alone() -> None:
    """Nobody else's session waits meanwhile in the cluster's queue."""


@pytest.fixture
def limited_alone() -> None:
    """Nobody else uses the limited user's quota meanwhile."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """All tests that are skipped for the same reason become one line of the summary."""
    report = yield
    longrepr: Any = report.longrepr
    if report.skipped and isinstance(longrepr, tuple):
        report.longrepr = (__file__, 0, longrepr[2])
    return report
