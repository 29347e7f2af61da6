"""Lists of allowed and denied names, with * and ?."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase


def matches(value: str, patterns: Iterable[str]) -> bool:
    """Whether a pattern is the value; case doesn't count."""
    return any(fnmatchcase(value.casefold(), pattern.casefold()) for pattern in patterns)


def card_key(name: str) -> str:
    """The same for "NVIDIA A100-80GB" and "a100 80gb"."""
    return re.sub(r"nvidia|amd|[\s_-]", "", name.casefold())


def listed(names: Iterable[str]) -> str:
    """For a message."""
    return ", ".join(names) or "nothing"
