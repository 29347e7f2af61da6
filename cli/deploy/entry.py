"""What was typed, as an entry of the stack file: only what was given, by the names of the settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cli.boundary import CliError

# The option -> the setting that it becomes.  The options are those of the old deployment script.
SETTINGS = {
    "gpu_count": "gpus",
    "cpu_count": "cpu",
    "memory": "memory",
    "session_name": "session_name",
    "port": "port",
    "max_model_len": "max_model_len",
    "dtype": "dtype",
    "quantization": "quantization",
    "tensor_parallel_size": "tensor_parallel_size",
    "trust_remote_code": "trust_remote_code",
    "image": "image",
    "scaling_group": "resource_group",
    "wait": "wait",
}
OPTIONS = {setting: option for option, setting in SETTINGS.items()}

_LONGEST = 40  # characters of an entry's name
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")


def entry_of(model: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The entry for a model and the options that were given (those that are None weren't).

    Raises serving.errors.InvalidArgument when `model` names none.
    """
    from serving.repo_id import is_folder, parse_repo_id

    revision = None
    if not is_folder(model):
        model, revision = parse_repo_id(model)
    session = given.get("session_name")
    name = session if session and _NAME.fullmatch(session) else name_of(model)
    settings = {SETTINGS[option]: _plain(value) for option, value in given.items() if value is not None}
    return {"name": name, "model": model, **({"revision": revision} if revision else {}), **settings}


def name_of(model: str) -> str:
    """A name for the entry: qwen2-5-7b-instruct for Qwen/Qwen2.5-7B-Instruct."""
    words = re.sub(r"[^a-z0-9]+", "-", model.rstrip("/").rpartition("/")[2].lower()).strip("-")
    return (words if words[:1].isalpha() else f"m-{words}")[:_LONGEST].strip("-")


def refuse_twice(entry: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], *, named: bool, file: str) -> None:
    """Raises CliError when the name is taken or, unless a name was given (`named`), the model is there already."""
    same = next((other for other in entries if other.get("name") == entry["name"]), None)
    if same is None and not named:
        same = next((other for other in entries if _what(other) == _what(entry)), None)
    if same is None:
        return
    taken = str(same.get("name"))
    if _what(same) == _what(entry):
        what = f"{entry['model']} is in {file} already, as '{taken}'."
        cure = (
            f"Change it there and run `pulumi up`, or `bai-vllm remove {taken}` first; `replicas` serves it more than "
            "once, and -n NAME another time."
        )
        raise CliError(what, cure)
    raise CliError(f"The name '{taken}' is taken in {file}, by {same.get('model') or same.get('preset')}.", "Give -n.")


def _what(entry: Mapping[str, Any]) -> tuple[str, str | None]:
    """Which weights an entry serves."""
    from serving.errors import InvalidArgument
    from serving.repo_id import is_folder, parse_repo_id

    model, revision = str(entry.get("model") or ""), entry.get("revision")
    if model and not is_folder(model):
        try:
            repo = parse_repo_id(model)
            model, revision = repo.repo_id.lower(), revision or repo.revision
        except InvalidArgument:
            pass
    return model, str(revision) if revision else None


def _plain(value: Any) -> Any:
    """Numbers as numbers: 2 and not 2.0, 8192 and not '8192'."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, str) and value.isdecimal() and value.isascii() else value
