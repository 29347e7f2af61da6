"""Tests that must share a worker do, the longest chain begins first: of the order of a run, what would break unseen."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from tests.order import TESTS, chain, rank

from .sandbox import ROOT

ITEMS: list[tuple[str, list[str], dict[str, Any], str]] = [
    ("lifecycle/test_broken.py", ["cluster", "running_cluster"], {}, "cluster"),
    ("conformance/test_queue.py", ["bed", "alone", "place"], {"place": "cluster"}, "cluster"),
    ("conformance/test_who.py", ["bed", "place"], {"place": "cluster"}, "cluster"),
    ("lifecycle/test_kill.py", ["emulator"], {}, ""),
    ("lifecycle/test_on_it.py", ["shared_cluster", "running_cluster"], {}, "beside"),
    ("conformance/test_queue.py", ["bed", "limited_alone", "place"], {"place": "cluster"}, "beside"),
    ("conformance/test_queue.py", ["bed", "alone", "place"], {"place": "emulator"}, "test_queue-emulator"),
    ("emulator/test_hub.py", [], {"place": "elsewhere"}, ""),
    ("unit/backendai/test_errors.py", [], {}, ""),
]


def item(path: str, fixtures: list[str], params: dict[str, Any]) -> Any:
    return SimpleNamespace(
        path=TESTS / path,
        fixturenames=fixtures,
        callspec=SimpleNamespace(params=params),
        get_closest_marker=lambda _name: None,
    )


@pytest.mark.parametrize(("path", "fixtures", "params", "name"), ITEMS)
def test_who_shares_a_worker(path: str, fixtures: list[str], params: dict[str, Any], name: str) -> None:
    assert chain(item(path, fixtures, params)) == name


def test_who_begins_first() -> None:
    """ITEMS is in this order."""
    found = [item(path, fixtures, params) for path, fixtures, params, _ in ITEMS]
    ranks = [rank(each) for each in found]
    assert ranks == sorted(ranks)


def test_xdist_keeps_a_chain_together() -> None:
    """On one of two workers, among which tests without a chain would be shared out."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", "-n", "2", "--dist", "loadgroup",
               "--no-loadscope-reorder", "tests/conformance/test_who.py", "-k", "emulator and credentials"]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if " PASSED " in line]
    assert len(lines) > 2, done.stdout
    assert len({line.split()[0] for line in lines}) == 1, done.stdout
