"""pytest plugin: writes down every command line that the tests of a run have serving/ build or refuse.

`-p tests.vllm.recorder`, with RECORD_TO naming the file.  Only what is said of the release of the flag table counts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import serving
from serving import arguments, command
from serving.errors import InvalidArgument
from serving.flags import table

_VERSIONS = (None, table().version, table().version.rpartition(".")[0])
_MODEL = "org/model"
_serve_argv, _parse = command.serve_argv, arguments.parse_extra_args
# Words after `vllm` -> what we say of them: empty, or why they are refused.
_seen: dict[tuple[str, ...], str] = {}


def _recorded_argv(settings: serving.ServeSettings, version: str | None = None) -> list[str]:
    argv = _serve_argv(settings, version)
    if version in _VERSIONS:
        _seen[tuple(argv[1:])] = ""
    return argv


def _recorded_parse(words: Sequence[str], version: str | None) -> Any:
    parsed = _parse(words, version)
    if version in _VERSIONS:
        # What is taken goes to vLLM in its normal form, what is refused has none.
        problems = " / ".join(map(str, parsed.problems))
        _seen[("serve", _MODEL, *(words if problems else parsed.words))] = problems
    return parsed


def _recorded_problems(settings: serving.ServeSettings, version: str | None = None) -> list[InvalidArgument]:
    """Asked by a test: what has no problem is also built.  (serve_argv itself asks the original.)"""
    found = _problems(settings, version)
    if not found:
        _recorded_argv(settings, version)
    return found


# The same command lines in every run and on every machine.
settings.register_profile("recorded", derandomize=True, database=None)
settings.load_profile("recorded")

_problems = command.argument_problems
command.serve_argv = serving.serve_argv = _recorded_argv
serving.argument_problems = _recorded_problems
for module in (arguments, command):
    setattr(module, "parse_extra_args", _recorded_parse)  # noqa: B010


def pytest_sessionfinish(session: pytest.Session) -> None:
    rows = [[list(words), why] for words, why in _seen.items()]
    Path(os.environ["RECORD_TO"]).write_text(json.dumps(rows))
