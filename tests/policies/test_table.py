"""The invariant: the document, the table of rules and the files for dev and prod say the same."""

from __future__ import annotations

from typing import Any

import pytest

from policies import table
from policies.rule import Limit

TYPES: dict[str, Any] = {
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "array": list,
    "object": dict,
}
LEVELS = {"advisory", "mandatory", "remediate", "disabled"}


def test_the_document_is_current() -> None:
    text = table.DOCUMENT.read_text()
    assert table.document(text) == text, "run: python -m policies.table --write"


def test_names_are_used_once() -> None:
    names = [rule.name for rule in table.RULES]
    assert len(names) == len(set(names))
    assert all(rule.says.endswith(".") for rule in table.RULES)


def _fits(limit: Limit, value: Any) -> bool:
    return isinstance(value, TYPES[limit.kind]) and (limit.kind == "boolean" or not isinstance(value, bool))


@pytest.mark.parametrize("environment", table.ENVIRONMENTS)
def test_the_files_fit_the_table(environment: str) -> None:
    settings = table.config(environment)
    assert settings.pop("all") in LEVELS
    rules = {rule.name: rule for rule in table.RULES}
    for name, value in settings.items():
        values = {"enforcementLevel": value} if isinstance(value, str) else dict(value)
        assert values.pop("enforcementLevel", "advisory") in LEVELS
        for key, given in values.items():
            assert _fits(rules[name].limits[key], given), (name, key)


def test_defaults_fit_their_types() -> None:
    for rule in table.RULES:
        for limit in rule.limits.values():
            assert _fits(limit, limit.default), rule.name


def test_prod_forbids_and_dev_warns() -> None:
    assert table.config("prod")["all"] == "mandatory"
    assert table.config("dev")["all"] == "advisory"
    assert table.config("prod")["verdict"] == {"allow": ["START"]}
