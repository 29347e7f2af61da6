"""The flags of `vllm serve`: which there are, what they take, in which releases.

The table is read from data/vllm_flags.json: the parser of one release, and what is known of flags that
other releases have instead.  Where it doesn't tell, the answer is UNKNOWN, and vLLM itself decides.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from .versions import Minor, minor

_DATA = Path(__file__).with_name("data") / "vllm_flags.json"

Nargs = Literal["?", "+"] | int | None


class Presence(enum.Enum):
    """Whether a release has a flag."""

    KNOWN = "known"
    NOT_YET = "not yet"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, eq=False)
class Flag:
    """One flag, compared by identity.

    `name` is its long form, `off` its --no- form; `kind` is the type as the data file's `source` explains it.
    """

    name: str
    aliases: tuple[str, ...]
    off: str | None
    dest: str
    nargs: Nargs
    kind: str
    choices: tuple[Any, ...] | None
    since: str | None

    @property
    def takes_value(self) -> bool:
        return self.nargs != 0


@dataclass(frozen=True, slots=True)
class GoneFlag:
    """A flag that the table's release no longer has."""

    name: str
    last: str
    gone_in: str
    instead: str | None


@dataclass(frozen=True)
class Table:
    """`by_name` has every spelling of every flag; `gone` those that have been given up before `version`."""

    version: str
    by_name: Mapping[str, Flag]
    gone: Mapping[str, GoneFlag]

    @property
    def minor(self) -> Minor:
        return minor(self.version)

    @property
    def flags(self) -> tuple[Flag, ...]:
        return tuple({flag.name: flag for flag in self.by_name.values()}.values())

    def release(self, version: str | None) -> Minor:
        """The release to judge by: that of the table, where the version in the image isn't known."""
        return minor(version) if version else self.minor

    def by_dest(self, dest: str) -> Flag:
        return next(flag for flag in self.flags if flag.dest == dest)


@cache
def table() -> Table:
    """The table, read once."""
    data = json.loads(_DATA.read_text(encoding="utf-8"))
    rows = [_flag(row) for row in data["flags"] if row["flags"][0].startswith("-")]
    by_name = {spelling: flag for flag in rows for spelling in (flag.name, *flag.aliases, flag.off) if spelling}
    gone = {
        spelling: GoneFlag(spelling, row["last"], row["gone_in"], row.get("instead"))
        for row in data["gone"]
        for spelling in row["flags"]
    }
    return Table(data["vllm_version"], by_name, gone)


def presence(name: str, version: str | None) -> Presence:
    """Whether vLLM `version` (None: the table's) has the flag.  Raises InvalidArgument for a bad version."""
    flags, release = table(), table().release(version)
    if gone := flags.gone.get(name):
        if release >= minor(gone.gone_in):
            return Presence.GONE
        return Presence.KNOWN if release <= minor(gone.last) else Presence.UNKNOWN
    flag = flags.by_name.get(name)
    if flag is not None:
        return Presence.NOT_YET if flag.since and release < minor(flag.since) else Presence.KNOWN
    return Presence.UNKNOWN


def known(name: str, version: str | None) -> bool:
    """True when vLLM `version` (None: the table's) has the flag `name`, as far as the table tells."""
    return presence(name, version) is Presence.KNOWN


def _flag(row: dict[str, Any]) -> Flag:
    names = row["flags"]
    long = [name for name in names if name.startswith("--")]
    off = next((name for name in long[1:] if row["type"] == "bool" and name == f"--no-{long[0][2:]}"), None)
    return Flag(
        name=long[0],
        aliases=tuple(name for name in names if name not in (long[0], off)),
        off=off,
        dest=row["dest"],
        nargs=row["nargs"],
        kind=row["type"],
        choices=tuple(row["choices"]) if row["choices"] else None,
        since=row.get("since"),
    )
