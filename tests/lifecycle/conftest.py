"""A stack of the real CLI against the emulated cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator import Emulator

from .driver import PulumiStack


@pytest.fixture
def stack(tmp_path: Path, emulator: Emulator, cluster_env: dict[str, str]) -> PulumiStack:
    return PulumiStack.new(tmp_path / "project", cluster_env)
