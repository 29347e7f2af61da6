"""The broken rules as people read them: what is said of dividing a model in several rules is one sentence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .rules import Rule
from .rules_parallel import PARTS

MERGED = "tensor-parallel"


def for_people(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """The same rules; those of PARTS as one, at the place of the first."""
    rules = tuple(rules)
    parts = [rule for rule in rules if rule.rule in PARTS]
    if len(parts) < 2:  # noqa: PLR2004
        return rules
    return tuple(_merged(parts) if rule is parts[0] else rule for rule in rules if rule not in parts[1:])


def _merged(parts: list[Rule]) -> Rule:
    """Their messages begin alike: "it can't be divided among 3 GPUs: "."""
    head = parts[0].message.partition(": ")[0]
    *reasons, last = (part.message.partition(": ")[2].rstrip(".") for part in parts)
    return replace(parts[0], rule=MERGED, message=f"{head}: {', '.join(reasons)} and {last}.")
