"""An emulator of these tests' own, quicker than a cluster ever is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from emulator import Emulator


@pytest.fixture(scope="package")
def running_emulator() -> Iterator[Emulator]:
    with Emulator(load_seconds=0.1, start_seconds=0.06) as emulator:
        yield emulator
