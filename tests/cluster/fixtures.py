"""The cluster as fixtures, which tests/conftest.py has for all tests.

It is brought up once a run and, if it wasn't running before, ended with it.  Where it can't run, the tests that ask
for it are skipped and one line says why; where CI is set, or CLUSTER=required, they fail.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Iterator

import pytest

from tests.cluster.bring_up import down, running
from tests.cluster.check import check
from tests.cluster.control import CONFORMANCE, Cluster, start_cluster
from tests.cluster.problems import ClusterProblem
from tests.turns import turn


def demanded() -> bool:
    return bool(os.environ.get("CI")) or os.environ.get("CLUSTER") == "required"


@pytest.fixture(scope="session")
def running_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with contextlib.ExitStack() as stack:
        try:
            with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
                print()
                cluster = stack.enter_context(_used_cluster())
        except ClusterProblem as problem:
            text = f"THE REAL CONTROL PLANE DOESN'T RUN HERE, ITS TESTS ARE LEFT OUT: {problem}"
            if demanded():
                pytest.fail(text, pytrace=False)
            _say_loudly(request, text)
            pytest.skip(text)
        yield cluster


@contextlib.contextmanager
def _used_cluster() -> Iterator[Cluster]:
    """The cluster, up; the last of the test runs (workers, say) that use it at a time ends it, if one began it."""
    places = check()
    places.make()
    with places.lease.open("w") as lease:
        fcntl.flock(lease, fcntl.LOCK_SH)
        if not running(places):
            places.begun_by_tests.touch()
        yield start_cluster()
        fcntl.flock(lease, fcntl.LOCK_UN)
        try:
            fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        if places.begun_by_tests.exists():
            down(places, say=lambda _line: None)
            places.begun_by_tests.unlink()


@contextlib.contextmanager
def alone(cluster: Cluster) -> Iterator[None]:
    """The cluster for one test alone, without sessions before and after it."""
    with turn("cluster", exclusive=True):
        asyncio.run(cluster.clear())
        try:
            yield
        finally:
            asyncio.run(cluster.clear())


@pytest.fixture
def cluster(running_cluster: Cluster) -> Iterator[Cluster]:
    """The running cluster for this test alone, without sessions before and after it."""
    with alone(running_cluster):
        yield running_cluster


@pytest.fixture
def shared_cluster(running_cluster: Cluster) -> Iterator[Cluster]:
    """The running cluster for a test that breaks nothing of it, beside the conformance suite and no other one."""
    with turn("cluster"), turn("beside-conformance", exclusive=True):
        asyncio.run(running_cluster.clear(but=CONFORMANCE))
        try:
            yield running_cluster
        finally:
            asyncio.run(running_cluster.clear(but=CONFORMANCE))


def _say_loudly(request: pytest.FixtureRequest, text: str) -> None:
    reporter = request.config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None:
        reporter.ensure_newline()
        reporter.write_line(text, red=True, bold=True)
