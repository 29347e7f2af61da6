"""Whether a config file for the pack says what it means: a mistyped name would silently switch a rule off.

`python -m policies.check FILE...` says everything that is wrong, without Pulumi; the pack refuses the same.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .rule import Level, Limit, Rule
from .table import RULES

_LEVEL = "enforcementLevel"
_LEVELS = (*(level.value for level in Level), "disabled")
_ALL = "all"
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "number": ((int, float), "a number"),
    "integer": ((int, float), "a whole number"),
    "boolean": ((bool,), "true or false"),
    "array": ((list,), "a list of texts"),
    "object": ((dict,), "names with a number each"),
}


def mistakes(config: Any, rules: Sequence[Rule] = RULES) -> list[str]:
    """What is wrong with a config, one line each: where, what and the cure."""
    if not isinstance(config, Mapping):
        return ["The file isn't a JSON object. Write one, such as policies/dev.json."]
    by_name = {rule.name: rule for rule in rules}
    found: list[str] = []
    for name, value in config.items():
        if name == _ALL:
            level = value.get(_LEVEL) if isinstance(value, Mapping) and set(value) == {_LEVEL} else value
            found += _of_level(_ALL, level)
        elif name not in by_name:
            found.append(f"{name}: no rule has this name. {_did_you_mean(name, (*by_name, _ALL))}")
        elif isinstance(value, Mapping):
            found += _of_rule(by_name[name], value)
        else:
            found += _of_level(name, value)
    return found


def _of_level(path: str, value: Any) -> Iterator[str]:
    if value not in _LEVELS:
        yield f"{path}: {value!r} is no level. {_did_you_mean(str(value), _LEVELS)}"


def _of_rule(rule: Rule, value: Mapping[str, Any]) -> Iterator[str]:
    known = (_LEVEL, *rule.limits)
    sound = dict[str, Any]()
    for key, given in value.items():
        path = f"{rule.name}.{key}"
        if key == _LEVEL:
            yield from _of_level(path, given)
        elif key not in rule.limits:
            yield f"{path}: the rule has no such limit. {_did_you_mean(key, known)}"
        elif wrong := list(_of_limit(path, rule.limits[key], given)):
            yield from wrong
        else:
            sound[key] = given
    limits = rule.limits_of(sound)
    if "min" in limits and "max" in limits and limits["min"] > limits["max"]:
        bounds = f"min is {limits['min']:g} and max is {limits['max']:g}"
        yield f"{rule.name}: {bounds}, so that nothing is allowed. Set min to max or less."


def _of_limit(path: str, limit: Limit, given: Any) -> Iterator[str]:
    types, called = _TYPES[limit.kind]
    schema = limit.schema
    value: Any = given
    is_typed: bool = isinstance(given, types)
    if not is_typed or (isinstance(value, bool) and limit.kind != "boolean"):
        yield f"{path}: {value!r} isn't {called}. Write one, such as {json.dumps(limit.default)}."
    elif limit.kind == "array":
        for word in value:
            if not isinstance(word, str):
                yield f"{path}: {word!r} is no text. Put it in quotes."
            elif limit.choices and word not in limit.choices:
                yield f"{path}: {word!r} is none of its words. {_did_you_mean(word, limit.choices)}"
    elif limit.kind == "object":
        for key, number in value.items():
            if isinstance(number, bool) or not isinstance(number, (int, float)) or number < 0:
                yield f"{path}.{key}: {number!r} isn't a number of 0 or more. Write one."
    elif limit.kind != "boolean":
        if limit.kind == "integer" and value != int(value):
            yield f"{path}: {value:g} isn't a whole number. Write one, such as {limit.default}."
        if value < 0:
            yield f"{path}: {value:g} is below 0. Write a larger one, such as {limit.default}."
        if value > schema.get("maximum", value):
            yield f"{path}: {value:g} is above {schema['maximum']:g}. Write a lower one, such as {limit.default}."


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    from providers.problems import did_you_mean

    return did_you_mean(word, known)


def text_of(found: Sequence[str], file: str = "the policies' config") -> str:
    """For people; empty where nothing is wrong."""
    count = "one mistake" if len(found) == 1 else f"{len(found)} mistakes"
    return "\n".join([f"{file} has {count}:", *(f"  - {line}" for line in found)]) if found else ""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a name that stands twice, JSON's readers would take the last only."""
    names = [name for name, _ in pairs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{', '.join(twice)} stands there twice")
    return dict(pairs)


def main(files: Sequence[str]) -> int:
    """0 where all files are sound."""
    if not files:
        print("Usage: python -m policies.check FILE...", file=sys.stderr)
        return 2
    wrong = ""
    for file in files:
        try:
            found = mistakes(json.loads(Path(file).read_text(), object_pairs_hook=_once))
        except (OSError, ValueError) as error:
            found = [f"It can't be read as JSON: {error}."]
        if text := text_of(found, file):
            wrong = text
            print(text, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
