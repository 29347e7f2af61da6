"""The verb `test` and its options."""

from __future__ import annotations

import os
import re
from typing import Annotated

import typer

from cli.boundary import CliError
from cli.options import Output, OutputOption, StackOption

KEY_VARIABLE = "VLLM_API_KEY"
_ADDRESS = re.compile(r"https?://\S+|[\w.-]+:\d+(?:/\S*)?", re.IGNORECASE)


def test(
    name: Annotated[
        str, typer.Argument(metavar="NAME|URL", help="A model or session of the stack, or the address of any server.")
    ],
    *,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="The name that it is asked by (the first one that it serves).")
    ] = None,
    api_key_env: Annotated[
        str, typer.Option(metavar="VAR", help="For a URL: the variable that holds the api key.")
    ] = KEY_VARIABLE,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", min=0.1, help="For one answer.")] = 60.0,
    output: OutputOption = Output.TEXT,
    stack: StackOption = None,
) -> int:
    """Ask a server for health, models, completion, chat and a stream.

    Of a model with several replicas all are asked, each through a tunnel of its own. Exit code: 1 when something
    failed; a model without a chat template is a warning.
    """
    import asyncio

    from . import report, servers

    if _ADDRESS.fullmatch(name):
        trials = [asyncio.run(servers.of_address(name, model, _key(api_key_env), timeout))]
    else:
        from cli.stack import selected

        trials = asyncio.run(servers.of_stack(selected(stack), name, model, timeout))
    report.show(trials, output)
    return 0 if all(trial.ok for trial in trials) else 1


def _key(variable: str) -> str | None:
    key = os.environ.get(variable)
    if not key and variable != KEY_VARIABLE:
        raise CliError(f"{variable} isn't set.", f"`export {variable}=...` sets it.", option="--api-key-env")
    return key or None
