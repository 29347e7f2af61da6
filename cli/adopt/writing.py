"""The name onto the session, the key into the stack file, the session into the state: all of it, or nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import stack_file
from cli.boundary import CliError
from cli.pulumi_cli import PROJECT, pulumi_environment, pulumi_path, refusal
from cli.stack import Stack

from .declared import Wanted

if TYPE_CHECKING:
    from backendai.listing import ListedSession

_IMPORT_WITHIN = 300.0  # seconds; the state may be far away
_LOCKED = "the stack is currently locked"


def write(stack: Stack, wanted: Wanted, content: Mapping[str, Any]) -> None:
    """Raises CliError; then stack file and state are as they were."""
    with _key_in_file(stack, wanted):
        _import(stack, content, wanted.key)


@contextmanager
def renamed(stack: Stack, session: ListedSession, name: str) -> Iterator[None]:
    """The stack's name for it, which is how the stack's look for room finds a session that has no tag.

    Raises ClusterError, as when the name is taken.
    """
    if name == session.name:
        yield
        return
    _rename(stack, session.id, name)
    try:
        yield
    except BaseException:
        from backendai import errors

        with suppress(errors.ClusterError):
            _rename(stack, session.id, session.name)
        raise


def _rename(stack: Stack, session_id: str, name: str) -> None:
    from backendai import sessions
    from backendai.light import LightApi
    from cli.live import run_async
    from cli.stack import connection

    async def rename() -> None:
        async with LightApi(connection(stack)) as api:
            await sessions.rename(api, session_id, name)

    run_async(rename())


@contextmanager
def _key_in_file(stack: Stack, wanted: Wanted) -> Iterator[None]:
    """A key that isn't declared would be derived in the next `up`, and the session replaced."""
    if not wanted.new_key:
        yield
        return
    before = stack_file.read(stack.file)
    path = f"{PROJECT}:models[{wanted.model.index}].api_key"
    words = ["config", "set", "--secret", "--path", path, "--stack", stack.name]
    try:
        done = _run(stack, *words, typed=wanted.key)
        if done.returncode != 0:
            raise refusal((done.stderr or done.stdout).replace(wanted.key, "[secret]"), "config set", stack.folder)
        yield
    except BaseException:
        stack_file.write(stack.file, before)
        raise


def _import(stack: Stack, content: Mapping[str, Any], key: str) -> None:
    """The file holds secrets: in a folder that nobody else can enter, and gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bai-vllm-") as folder:
        file = Path(folder) / "import.json"
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            json.dump(content, out)
        options = ["--yes", "--skip-preview", "--generate-code=false", "--protect=false", "--stack", stack.name]
        done = _run(stack, "import", "--file", str(file), *options)
    if done.returncode == 0:
        return
    said = (done.stdout + done.stderr).replace(key, "[secret]")
    if _LOCKED in said:
        cure = "Wait for the other run, which `pulumi stack` names; when there is none any more: `pulumi cancel`."
        raise CliError(f"Another run has the stack {stack.name} locked.", cure)
    told = [line.strip() for line in said.splitlines() if line.strip().startswith("error:")]
    raise refusal("\n".join(told) or said, "import", stack.folder)


def _run(stack: Stack, *words: str, typed: str | None = None) -> subprocess.CompletedProcess[str]:
    # The provider's host takes the first python3 on PATH.
    folders = [str(Path(sys.prefix) / "bin"), str(Path(pulumi_path()).parent), os.environ.get("PATH", os.defpath)]
    try:
        return subprocess.run(
            [pulumi_path(), *words, "--non-interactive", "--color=never"],
            cwd=stack.folder,
            env={**pulumi_environment(), "PATH": os.pathsep.join(folders)},
            input=typed or "",
            capture_output=True,
            text=True,
            check=False,
            timeout=_IMPORT_WITHIN,
        )
    except subprocess.TimeoutExpired:
        what = f"`pulumi {words[0]}` has taken more than {_IMPORT_WITHIN:.0f} s."
        raise CliError(what, "Check the way to where the state is kept: PULUMI_BACKEND_URL.") from None
