"""How many conformance cases ran on each bed, told at the end of a run: a suite that skipped one bed proves nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

BEDS = ("emulator", "cluster")
PROPERTY = "conformance"
PATH = "tests/conformance/"


def mark(node: pytest.Item, kind: str) -> None:
    """Say that this test runs on this bed; it travels with the report, also from one process to another."""
    node.user_properties.append((PROPERTY, kind))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line, wherever the conformance suite was a part of the run."""
    reports = [
        report
        for found in terminalreporter.stats.values()
        for report in found
        if isinstance(report, pytest.TestReport) and report.nodeid.startswith(PATH)
    ]
    if not reports:
        return
    ran = Counter(
        value
        for report in reports
        if report.when == "call"
        for name, value in report.user_properties
        if name == PROPERTY
    )
    skipped = {
        report.longrepr[2].removeprefix("Skipped: ")
        for report in reports
        if report.skipped and isinstance(report.longrepr, tuple)
    }
    line = "conformance: " + ", ".join(f"{ran[bed] or 'NONE'} on the {bed}" for bed in BEDS)
    complete = all(ran[bed] for bed in BEDS) and not skipped
    terminalreporter.write_line("; ".join([line, *sorted(skipped)]), bold=True, green=complete, red=not complete)
