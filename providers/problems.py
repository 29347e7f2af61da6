"""Validation errors as people want to read them: which key, which value, what is wrong, what cures it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

SECRET_KEYS = frozenset({"hf_token", "api_key", "secret_key", "access_key"})
# What pydantic says in words of its own trade.
_MEANT = {
    "tuple_type": "no list; write one entry a line, each after a dash",
    "dict_type": "no mapping; write `key: value` lines",
    "model_type": "no mapping; write `key: value` lines",
    "string_type": "no text; put it in quotes",
    "bool_parsing": "neither true nor false",
    "bool_type": "neither true nor false",
    "int_from_float": "no whole number",
    "int_parsing": "no whole number",
    "int_type": "no whole number",
    "float_parsing": "no number",
    "float_type": "no number",
}

_LONGEST_VALUE = 80  # characters shown of a wrong value


@dataclass(frozen=True)
class Problem:
    """One thing wrong with what the user wrote."""

    path: str  # models[0].gpus
    what: str
    cure: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.what}" + (f" {self.cure}" if self.cure else "")


def problems_of(error: ValidationError, model: type[BaseModel], prefix: str = "") -> list[Problem]:
    """All problems of one validation, in the order of the text."""
    found = [_problem(item, model, prefix) for item in error.errors(include_url=False, include_context=True)]
    return list(dict.fromkeys(found))


def shown(key: str, value: Any) -> str:
    """A value as it may be shown; secrets never are."""
    if key in SECRET_KEYS or key == "env":
        return "[hidden]"
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"


def path_of(location: Sequence[int | str], prefix: str = "") -> str:
    """`("models", 0, "gpus")` as `models[0].gpus`."""
    path = prefix
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not part.startswith(("function-", "constrained-", "lax-or-strict")) and part not in ("int", "str"):
            path += f".{part}" if path else part
    return path


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?`, or the whole list when nothing is near."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    return f"Did you mean '{near[0]}'?" if near else f"Known are: {', '.join(names)}."


def _problem(item: Any, model: type[BaseModel], prefix: str) -> Problem:
    location, kind, value = item["loc"], item["type"], item.get("input")
    path, key = path_of(location, prefix), next((str(p) for p in reversed(location) if isinstance(p, str)), "")
    if kind == "extra_forbidden":
        return Problem(path, "is no key that is known here.", did_you_mean(str(location[-1]), _fields(model, location)))
    if kind == "missing":
        return Problem(path, "is missing.", "Add it.")
    if kind == "owned_variable":
        return Problem(path, f"{item['ctx']['what']}.")
    if kind == "refused":
        return Problem(path, f"{shown(key, value)} {item['ctx']['what']}.")
    if kind == "literal_error":
        return Problem(path, f"{shown(key, value)} isn't one of {item['ctx']['expected']}.", "Write one of them.")
    if kind in _MEANT:
        return Problem(path, f"{shown(key, value)} is {_MEANT[kind]}.")
    message = str(item["msg"])
    return Problem(path, f"{shown(key, value)} is not accepted: {message[:1].lower()}{message[1:]}.")


def _fields(model: type[BaseModel], location: Sequence[int | str]) -> Iterable[str]:
    """The field names of the (nested) model in which the last part of `location` stands."""
    for part in location[:-1]:
        if isinstance(part, str) and part in model.model_fields:
            model = next(iter(_models(model.model_fields[part].annotation)), model)
    return model.model_fields


def _models(annotation: Any) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models(argument)
