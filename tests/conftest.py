"""What all tests share: the emulator, one for the whole run, empty at the start of each test; the real cluster."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from emulator import Emulator

from .cluster.fixtures import cluster, running_cluster, shared_cluster
from .conformance.counting import pytest_terminal_summary
from .order import pytest_collection_modifyitems

__all__ = ["cluster", "pytest_collection_modifyitems", "pytest_terminal_summary", "running_cluster", "shared_cluster"]

# A run in the background of a shell ignores Ctrl-C, and so would every command that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

ADMIN = ("AKIABAIADMINAAAAAAAA", "admin-secret-key-000000000000000000000000")
LIMITED = ("AKIABAIUSERAAAAAAAAA", "user-secret-key-0000000000000000000000000")


@pytest.fixture(scope="session")
def running_emulator() -> Iterator[Emulator]:
    with Emulator(load_seconds=0.3) as emulator:
        yield emulator


@pytest.fixture
def emulator(running_emulator: Emulator) -> Iterator[Emulator]:
    running_emulator.reset()
    yield running_emulator
    running_emulator.reset()


@pytest.fixture(scope="session")
def cluster_env(running_emulator: Emulator) -> dict[str, str]:
    """The environment of a user of the emulated cluster."""
    return {
        "BACKEND_ENDPOINT": running_emulator.endpoint,
        "BACKEND_ACCESS_KEY": ADMIN[0],
        "BACKEND_SECRET_KEY": ADMIN[1],
        "HF_ENDPOINT": running_emulator.hub_endpoint,
    }
