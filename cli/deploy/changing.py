"""The stack file is changed and the run is made; where nothing had begun, the file is put back byte for byte."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from cli import stack_file
from cli.boundary import CliError, Said
from cli.stack import Stack

from . import running
from .running import Manner, Run


def try_out(stack: Stack, text: str, manner: Manner) -> Run:
    """Shows what an `up` with that text would do; the stack file isn't touched.  Raises CliError when it is refused."""
    with tempfile.TemporaryDirectory(prefix="bai-vllm-") as folder:
        file = Path(folder) / stack.file.name
        file.write_bytes(text.encode())
        run = running.preview(stack, file, manner)
    if run.errors:
        raise CliError("\n".join(run.errors), "Nothing was written.")
    return run


def change(stack: Stack, before: str, after: str, manner: Manner, *, undo: Callable[[str], str], stays: str) -> Run:
    """Writes `after` and runs `up`.  Raises CliError when that fails, with what has become of the file.

    `undo` takes the change out of a text that somebody else has changed meanwhile; `stays`: why the change is kept
    after a run that had begun, and what to do.
    """
    existed = stack.file.exists()
    stack_file.write(stack.file, after)
    try:
        run = running.up(stack, manner)
    except (Exception, KeyboardInterrupt):
        _put_back(stack.file, before, after, undo, existed=existed)
        raise
    if not run.failed:
        return run
    what = "\n".join(run.errors) or "The run was stopped."
    if run.begun:
        raise _failed(run, what, stays)
    _put_back(stack.file, before, after, undo, existed=existed)
    raise _failed(run, what, f"No session was touched, and {stack.file.name} is as it was.")


def _failed(run: Run, what: str, cure: str) -> BaseException:
    """A run that was stopped ends as any command that Ctrl-C ends, but not without a word of what there is now."""
    if not run.interrupted:
        return CliError(what, cure)
    print(Said(what, cure), file=sys.stderr)
    return KeyboardInterrupt()


def _put_back(file: Path, before: str, after: str, undo: Callable[[str], str], *, existed: bool) -> None:
    now = stack_file.read(file)
    if now == after and not existed:
        file.unlink()
    elif now == after:
        stack_file.write(file, before)
    else:
        stack_file.write(file, undo(now))
