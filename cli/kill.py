"""The verb `kill`: ends one session, after saying what depends on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from .options import NameArgument, StackOption

if TYPE_CHECKING:
    from .cluster import Row
    from .finding import Found
    from .stack import Stack


def kill(
    name: NameArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    stack: StackOption = None,
) -> int:
    """End a session, of the stack or another one of this program. The next `pulumi up` makes the stack's anew.

    It is asked first, with what depends on it: its endpoint, other replicas, requests under way.
    """
    from .live import run_async

    return run_async(_kill(name, stack, yes))


async def _kill(name: str, stack_name: str | None, yes: bool) -> int:
    from backendai import Api
    from backendai import sessions as door

    from . import console
    from .boundary import CliError
    from .cluster import observing
    from .finding import find_session

    async with observing(stack_name) as (stack, observer, sessions):
        found = await find_session(name, stack, sessions, observer.reader)
        row = next((r for r in await observer.look(stack, sessions) if r.session_id == found.session_id), None)
        if row is None or row.session is None or row.session.ended:
            raise CliError(f"{found.name} doesn't run (any more).", "`pulumi up` makes the stack's sessions anew.")
        console.say("\n".join(depends(found, row, stack)))
        if not yes and not confirmed(f"End session {row.session_name}?"):
            console.say("Nothing was changed.")
            return 1
        async with Api(observer.connection) as api:
            await door.destroy(api, found.session_id)
        console.say(f"Ended: {row.session_name} ({found.session_id}).")
        if found.deployed:
            console.say(
                f"`pulumi up --stack {stack.name}` starts it again; `bai-vllm list` shows it as ended till then."
            )
        return 0


def depends(found: Found, row: Row, stack: Stack) -> Iterator[str]:
    """What goes with the session."""
    yield f"Session {row.session_name} ({found.session_id}): {row.state}, {row.gpus or 0:g} GPUs"
    if row.hub_model:
        yield f"  serves     {row.hub_model}"
    if found.deployed is None:
        owner = f"another stack ({row.session.stack_id})" if row.session else "no stack"
        yield f"  belongs to {owner}, not to {stack.name}"
    else:
        replicas = [other.resource for other in stack.models if other.model == found.deployed.model]
        others = ", ".join(name for name in replicas if name != found.deployed.resource)
        stay = f"{others}: they stay" if others else "none: the model is gone until the next `pulumi up`"
        yield f"  model      {found.deployed.model} of stack {stack.name}"
        yield f"  endpoint   {found.deployed.url or 'none yet'}"
        yield f"  replicas   {stay}"
    if row.load:
        yield f"  in use     {row.load.running} requests running, {row.load.waiting} waiting: they break off"
    elif row.detail:
        yield f"  in use     not known: {row.detail}"


def confirmed(question: str) -> bool:
    """What the user answers; an error where nobody can be asked."""
    import sys

    from .boundary import CliError

    if not sys.stdin.isatty():
        raise CliError("Nobody can be asked here: stdin is no terminal.", "Add --yes.")
    return typer.confirm(question)
