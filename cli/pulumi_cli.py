"""The Pulumi CLI: where it is, which project it works on, and what its refusals mean for an operator."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from .boundary import CliError

PROJECT = "backendai-vllm"
ROOT = Path(__file__).resolve().parents[1]
TIMEOUT = 60.0  # seconds for one call that only reads
_NAME = re.compile(r"^name: *['\"]?([\w.-]+)", re.MULTILINE)
_CONFIG_FOLDER = re.compile(r"^stackConfigDir: *['\"]?([^'\"#\n]+)", re.MULTILINE)

# What the CLI says (a regular expression) -> what is wrong, its cure.  {1}: what the first group has found;
# {stacks}: those with a file.
_REFUSALS: tuple[tuple[str, str, str], ...] = (
    (
        r"no stack selected",
        "No stack is selected.",
        "Choose one: `pulumi stack select NAME`, or --stack NAME{stacks}.",
    ),
    (
        r"no stack named '([^']+)' found",
        "There is no stack '{1}' in this Pulumi backend.",
        "`pulumi stack ls` shows those that there are, `pulumi stack init {1}` makes it{stacks}.",
    ),
    (
        r"incorrect passphrase",
        "The passphrase of the stack's secrets is wrong.",
        "Set PULUMI_CONFIG_PASSPHRASE (or PULUMI_CONFIG_PASSPHRASE_FILE) to the one that it was made with.",
    ),
    (
        r"passphrase must be set",
        "The passphrase of the stack's secrets isn't set.",
        "Set PULUMI_CONFIG_PASSPHRASE (or PULUMI_CONFIG_PASSPHRASE_FILE); for the local stack: `source .local/env`.",
    ),
    (
        r"PULUMI_ACCESS_TOKEN must be set",
        "Pulumi doesn't know where the stacks' state is kept.",
        "For the local stack: `source .local/env`. Otherwise `pulumi login`, or set PULUMI_BACKEND_URL.",
    ),
    (
        r"unable to open (?:state directory|bucket) \"?([^\":]+:[^\":]+)",
        "Where the stacks' state is kept can't be opened: {1}.",
        "Correct PULUMI_BACKEND_URL, or `pulumi login` to where it is.",
    ),
    (
        r"the stack is currently locked",
        "Another run has the stack locked.",
        "Wait for the other run, which `pulumi stack` names; when there is none any more: `pulumi cancel`.",
    ),
    (
        r"failed to load checkpoint: (?:unexpected )?EOF",
        "Pulumi's file backend has a file of attributes that was cut off: a CLI was killed while it wrote. "
        "The state itself is whole.",
        "`find FOLDER/.pulumi -name '*.attrs' -delete`, FOLDER being where the state is kept: nothing needs those "
        "files. With `?metadata=skip` at the end of PULUMI_BACKEND_URL there are none.",
    ),
    (
        r"invalid YAML file: (.+)|unmarshalling stack config|could not (?:load|unmarshal) .*Pulumi\.",
        "The stack file isn't sound: {1}.",
        "Correct it, or take the last sound version: `git checkout -- stacks/`.",
    ),
)


def project_folder(start: Path | None = None) -> Path | None:
    """The folder of the project around `start` (the working folder), else that of the clone that this runs from."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents, ROOT):
        file = folder / "Pulumi.yaml"
        if file.is_file() and (match := _NAME.search(file.read_text(errors="replace"))) and match[1] == PROJECT:
            return folder
    return None


def stack_file(folder: Path, stack: str) -> Path:
    """Where the project at `folder` has the config of that stack."""
    return config_folder(folder) / f"Pulumi.{stack}.yaml"


def config_folder(folder: Path) -> Path:
    """Where the project keeps its stack files."""
    match = _CONFIG_FOLDER.search((folder / "Pulumi.yaml").read_text(errors="replace"))
    return folder / match[1].strip() if match else folder


def pulumi_path() -> str:
    """The CLI on PATH, else the one that the set-up has put into the clone.  Raises CliError."""
    places = [os.environ.get("PATH", os.defpath), os.environ.get("PULUMI_BIN", ""), str(ROOT / ".local/pulumi/bin")]
    if found := shutil.which("pulumi", path=os.pathsep.join(filter(None, places))):
        return found
    raise CliError("There is no Pulumi CLI.", f"`make -C {ROOT} setup` puts one in place.")


def pulumi_environment() -> dict[str, str]:
    """The environment that a call of the CLI gets."""
    return {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}


def path_for_programs() -> str:
    """PATH for calls that run the program or its provider: their host takes the first python3 and pulumi there."""
    folders = [str(Path(sys.prefix) / "bin"), str(Path(pulumi_path()).parent), os.environ.get("PATH", os.defpath)]
    return os.pathsep.join(folders)


def called(
    *words: str, folder: Path, timeout: float = TIMEOUT, typed: str = "", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """One call of the CLI, however it ends; `typed` goes to its stdin.  Raises CliError after `timeout` seconds."""
    try:
        return subprocess.run(
            [pulumi_path(), *words, "--non-interactive", "--color=never"],
            cwd=folder,
            env={**pulumi_environment(), **(env or {})},
            input=typed,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        what = f"`pulumi {' '.join(words[:2])}` has taken more than {timeout:.0f} s."
        raise CliError(what, "Check the way to where the state is kept: PULUMI_BACKEND_URL.") from None


def pulumi(*words: str, folder: Path, timeout: float = TIMEOUT) -> str:
    """What one call of the CLI prints.  Raises CliError."""
    done = called(*words, folder=folder, timeout=timeout)
    if done.returncode == 0:
        return done.stdout
    raise refusal(done.stderr or done.stdout, " ".join(words[:2]), folder)


def set_secret(key: str, value: str, *options: str, stack: str, folder: Path) -> None:
    """`pulumi config set --secret`, the value by stdin, where nobody sees it.  Raises CliError, without the value."""
    words = ("config", "set", "--secret", key, "--stack", stack, *options)
    done = called(*words, folder=folder, typed=value)
    if done.returncode != 0:
        raise refusal((done.stderr or done.stdout).replace(value, "[secret]"), "config set", folder)


def refusal(said: str, verb: str, folder: Path) -> CliError:
    """What a failed call means."""
    for pattern, what, cure in _REFUSALS:
        if match := re.search(pattern, said):
            found = {"1": (match[1] if match.groups() and match[1] else "it can't be read").strip().rstrip(".")}
            words = {"stacks": _with_a_file(folder)}
            return CliError(_filled(what, found | words), _filled(cure, found | words))
    from serving.values import masked

    lines = [line.removeprefix("error: ").strip() for line in said.splitlines() if line.strip()]
    told = masked(lines[0])[:300] if lines else "it says nothing"
    return CliError(f"`pulumi {verb}` failed: {told}", f"`pulumi {verb}` in {folder} tells more.")


def _filled(text: str, values: dict[str, str]) -> str:
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", value)
    return text


def _with_a_file(folder: Path) -> str:
    files = sorted(config_folder(folder).glob("Pulumi.*.yaml"))
    names = [file.name.removeprefix("Pulumi.").removesuffix(".yaml") for file in files]
    return f" (with a stack file: {', '.join(names)})" if names else ""
