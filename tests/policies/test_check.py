"""The invariant: a mistyped config is refused with its place and its cure, and never switches a rule off."""

from __future__ import annotations

from typing import Any

import pytest

from policies import table
from policies.check import mistakes

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"revison": "mandatory"}, "Did you mean 'revision'?"),
    ({"all": "mandatry"}, "Did you mean 'mandatory'?"),
    ({"gpus-per-session": {"maxx": 2}}, "Did you mean 'max'?"),
    ({"revision": {"enforcement_level": "mandatory"}}, "Did you mean 'enforcementLevel'?"),
    ({"verdict": {"allow": ["STRAT"]}}, "Did you mean 'START'?"),
    ({"gpus-per-session": {"max": -1}}, "is below 0"),
    ({"gpu-memory-utilization": {"min": 0.9, "max": 0.5}}, "min is 0.9 and max is 0.5"),
]


@pytest.mark.parametrize(("config", "words"), WRONG)
def test_a_mistake_is_said(config: dict[str, Any], words: str) -> None:
    (line,) = mistakes(config)
    assert words in line


@pytest.mark.parametrize("environment", table.ENVIRONMENTS)
def test_our_own_files_are_sound(environment: str) -> None:
    assert mistakes(table.config(environment)) == []
