"""Options and arguments that several verbs have, each said once."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Output(StrEnum):
    """The forms of a listing."""

    TEXT = "text"
    JSON = "json"


def _names(incomplete: str) -> list[str]:
    """For completion: what can stand for NAME in the selected stack; nothing where there is none."""
    from .boundary import CliError
    from .stack import selected

    try:
        deployed = selected().models
    except (CliError, OSError):
        return []
    names = {row.model for row in deployed} | {row.session_name for row in deployed}
    return sorted(name for name in names if name.startswith(incomplete))


StackOption = Annotated[
    str | None,
    typer.Option("--stack", "-s", metavar="STACK", help="The stack, instead of the selected one (or PULUMI_STACK)."),
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="The form of the listing.")]
NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A model of the stack, one of its sessions, or a session's id; the beginning is enough.",
        autocompletion=_names,
    ),
]
