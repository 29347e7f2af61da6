"""The verb `adopt`: from SESSION and NAME to a session in the state."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Output, OutputOption, StackOption

if TYPE_CHECKING:
    from cli.stack import Stack

    from .comparing import Seen
    from .declared import Wanted


def adopt(
    session: Annotated[str, typer.Argument(metavar="SESSION", help="One that runs, by name or id.")],
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="The model that the stack file declares, or its replica, such as chat-1."),
    ],
    *,
    api_key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The session's key, where the stack file has none; or VLLM_API_KEY."),
    ] = None,
    forgotten: Annotated[
        bool, typer.Option("--forgotten", help="No stack has it any more, though its name is one that a stack gave.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Compare, and write nothing.")] = False,
    stack: StackOption = None,
    output: OutputOption = Output.TEXT,
) -> int:
    """Bring a session that was made without this program under the stack. It goes on running.

    It is compared with what the stack file declares; what would make the next `pulumi up` replace it is refused.
    """
    from cli.live import run_async
    from cli.stack import selected

    from .declared import wanted

    chosen = selected(stack)
    replica = wanted(chosen, name, api_key_file)
    found, endpoint = run_async(_looked(chosen, session, replica, forgotten=forgotten))
    return _adopt(chosen, replica, found, endpoint, yes=yes, dry_run=dry_run, output=output)


async def _looked(stack: Stack, session: str, wanted: Wanted, *, forgotten: bool) -> tuple[Seen, str]:
    from backendai.light import LightApi
    from cli.stack import connection

    from .comparing import seen

    to = connection(stack)
    async with LightApi(to) as api:
        return await seen(api, session, wanted, stack, forgotten=forgotten), to.endpoint


def _adopt(stack: Stack, wanted: Wanted, seen: Seen, endpoint: str, *, yes: bool, dry_run: bool, output: Output) -> int:
    from dataclasses import replace

    from cli.console import say
    from cli.kill import confirmed
    from components.adoption import Adopted, import_file, new_stack_id

    from .writing import renamed, write

    stack_id = stack.stack_id or (None if dry_run else new_stack_id())
    adopted = Adopted(
        wanted.model, wanted.replica, seen.session.id, seen.session.name, wanted.key, endpoint, secret_env=wanted.secret
    )
    becomes = adopted.derived_name(stack_id)
    if output is Output.TEXT:
        say("\n".join(_told(stack, wanted, seen, becomes)))
    written = False
    if not dry_run:
        if not yes and not confirmed(f"Adopt session {seen.session.name} as {wanted.resource} of {stack.name}?"):
            say("Nothing was changed.")
            return 1
        assert stack_id and becomes
        component = stack.components.get(wanted.model.name)
        content = import_file(
            replace(adopted, session_name=becomes), stack_id, component, new_identity=stack.stack_id is None
        )
        with renamed(stack, seen.session, becomes):
            write(stack, wanted, content)
        written = True
    if output is Output.JSON:
        say(_document(stack, wanted, seen, becomes, written=written))
    elif written:
        say(
            f"Adopted: {becomes} is {wanted.resource}. `pulumi up --stack {stack.name}` makes its endpoint; "
            "`pulumi destroy` ends it."
        )
    else:
        say("Nothing was written.")
    return 0


def _told(stack: Stack, wanted: Wanted, seen: Seen, becomes: str | None) -> Iterator[str]:
    session = seen.session
    yield f"Session {session.name} ({session.id}): {session.status}, {session.gpus:g} GPUs"
    yield f"  becomes       {wanted.resource} of stack {stack.name}"
    yield f"  serves        {wanted.model.inputs['served_model_name']}"
    if stack.stack_id is None:
        yield "  identity      the stack has none yet, and gets one"
    if wanted.new_key:
        yield f"  api_key       is written to {stack.file.name}, encrypted"
    if becomes != session.name:
        yield f"  session_name  is changed in place to {becomes or 'the name that the stack makes'};"
        yield f"                `session_name: {session.name}` in {stack.file.name} keeps it"
    for text in seen.unseen:
        yield f"  not compared  {text}"
    for text in seen.notes:
        yield f"  note          {text}"


def _document(stack: Stack, wanted: Wanted, seen: Seen, becomes: str | None, *, written: bool) -> str:
    import json

    content: dict[str, Any] = {
        "stack": stack.name,
        "resource": wanted.resource,
        "model": wanted.model.name,
        "session_id": seen.session.id,
        "session_name": seen.session.name,
        "renamed_to": becomes if becomes != seen.session.name else None,
        "api_key_written": wanted.new_key and written,
        "not_compared": list(seen.unseen),
        "notes": list(seen.notes),
        "adopted": written,
    }
    return json.dumps(content, indent=2)
