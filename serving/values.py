"""What the value of a flag may be: vLLM's own types and human-readable numbers, and never a secret."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

AUTO = -1  # max_model_len: as long as the memory allows

_HUMAN = re.compile(r"(\d+(?:\.\d+)?)([kKmMgGtT])")
_FACTOR = {
    **{"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12},
    **{"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40},
}
_SECRET = re.compile(r"\bhf_[A-Za-z0-9_]{8,}|\bsk-[A-Za-z0-9_-]{16,}|Bearer\s+\S+|\bgithub_pat_\w+|\bAKIA[A-Z0-9]{12,}")
_MASK = "[secret]"
_LONGEST_SHOWN = 80  # characters of a wrong value
_MOST_SHOWN = 12  # choices listed when none is near


def human_int(text: str) -> int:
    """`32k` = 32000, `1.5k` = 1500, `32K` = 32768.  ValueError for anything else that is no integer.

    As vLLM's `human_readable_int`: no fractions of binary units, no exponents.
    """
    match = _HUMAN.fullmatch(text.strip())
    if match is None:
        return int(text)
    number, unit = match.groups()
    return int(float(number) * _FACTOR[unit]) if unit.islower() else int(number) * _FACTOR[unit]


def human_int_or_auto(text: str) -> int:
    """As `human_int`; `auto` is -1."""
    return AUTO if text.strip().lower() == "auto" else human_int(text)


def _json_or_str(text: str) -> Any:
    return json.loads(text) if text.strip().startswith("{") and text.strip().endswith("}") else text


_HUMAN_WORDS = "a whole number such as 8192, 32k or 32K"
# kind -> how vLLM reads it, and what it is called
_KINDS: dict[str, tuple[Callable[[str], Any], str]] = {
    "str": (str, "a text"),
    "append": (str, "a text"),
    "int": (int, "a whole number"),
    "float": (float, "a number"),
    "human_int": (human_int, _HUMAN_WORDS),
    "human_int_or_auto": (human_int_or_auto, f"auto or {_HUMAN_WORDS}"),
    "json": (json.loads, "JSON"),
    "json_or_str": (_json_or_str, "a text or a JSON object"),
}


def converted(kind: str, text: str) -> Any:
    """The value as vLLM would read it; None for "" and "None" of an optional flag.  Raises ValueError."""
    base = kind.removeprefix("optional_")
    if base != kind and text in ("", "None"):
        return None
    return _KINDS[base][0](text)


def expected(kind: str) -> str:
    """What a value of this kind looks like, in words."""
    return _KINDS[kind.removeprefix("optional_")][1]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`Did you mean x?`, or what there is when nothing is near."""
    import difflib

    names = [str(name) for name in known]
    near = difflib.get_close_matches(word, names, n=1)
    if near:
        return f"Did you mean {near[0]}?"
    return f"There are: {', '.join(names)}." if len(names) <= _MOST_SHOWN else ""


def has_secret(text: str) -> bool:
    """True for what looks like a token or key."""
    return _SECRET.search(text) is not None


def masked(text: str) -> str:
    """`text` without anything that looks like a token or key."""
    return _SECRET.sub(_MASK, text)


def shown(value: object) -> str:
    """A value as an error may show it: short, and without secrets."""
    text = masked(str(value))
    return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…")


def unprintable(text: str) -> str | None:
    """What stands in the way of putting `text` on one line of a script; None when nothing does."""
    if any(c in text for c in "\n\r"):
        return "a line break"
    if "\0" in text:
        return "a NUL character"
    if any("\ud800" <= c <= "\udfff" for c in text):
        return "half of a surrogate pair"
    return None
