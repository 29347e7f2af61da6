"""What is installed is pinned and hashed, names no index, and is what was asked for."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENTRY = re.compile(
    r"^(?P<name>[a-z0-9-]+)==(?P<version>[^ ]+)(?P<marker> ; .*)? \\\n(?P<hashes>(?:    --hash=.*\n)+)", re.M
)
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")


def locked(name: str) -> dict[str, str]:
    """Package -> version in a lock file, after proving that the file consists of whole entries only."""
    text = (ROOT / name).read_text()
    entries = list(ENTRY.finditer(text))
    assert "".join(entry.group() for entry in entries) == text
    for entry in entries:
        assert all(HASH.fullmatch(line) for line in entry["hashes"].splitlines())
    return {entry["name"]: entry["version"] for entry in entries}


def asked(name: str) -> dict[str, str]:
    """Package -> pinned version in a .in file."""
    lines = (ROOT / name).read_text().splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith(("#", "-r "))]
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in pins}


@pytest.mark.parametrize("name", ["requirements", "requirements-dev", "tests/cluster/requirements"])
def test_every_pin_is_locked(name: str) -> None:
    assert asked(f"{name}.in").items() <= locked(f"{name}.txt").items()


def test_developing_adds_and_changes_nothing() -> None:
    assert locked("requirements.txt").items() <= locked("requirements-dev.txt").items()


def test_the_tests_run_with_what_is_locked() -> None:
    installed = {
        d.name.lower().replace("_", "-").replace(".", "-"): d.version for d in importlib.metadata.distributions()
    }
    differs = {
        name: (version, installed[name])
        for name, version in locked("requirements-dev.txt").items()
        if installed.get(name, version) != version
    }
    assert differs == {}, "locked, installed"
    assert locked("requirements.txt")["pulumi"] == installed["pulumi"]


def test_the_cli_and_its_library_are_of_one_version() -> None:
    script = (ROOT / "scripts" / "install-pulumi.sh").read_text()
    assert f"VERSION={locked('requirements.txt')['pulumi']} " in script
