"""What a rule looks at: resources as plain data, whose values may not be known before `up`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

SESSION = "pulumi-python:dynamic/backendai:VLLMModelSession"
ENDPOINT = "pulumi-python:dynamic/backendai:ModelEndpoint"
REDACTED = "[secret]"  # what `pulumi policy analyze --file` gives for a secret that it can't decrypt


class _NotKnown:
    def __repr__(self) -> str:
        return "NOT_KNOWN"


NOT_KNOWN = _NotKnown()


class ValueNotKnown(Exception):
    """A rule needs a value that isn't known yet: it is asked again at `up`, before the resource is created."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class NotApplicable(Exception):
    """A rule can't be meant here; its text says why."""


@dataclass(frozen=True)
class Violation:
    """`what` is with its value, `limit` what is allowed, `cure` what to do; never a secret.

    `name`, `urn`: the resource, where the rule looks at several of them.
    """

    what: str
    limit: str
    cure: str
    name: str = ""
    urn: str | None = None

    def message(self, name: str) -> str:
        return f"{self.name or name}: {self.what}; {self.limit}. Cure: {self.cure}"


@dataclass(frozen=True)
class Resource:
    """One resource's inputs.

    group            the model that it is a replica of: the component's URN, or the model's name in the stack file
    links            URNs that it depends on
    secret_outputs   outputs that the state keeps encrypted; None where that can't be told
    """

    kind: str
    name: str
    props: Mapping[str, Any] = field(repr=False)
    urn: str = ""
    group: str = ""
    links: frozenset[str] = frozenset()
    secret_outputs: frozenset[str] | None = None

    @property
    def model_name(self) -> str:
        """The name that the stack file has for it."""
        return self.group.rpartition("::")[2] or self.name

    def get(self, key: str) -> Any:
        """The value; None when it isn't set.  Raises ValueNotKnown."""
        value = self.props.get(key)
        if value is NOT_KNOWN:
            raise ValueNotKnown(key)
        return value

    def text(self, key: str) -> str:
        value = self.get(key)
        return "" if value is None else str(value)

    def number(self, key: str) -> float | None:
        """None when it isn't set, or isn't a number (which the resource itself refuses)."""
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            return None
        try:
            return float(value)
        except ValueError:
            return None

    def flag(self, key: str) -> bool:
        """Anything but false, nothing and their spellings counts as switched on."""
        return str(self.get(key)).lower() not in ("none", "false", "0", "0.0", "")

    def words(self, key: str) -> tuple[str, ...]:
        """The known words of a list.  A rule that looked at all of them ends with `require_known(key)`."""
        value = self.get(key)
        return tuple(str(word) for word in value if word is not NOT_KNOWN) if isinstance(value, (list, tuple)) else ()

    def items(self, key: str) -> Iterator[tuple[str, str]]:
        """The known entries of a mapping, as `words`."""
        value = self.get(key)
        if isinstance(value, Mapping):
            yield from ((str(name), str(item)) for name, item in value.items() if item is not NOT_KNOWN)

    def require_known(self, *keys: str) -> None:
        """Raises ValueNotKnown for the first value that isn't, or that holds one."""
        for key in keys:
            value = self.props.get(key)
            inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
            if value is NOT_KNOWN or any(item is NOT_KNOWN for item in inner):
                raise ValueNotKnown(key)

    @property
    def is_folder(self) -> bool:
        """True when the model is a folder of the session instead of a repository on the Hub."""
        return self.text("model").startswith(("/", "./", "../"))


@dataclass(frozen=True)
class Stack:
    """All of a stack.  `declared`: read from its settings, before anything of it exists."""

    sessions: tuple[Resource, ...]
    endpoints: tuple[Resource, ...] = ()
    declared: bool = False

    def models(self) -> dict[str, list[Resource]]:
        """The replicas of each model."""
        found: dict[str, list[Resource]] = {}
        for session in self.sessions:
            found.setdefault(session.group or session.urn or session.name, []).append(session)
        return found
