"""The command as a user has it, against the emulator's Hub."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from emulator import Emulator
from scripts import launcher

from .inside import Ended

Run = Callable[..., Ended]
TAKEN_OUT = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "PYTHONPATH")


@pytest.fixture(scope="session")
def command() -> Path:
    """`bai-vllm` as the set-up installs it."""
    return launcher.write()


@pytest.fixture
def user_env(emulator: Emulator, tmp_path: Path) -> dict[str, str]:
    """The environment of somebody whose cache is empty."""
    inherited = {name: value for name, value in os.environ.items() if name not in TAKEN_OUT}
    return {**inherited, "HF_ENDPOINT": emulator.hub_endpoint, "XDG_CACHE_HOME": str(tmp_path / "cache")}


@pytest.fixture
def bai_vllm(command: Path, user_env: dict[str, str], tmp_path: Path) -> Run:
    """Runs the command in a folder that isn't the clone's, in a process of its own; never with a traceback.

    In the tests' process the Hub's client, which lasts as long as its process, may leave a socket behind.
    """

    def run(*words: str, env: Mapping[str, str] | None = None) -> Ended:
        done = subprocess.run(
            [str(command), *words],
            env={**user_env, **(env or {})},
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert "Traceback" not in done.stdout + done.stderr
        return done

    return run
