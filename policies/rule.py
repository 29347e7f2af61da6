"""A rule as a row of the table, and how it is run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from .resources import Resource, Stack, ValueNotKnown, Violation

Limits = Mapping[str, Any]
Found = Iterator[Violation]


class Level(StrEnum):
    """Pulumi's enforcement levels; `remediate` puts right what has a remedy, and refuses what hasn't."""

    ADVISORY = "advisory"
    MANDATORY = "mandatory"
    REMEDIATE = "remediate"


@dataclass(frozen=True)
class Limit:
    """One value that a platform team sets: its JSON type, its default and what it means.

    `choices`: the only words that a list may have; `most`: the largest number that makes sense.  None is below 0.
    """

    kind: str
    default: Any
    meaning: str
    choices: tuple[str, ...] = ()
    most: float | None = None

    @property
    def schema(self) -> dict[str, Any]:
        """As JSON Schema, which Pulumi checks before it starts the pack."""
        return {"type": self.kind, "default": self.default, "description": self.meaning, **self._bounds()}

    def _bounds(self) -> dict[str, Any]:
        if self.kind == "array":
            return {"items": {"type": "string", **({"enum": list(self.choices)} if self.choices else {})}}
        if self.kind == "object":
            return {"additionalProperties": {"type": "number", "minimum": 0}}
        if self.kind == "boolean":
            return {}
        return {"minimum": 0, **({"maximum": self.most} if self.most is not None else {})}

    def read(self, value: Any) -> Any:
        """Pulumi makes every number a float."""
        return int(value) if self.kind == "integer" else value


@dataclass(frozen=True)
class Rule:
    """One row.

    check    yields what is wrong; it may raise ValueNotKnown at any point, after what it has found so far
    on       the kinds of resource that it is asked about; empty: the stack as a whole
    remedy   the properties to change, and to what; empty when there is nothing to change
    """

    name: str
    says: str
    level: Level
    check: Callable[[Any, Limits], Found]
    on: tuple[str, ...] = ()
    limits: Mapping[str, Limit] = field(default_factory=dict)
    remedy: Callable[[Resource, Limits], Mapping[str, Any]] | None = None

    def limits_of(self, config: Mapping[str, Any] | None) -> dict[str, Any]:
        """What is configured, over the defaults."""
        given = config or {}
        return {key: limit.read(given.get(key, limit.default)) for key, limit in self.limits.items()}

    def messages(
        self, what: Resource | Stack, config: Mapping[str, Any] | None = None
    ) -> tuple[list[tuple[str, str | None]], ValueNotKnown | None]:
        """Messages with the URN that each is about, and the value that it needs and that isn't known yet."""
        name, resources = (what.model_name, [what]) if isinstance(what, Resource) else ("the stack", what.sessions)
        found: list[tuple[str, str | None]] = []
        try:
            for violation in self.check(what, self.limits_of(config)):
                found.append((_safe(violation.message(name), resources), violation.urn))
        except ValueNotKnown as unknown:
            return found, unknown
        return found, None


_SHORTEST_SECRET = 4  # characters; anything shorter is part of ordinary words


def _safe(message: str, resources: Iterable[Resource]) -> str:
    """No rule puts a secret into a message; should one ever do, it ends here."""
    from serving.values import masked

    for resource in resources:
        for key in ("api_key", "hf_token"):
            secret = resource.props.get(key)
            if isinstance(secret, str) and len(secret.strip()) >= _SHORTEST_SECRET:
                message = message.replace(secret, "[secret]")
    return masked(message)
