"""The name onto the session, the key into the stack file, the session into the state: all of it, or nothing."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import stack_file
from cli.pulumi_cli import PROJECT, called, path_for_programs, refusal, set_secret
from cli.stack import Stack

from .declared import Wanted

if TYPE_CHECKING:
    from backendai.listing import ListedSession

_IMPORT_WITHIN = 300.0  # seconds; the state may be far away


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
    try:
        set_secret(path, wanted.key, "--path", stack=stack.name, folder=stack.folder)
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
        env = {"PATH": path_for_programs()}
        words = ("import", "--file", str(file), *options)
        done = called(*words, folder=stack.folder, timeout=_IMPORT_WITHIN, env=env)
    if done.returncode == 0:
        return
    said = (done.stdout + done.stderr).replace(key, "[secret]")
    told = [line.strip() for line in said.splitlines() if line.strip().startswith("error:")]
    raise refusal("\n".join(told) or said, "import", stack.folder)
