"""Turns beside others overlap, one alone overlaps with none and isn't overtaken while it waits."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.turns import turn


def test_who_waits_to_be_alone_is_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.turns.tempfile.gettempdir", lambda: str(tmp_path))
    what, told = "something", []

    def alone() -> None:
        with turn(what, exclusive=True):
            told.append("alone")

    def beside() -> None:
        with turn(what):
            told.append("beside")

    with turn(what):
        beside()
        first, second = threading.Thread(target=alone), threading.Thread(target=beside)
        first.start()
        first.join(0.3)  # it waits
        second.start()
        second.join(0.3)  # behind it
        told.append("over")
    first.join(10)
    second.join(10)
    assert told == ["beside", "over", "alone", "beside"]
