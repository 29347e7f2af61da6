"""The verb `orphans`: sessions that carry this program's tag and are in no stack's state that is known here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Output, OutputOption, StackOption

if TYPE_CHECKING:
    from rich.console import RenderableType

    from backendai.listing import ListedSession

    from .cluster import Observer
    from .stack import Stack


def orphans(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="With --delete: sessions of other stacks, by name or id."),
    ] = None,
    *,
    delete: Annotated[
        bool, typer.Option("--delete", help="End this stack's orphans, and of other stacks those that are named.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    stack: StackOption = None,
    output: OutputOption = Output.TEXT,
) -> int:
    """Show sessions that carry this program's tag and aren't in the state of the stack.

    Those that this stack has made are orphans. Those of other stacks may well be in use, by a colleague perhaps: they
    are shown apart, and ended only when they are named. Don't delete while an `up` of the stack is running: what it
    has just made isn't in the state yet.
    """
    from .live import run_async

    return run_async(_orphans(tuple(names or ()), stack, delete, yes, output))


async def _orphans(names: tuple[str, ...], stack_name: str | None, delete: bool, yes: bool, output: Output) -> int:
    from . import console
    from .boundary import CliError
    from .cluster import observing

    if names and not delete:
        raise CliError("Names are of use with --delete only.", "Add --delete, or leave the names out.")
    async with observing(stack_name) as (stack, observer, sessions):
        own, others = apart(stack, sessions)
        chosen = _chosen(names, own, others) if delete else []
        if output is Output.TEXT:
            console.show(lambda width: page(stack, own, others, width))
        if chosen:
            if not yes:
                from .kill import confirmed

                if not confirmed(f"End {', '.join(session.name for session in chosen)}?"):
                    console.say("Nothing was changed.")
                    return 1
            await _end(observer, chosen)
            if output is Output.TEXT:
                console.say("\n".join(f"Ended: {session.name} ({session.id})." for session in chosen))
        if output is Output.JSON:
            console.say(document(stack, own, others, chosen))
    return 0


async def _end(observer: Observer, chosen: Sequence[ListedSession]) -> None:
    import asyncio

    from backendai import Api
    from backendai import sessions as door

    async with Api(observer.connection) as api:
        await asyncio.gather(*(door.destroy(api, session.id) for session in chosen))


def apart(stack: Stack, sessions: Sequence[ListedSession]) -> tuple[list[ListedSession], list[ListedSession]]:
    """This stack's orphans, and the sessions of other stacks."""
    known = {deployed.session_id for deployed in stack.models}
    rest = [session for session in sessions if session.id not in known and not session.ended]
    own = [session for session in rest if stack.stack_id and session.stack_id == stack.stack_id]
    return own, [session for session in rest if session not in own]


def _chosen(names: Sequence[str], own: list[ListedSession], others: list[ListedSession]) -> list[ListedSession]:
    from .boundary import CliError

    if not names:
        return own
    chosen: list[ListedSession] = []
    for name in names:
        found = [session for session in (*own, *others) if name in (session.name, session.id)]
        if len(found) != 1:
            there = ", ".join(session.name for session in (*own, *others)) or "none"
            what = "is the name of several sessions" if found else "is no orphan and no session of another stack"
            raise CliError(
                f"'{name}' {what}; nothing was ended.", f"Name one in full, or by its id; there are: {there}."
            )
        chosen += found
    return chosen


def document(
    stack: Stack, own: Sequence[ListedSession], others: Sequence[ListedSession], deleted: Sequence[ListedSession]
) -> str:
    """JSON: `orphans` of this stack, sessions of `other_stacks`, and the ids that were `deleted`."""
    import json

    content = {
        "stack": stack.name,
        "stack_id": stack.stack_id,
        "orphans": [_entry(session) for session in own],
        "other_stacks": [_entry(session) for session in others],
        "deleted": [session.id for session in deleted],
    }
    return json.dumps(content, indent=2)


def _entry(session: ListedSession) -> dict[str, Any]:
    return {
        "session_id": session.id,
        "session_name": session.name,
        "stack_id": session.stack_id,
        "status": session.status,
        "created_at": session.created_at.isoformat(),
        "gpus": session.gpus,
        "resource_group": session.resource_group,
        "hub_model": session.hub_model or None,
    }


def page(stack: Stack, own: Sequence[ListedSession], others: Sequence[ListedSession], width: int) -> RenderableType:
    """Both kinds, each with what can be done."""
    from rich.console import Group
    from rich.text import Text

    if not own and not others:
        return Text(f"No orphans: all sessions of this program are in the state of stack {stack.name}.")
    pieces: list[RenderableType] = []
    if own:
        pieces += [Text(f"Orphans of stack {stack.name}: it has made them, and its state doesn't know them.", "bold")]
        pieces += [
            _table(own, width),
            Text("`pulumi up` takes over what it still needs; `bai-vllm orphans --delete` ends them.", "dim"),
        ]
    else:
        pieces += [Text(f"No orphans of stack {stack.name}.")]
    if others:
        title = "Sessions of other stacks (somebody may use them)"
        told = "`bai-vllm orphans --delete NAME` ends one of them, if nobody needs it."
        pieces += ["", Text(title, "bold"), _table(others, width), Text(told, "dim")]
    return Group(*pieces)


def _table(sessions: Sequence[ListedSession], width: int) -> RenderableType:
    from datetime import UTC, datetime

    from .listing.table import fitted, span

    now = datetime.now(UTC)
    lines = [
        (
            session.name,
            session.status,
            span(max(0.0, (now - session.created_at).total_seconds())),
            f"{session.gpus:g}",
            session.stack_id or "–",
            session.hub_model or "–",
        )
        for session in sessions
    ]
    titles = ("SESSION", "STATUS", "AGE", "GPUS", "STACK", "MODEL")
    return fitted(titles, lines, width, right=(2, 3), elastic=(5, 0))
