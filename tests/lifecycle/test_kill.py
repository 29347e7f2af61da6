"""The invariant: a CLI that is killed at any moment of an `up` loses no session and makes none twice."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from emulator import Emulator

from .driver import TINY, PulumiStack, kill_group

KILLS = 10
MODELS: list[dict[str, Any]] = [{"name": name, **TINY} for name in ("alpha", "beta", "gamma")]


@pytest.mark.timeout(900)
def test_ten_kills_at_random_moments_of_an_up(stack: PulumiStack, emulator: Emulator) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    stack.configure(MODELS)
    started = time.monotonic()
    stack.up()
    lasts = time.monotonic() - started
    stack.destroy()
    state = Path(urlsplit(stack.env["PULUMI_BACKEND_URL"]).path)
    assert not [*state.rglob("*.attrs")], "a CLI that is killed while it writes one locks the stack for good"

    for _ in range(KILLS):
        process = stack.start("up", "--yes", "--skip-preview", "--stack", stack.name)
        time.sleep(moments.uniform(0.3, lasts))
        kill_group(process)
        stack.run("cancel", "--yes", "--stack", stack.name, code=None)  # the lock that a killed CLI leaves behind

        stack.up()
        sessions = emulator.cluster.living()
        assert {str(s.id) for s in sessions} == stack.session_ids()
        assert len(sessions) == len(MODELS)
        assert len({s.name for s in sessions}) == len(MODELS)
        if moments.random() < 0.5:
            stack.destroy()
            assert emulator.cluster.living() == []
        else:  # the next kill hits an up that replaces them all
            stack.configure([{**m, "env": {"ROUND": str(moments.random())}} for m in MODELS])
    stack.destroy()
    assert emulator.cluster.living() == []
