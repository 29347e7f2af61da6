"""The verbs of `bai-vllm`, and the way from an argv to an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from .adopt.command import adopt
from .boundary import INTERRUPTED, PROGRAM, run
from .chat import chat
from .connect import connect
from .deploy.command import deploy
from .doctor.command import doctor
from .kill import kill
from .listing.command import list_
from .logs import logs
from .menu import menu
from .monitor.command import monitor
from .orphans import orphans
from .plan.command import plan
from .remove import remove
from .trial.command import test

# No markup and no rich in help: it would take most of the time that `--help` has.
app = typer.Typer(
    name=PROGRAM,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(asked: bool) -> None:
    if asked:
        from .console import say
        from .version import versions

        say(versions())
        raise typer.Exit


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the versions and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Hugging Face models on a Backend.AI cluster with vLLM, for those who run them.

    Exit codes: 0 as asked, 1 an error (what and a cure are on stderr), 130 stopped by Ctrl-C; `plan` has more.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.command()(plan)
app.command()(deploy)
app.command()(remove)
app.command()(adopt)
app.command()(test)
app.command()(chat)
app.command()(connect)
app.command()(menu)
app.command("list")(list_)
app.command()(logs)
app.command()(monitor)
app.command()(doctor)
app.command()(kill)
app.command()(orphans)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the exit code.  After Ctrl-C it doesn't return: Python would wait for requests under way."""
    code = run(app, sys.argv[1:] if argv is None else argv)
    if code == INTERRUPTED:
        sys.stdout.flush()
        os._exit(code)
    return code
