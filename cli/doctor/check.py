"""What a check has found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How it stands; a warning leaves the exit code at 0."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, how it stands, and what mends it where that isn't well."""

    name: str
    level: Level
    what: str
    cure: str = ""


def ok(name: str, what: str) -> Check:
    return Check(name, Level.OK, what)


def warn(name: str, what: str, cure: str = "") -> Check:
    return Check(name, Level.WARN, what, cure)


def fail(name: str, what: str, cure: str = "") -> Check:
    return Check(name, Level.FAIL, what, cure)
