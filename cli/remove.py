"""The verb `remove`: a model is taken out of the stack file, and its sessions are ended."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import NameArgument, StackOption


def remove(
    name: NameArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be ended; write nothing.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show all that Pulumi prints.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="The same with Pulumi's debugging output.")] = False,
    stack: StackOption = None,
) -> int:
    """Take a model out of the stack's file and end its sessions.

    The rest of the file stays as it is. When the run can't begin, the file is put back.
    """
    from . import stack_file
    from .boundary import CliError
    from .console import say
    from .deploy import changing
    from .deploy.running import Manner
    from .kill import confirmed
    from .stack import selected

    chosen, manner = selected(stack), Manner(verbose, debug, verdicts=False)
    before = stack_file.read(chosen.file)
    # A model that was never brought up is in the file only.
    entry = next((e for e in stack_file.entries_of(before, chosen.file) if e.get("name") == name), None)
    model = str(entry["name"]) if entry else chosen.find(name)[0].model
    if yes and name not in {model, *(value for row in chosen.models for value in (row.session_name, row.session_id))}:
        raise CliError(f"'{name}' is only the beginning of a name.", f"With --yes, write it in full: {model}.")
    after = stack_file.without_entry(before, model, chosen.file)
    if dry_run:
        changing.try_out(chosen, after, manner)
        say(f"Nothing was written. Without --dry-run, {chosen.file.name} loses the model '{model}'.")
        return 0
    sessions = [row.session_name for row in chosen.models if row.model == model]
    ended = f" and end its sessions ({', '.join(sessions)})" if sessions else ""
    if not yes and not confirmed(f"Take '{model}' out of {chosen.file.name}{ended}?"):
        say("Nothing was changed.")
        return 1
    changing.change(
        chosen,
        before,
        after,
        manner,
        undo=lambda now: stack_file.with_entry(now, entry, chosen.file) if entry else now,
        stays=f"'{model}' stays out of {chosen.file.name}, because its sessions may have ended: `pulumi up` goes on.",
    )
    say(f"{model} is gone.")
    return 0
