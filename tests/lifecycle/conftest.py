"""A stack of the real CLI against the emulated cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator import Emulator

from .driver import PulumiStack


@pytest.fixture
def stack(tmp_path: Path, emulator: Emulator, cluster_env: dict[str, str]) -> Iterator[PulumiStack]:
    stack = PulumiStack(tmp_path / "project", cluster_env)
    stack.init()
    yield stack
