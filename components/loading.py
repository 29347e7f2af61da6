"""Reads a stack file.  Everything wrong with it is found, each with its full path, its value and its cure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from providers import fields
from providers.problems import Problem, did_you_mean, problems_of

from .settings import ClusterSettings, ModelSettings, StackSettings

PROJECT = "backendai-vllm"

# Every key of a stack file, and whether it must be encrypted.
KEYS = {"cluster": False, "models": False, "hf_token": True, "access_key": True, "secret_key": True}

_SHAPES = {"cluster": (dict, "a mapping"), "models": (list, "a list")}
_EXAMPLE = "See stacks/Pulumi.dev.yaml for how it looks."


class SettingsError(Exception):
    """Everything that is wrong with the stack file, one line each."""

    def __init__(self, problems: list[Problem], stack: str) -> None:
        self.problems = problems
        count = "one problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = [f"The configuration of stack '{stack}' has {count}; nothing was changed:"]
        super().__init__("\n".join([*lines, *(f"  - {problem}" for problem in problems)]))


class StackFile:
    """What a stack's config says.  `get` gives a key's text, `keys` are all keys that it has, `is_secret` says whether
    a key holds an encrypted value.
    """

    def __init__(
        self,
        get: Callable[[str], str | None],
        keys: Iterable[str],
        is_secret: Callable[[str], bool] = lambda _key: True,
    ) -> None:
        self._get, self._keys, self._is_secret = get, sorted(keys), is_secret

    def read(self) -> tuple[StackSettings | None, list[Problem]]:
        """The settings, as far as they can be read (None without a sound `cluster`), and all problems."""
        problems = [*self._unknown_keys(), *self._missing_keys()]
        cluster = self._one(ClusterSettings, "cluster", self._value("cluster", problems), problems)
        values = self._value("models", problems) or []
        models = tuple(
            self._one(ModelSettings, f"models[{index}]", value, problems) for index, value in enumerate(values)
        )
        token = self._token(problems)
        # Of the file itself, so that a model with another fault doesn't hide these.
        said = [value if isinstance(value, dict) else {} for value in values]
        problems += _used_twice(said)
        problems += self._in_clear(said)
        if cluster is None:
            return None, problems
        return StackSettings.model_construct(cluster=cluster, models=models, hf_token=token), problems

    def _unknown_keys(self) -> Iterator[Problem]:
        for key in self._keys:
            if key not in KEYS:
                yield Problem(key, "is no key that is known here.", did_you_mean(key, KEYS))

    def _missing_keys(self) -> Iterator[Problem]:
        if "cluster" not in self._keys:
            yield Problem("cluster", "is missing.", f"Add it, with at least `image`. {_EXAMPLE}")
        if "models" not in self._keys:
            yield Problem("models", "is missing.", f"Add the list, or `models: []` to serve nothing. {_EXAMPLE}")

    def _value(self, key: str, problems: list[Problem]) -> Any:
        kind, called = _SHAPES[key]
        text = self._get(key)
        if text is None:
            return None
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        if not isinstance(value, kind):
            problems.append(Problem(key, f"is not {called}.", _EXAMPLE))
            return None
        return value

    def _one[M: BaseModel](self, model: type[M], path: str, value: Any, problems: list[Problem]) -> M | None:
        if value is None and path == "cluster":
            return None
        if not isinstance(value, dict):
            problems.append(Problem(path, "is not a mapping of settings.", _EXAMPLE))
            return None
        try:
            return model.model_validate(value)
        except ValidationError as error:
            problems += problems_of(error, model, path)
            return None

    def _token(self, problems: list[Problem]) -> str | None:
        token = self._get("hf_token")
        try:
            return TypeAdapter(fields.Text).validate_python(token) if token is not None else None
        except ValidationError:
            problems.append(
                Problem("hf_token", "is empty or has several lines.", "Write one token, or remove the key.")
            )
            return None

    def _in_clear(self, models: Iterable[Mapping[str, Any]]) -> Iterator[Problem]:
        """A stack file is kept in git, and `preview --json` shows what isn't encrypted in it."""
        given = [(key, key) for key, secret in KEYS.items() if secret and self._get(key)]
        for index, model in enumerate(models):
            given += [("models", f"models[{index}].{key}") for key in ("hf_token", "api_key") if model.get(key)]
        for key, path in given:
            if not self._is_secret(key):
                cure = f"Encrypt it (it asks for the value): pulumi config set --secret --path '{PROJECT}:{path}'"
                yield Problem(path, "stands in clear in the stack file.", cure)


def _used_twice(models: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    for key in ("name", "session_name"):
        counted = Counter(str(model[key]) for model in models if model.get(key))
        for index, model in enumerate(models):
            value = str(model.get(key, ""))
            if counted[value] > 1:
                cure = "Give each model one of its own."
                yield Problem(f"models[{index}].{key}", f"'{value}' is used {counted[value]} times.", cure)
