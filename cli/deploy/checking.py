"""What a run would refuse of a stack file's settings, found before the file is written: no CLI, no network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cli.pulumi_cli import PROJECT
from cli.stack_file import config_of, entries_of
from serving.errors import InvalidArgument, InvalidArguments

from .entry import OPTIONS

# In place of encrypted values, of which only the form is looked at.
_HIDDEN = {"hf_token": "hf_hidden", "api_key": "sk-hidden-here"}


def check(text: str, file: Path) -> None:
    """Raises serving's InvalidArguments with all that is wrong; of the last entry by the options that make it."""
    from components.loading import StackFile
    from components.resolution import resolve

    config = {key.removeprefix(f"{PROJECT}:"): value for key, value in config_of(text, file).items()}
    get = {key: _text(_shown(value, key)) for key, value in config.items() if value is not None}
    settings, problems = StackFile(get.get, get, lambda key: _has_secret(config[key])).read()
    if settings is not None:
        problems += resolve(settings, environ={})[1]
    last = f"models[{len(entries_of(text, file)) - 1}]."
    found = list(_told(problems, last, file))
    if found:
        raise InvalidArguments(found)


def _told(problems: Iterable[Any], last: str, file: Path) -> Iterator[InvalidArgument]:
    for problem in dict.fromkeys(problems):
        setting = problem.path.removeprefix(last)
        if problem.path.startswith(last) and setting in OPTIONS:
            yield InvalidArgument(problem.what, problem.cure, key=OPTIONS[setting])
        else:
            yield InvalidArgument(f"{file.name}: {problem.path}: {problem.what}", problem.cure)


def _shown(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        if value.keys() == {"secure"}:
            return _HIDDEN.get(key, "hidden")
        return {inner: _shown(item, str(inner)) for inner, item in value.items()}
    return [_shown(item, key) for item in value] if isinstance(value, list) else value


def _has_secret(value: Any) -> bool:
    if isinstance(value, Mapping):
        return value.keys() == {"secure"} or any(map(_has_secret, value.values()))
    return isinstance(value, list) and any(map(_has_secret, value))


def _text(value: Any) -> str:
    """As Pulumi hands a config value to the program."""
    return value if isinstance(value, str) else json.dumps(value)
