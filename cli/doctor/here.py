"""This machine: Python, the Pulumi CLI, the stack, its file and its settings."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cli.boundary import CliError
from cli.pulumi_cli import PROJECT, ROOT, pulumi
from cli.stack import Stack, selected

from .check import Check, fail, ok, warn

if TYPE_CHECKING:
    from components.resolution import ResolvedModel

PYTHON = (3, 13)  # the one minor that the SDK has wheels for
CALL_SECONDS = 7.0  # for one call of the CLI
_CHOOSES = "No stack is selected."


@dataclass(frozen=True)
class Configured:
    """The selected stack as far as it can be read; `models` are those of its file, presets and defaults laid under."""

    stack: Stack | None = None
    models: tuple[ResolvedModel, ...] = ()
    image: str = ""
    hf_token: str | None = field(default=None, repr=False)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)


def python() -> Check:
    version, wanted = platform.python_version(), ".".join(map(str, PYTHON))
    if sys.version_info[:2] == PYTHON:
        return ok("python", f"{version}, {sys.prefix}")
    return fail("python", f"{version}, but the SDK of the cluster needs {wanted}.", f"`make -C {ROOT} setup`")


def pulumi_cli() -> Check:
    try:
        version = pulumi("version", folder=ROOT, timeout=CALL_SECONDS).strip()
    except CliError as error:
        return fail("pulumi", error.what, error.cure)
    return ok("pulumi", version)


def stack(name: str | None) -> tuple[Configured, list[Check]]:
    """What is selected; a broken one is a failure, none a warning."""
    try:
        found = selected(name)
    except CliError as error:
        says = warn if error.what == _CHOOSES and name is None else fail
        return Configured(), [says("stack", error.what, error.cure)]
    count = len({row.model for row in found.models})
    told = f"{found.name}: {count} models deployed, {len(found.declared)} in its file"
    line = ok("stack", told) if found.file.exists() else warn("stack", f"{found.name} has no file {found.file}.")
    configured, problems = _settings(found)
    return configured, [line, *problems]


def _settings(stack: Stack) -> tuple[Configured, list[Check]]:
    """The file as the program reads it, secrets decrypted."""
    from components.loading import StackFile
    from components.resolution import resolve

    if not stack.file.exists():
        return Configured(stack), []
    words = ("config", "--show-secrets", "--json", "--stack", stack.name)
    try:
        said = json.loads(pulumi(*words, folder=stack.folder, timeout=CALL_SECONDS))
    except CliError as error:
        return Configured(stack), [fail("stack file", error.what, error.cure)]
    except ValueError:
        return Configured(stack), [fail("stack file", "`pulumi config --json` gave no JSON.", "Run it and look.")]
    entries = {key.removeprefix(f"{PROJECT}:"): entry for key, entry in said.items() if key.startswith(f"{PROJECT}:")}
    file = StackFile(lambda key: _text(entries, key), entries, lambda key: bool(entries.get(key, {}).get("secret")))
    settings, problems = file.read()
    secrets = {key: str(entry.get("value") or "") for key, entry in entries.items() if entry.get("secret")}
    if settings is None:
        return Configured(stack, secrets=secrets), _told(problems)
    models, more = resolve(settings)
    token = settings.hf_token
    configured = Configured(stack, tuple(models), settings.cluster.image, token, secrets)
    found = _told([*problems, *more])
    return configured, found or [ok("stack file", f"{stack.file.name} is sound")]


def _text(entries: dict[str, Any], key: str) -> str | None:
    value = entries.get(key, {}).get("value")
    return None if value is None else str(value)


def _told(problems: Iterable[Any]) -> list[Check]:
    """One line each."""
    return [fail("stack file", f"{p.path}: {p.what}", p.cure or "Correct the stack file.") for p in problems]
