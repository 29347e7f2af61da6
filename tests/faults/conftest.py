"""An emulated cluster with room for many, and the marks of the cells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator import Emulator
from tests.lifecycle.driver import ADMIN, PulumiStack

from .marks import Marks, everything


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`make test` leaves out what only `make faults` has the time for."""
    if everything():
        return
    left_out = [item for item in items if getattr(getattr(item, "function", None), "whole", False)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def marks() -> Iterator[Marks]:
    marks = Marks()
    yield marks
    marks.check()


@pytest.fixture
def bed() -> Iterator[Emulator]:
    """One of its own: a test here breaks the server itself."""
    with Emulator(load_seconds=0.2, gpu_slot="cuda.shares") as emulator:
        yield emulator


@pytest.fixture
def env(bed: Emulator) -> dict[str, str]:
    return {
        "BACKEND_ENDPOINT": bed.endpoint,
        "BACKEND_ACCESS_KEY": ADMIN[0],
        "BACKEND_SECRET_KEY": ADMIN[1],
        "HF_ENDPOINT": bed.hub_endpoint,
    }


@pytest.fixture
def stack(tmp_path: Path, env: dict[str, str]) -> PulumiStack:
    return PulumiStack.new(tmp_path / "project", env)
