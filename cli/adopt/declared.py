"""What the stack file declares of the replica that a session shall be, its secrets in clear."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cli.boundary import CliError
from cli.pulumi_cli import PROJECT, pulumi
from cli.stack import Stack

if TYPE_CHECKING:
    from components.resolution import ResolvedModel

KEY_VARIABLE = "VLLM_API_KEY"
_OPTION = "--api-key-file"


class Wanted(NamedTuple):
    """One replica as it is declared.  `new_key`: it isn't in the stack file yet, and belongs there."""

    model: ResolvedModel
    replica: int
    key: str
    new_key: bool
    secret: bool  # whether anything in `models` is encrypted

    @property
    def resource(self) -> str:
        return f"{self.model.name}-{self.replica}"


def wanted(stack: Stack, name: str, key_file: Path | None) -> Wanted:
    """The replica that NAME means.  Raises CliError when it isn't declared, is taken, or has no key."""
    from components.adoption import declared

    values = {
        key.removeprefix(f"{PROJECT}:"): (str(entry["value"]), bool(entry.get("secret")))
        for key, entry in json.loads(
            pulumi("config", "--show-secrets", "--json", "--stack", stack.name, folder=stack.folder)
        ).items()
        if key.startswith(f"{PROJECT}:")
    }
    found = declared(values)
    if found.problems:
        told = "\n".join(f"  - {problem}" for problem in found.problems)
        raise CliError(f"{stack.file.name} has to be mended first:\n{told}", "`pulumi preview` checks it.")
    model, index = _replica(name, found.models, stack)
    resource = f"{model.name}-{index}"
    if taken := next((row for row in stack.models if row.resource == resource and row.session_id), None):
        what = f"{resource} has a session in stack {stack.name} already: {taken.session_name} ({taken.session_id})."
        raise CliError(what, "Adopt it as another replica or model, which the stack file must declare first.")
    given = _given(key_file)
    if model.api_key and key_file and given != model.api_key:
        what = f"holds another key than the api_key of '{model.name}' in {stack.file.name}."
        raise CliError(what, "Leave the option out, or correct the stack file.", option=_OPTION)
    key = model.api_key or given
    if not key:
        path = f"{PROJECT}:models[{model.index}].api_key"
        raise CliError(
            f"'{model.name}' has no api_key in {stack.file.name}, and one that is derived can't be the session's.",
            f"Give the session's own key by {_OPTION} FILE or {KEY_VARIABLE}, or: pulumi config set --secret --path "
            f"'{path}'",
        )
    return Wanted(model, index, key, new_key=not model.api_key, secret=found.secret)


def _replica(name: str, models: tuple[ResolvedModel, ...], stack: Stack) -> tuple[ResolvedModel, int]:
    """`chat` is its first replica."""
    known = {f"{model.name}-{index}": (model, index) for model in models for index in range(model.replicas)}
    # A model may be called `chat-1` itself: a model's name comes first, as everywhere.
    known |= {model.name: (model, 0) for model in models if model.replicas}
    if name in known:
        return known[name]
    there = ", ".join(sorted({f"{model.name}-{index}" for model, index in known.values()})) or "none"
    number = re.fullmatch(r"(.+)-(\d+)", name)
    few = next((model for model in models if number and model.name == number[1]), None)
    cure = f"Declare it there first; there are: {there}."
    if few is not None:
        cure = f"Raise `replicas` of '{few.name}', which is {few.replicas}; there are: {there}."
    raise CliError(f"{stack.file.name} declares no '{name}'.", cure, option="NAME")


def _given(key_file: Path | None) -> str:
    if key_file is None:
        return os.environ.get(KEY_VARIABLE, "").strip()
    try:
        key = key_file.read_text().strip()
    except UnicodeDecodeError:
        key = ""
    if not key or any(c.isspace() for c in key):
        raise CliError(f"{key_file} holds no key.", "Write the key alone into it, in one line.", option=_OPTION)
    return key
