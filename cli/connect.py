"""The verb `connect`: a port of this machine that leads to a model, until Ctrl-C."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import NameArgument, StackOption

if TYPE_CHECKING:
    from backendai import Api

    from .stack import Deployed, Stack

# {key}: the command that gets the key, which isn't shown itself.
_LINES = """\
{what}
{url}

To get the key:
  {key}

Python (pip install openai):
  import os
  from openai import OpenAI

  client = OpenAI(base_url="{url}/v1", api_key=os.environ["VLLM_API_KEY"])
  stream = client.chat.completions.create(
      model="{model}", messages=[{{"role": "user", "content": "Hello"}}], stream=True
  )
  for chunk in stream:
      print(chunk.choices[0].delta.content or "", end="", flush=True)

curl:
  curl {url}/v1/chat/completions -H "Authorization: Bearer $VLLM_API_KEY" \\
    -H "Content-Type: application/json" \\
    -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'

Ctrl-C ends it."""


def connect(
    name: NameArgument,
    *,
    port: Annotated[
        int, typer.Option("--port", "-p", metavar="PORT", min=0, max=65535, help="On this machine; 0 takes a free one.")
    ] = 0,
    stack: StackOption = None,
) -> int:
    """Open a port on this machine that leads to a model, until Ctrl-C.

    It goes through the manager's tunnel with your key pair, and listens on loopback only. Requests for a model with
    several replicas are spread over them, least busy first.
    """
    import asyncio

    from .stack import selected

    chosen = selected(stack)
    rows = chosen.find(name)
    try:
        asyncio.run(_connected(chosen, rows, port))
    except KeyboardInterrupt:  # the way in which it is meant to end
        return 0
    return 0


async def _connected(stack: Stack, rows: Sequence[Deployed], port: int) -> None:
    import asyncio
    import contextlib
    import sys

    from .console import say
    from .reaching import conversation, port_taken, tunnel, with_sessions

    async with conversation(stack) as api, contextlib.AsyncExitStack() as open_:
        running = await _running(api, with_sessions(rows))
        if len(running) == 1:
            url = await open_.enter_async_context(tunnel(api, running[0], port=port))
            what = f"{running[0].resource} is at"
        else:
            from .balance import Balancer, Replica, serving

            urls = [await open_.enter_async_context(tunnel(api, row)) for row in running]
            replicas = [Replica(row.resource, address) for row, address in zip(running, urls, strict=True)]
            try:
                url = await open_.enter_async_context(serving(Balancer(replicas), port=port))
            except OSError as error:
                raise port_taken(port, error) from None
            what = f"The {len(running)} replicas of {running[0].model}, least busy first, are at"
        say(_LINES.format(what=what, url=url, model=running[0].served_model_name, key=key_command(stack, running[0])))
        sys.stdout.flush()
        await asyncio.Event().wait()


async def _running(api: Api, rows: Sequence[Deployed]) -> list[Deployed]:
    """Those whose sessions run; the others are said.  Raises CliError when none does."""
    import asyncio
    import sys

    from backendai import Stage, errors, sessions

    from .boundary import CliError
    from .reaching import why_silent

    async def runs(row: Deployed) -> bool:
        try:
            return (await sessions.read(api, str(row.session_id))).stage is Stage.RUNNING
        except errors.SessionNotFound:
            return False

    states = await asyncio.gather(*map(runs, rows))
    found = [row for row, running in zip(rows, states, strict=True) if running]
    for row in rows:
        if row in found:
            continue
        why = await why_silent(api, row)
        if not found:
            raise CliError(f"{row.resource} can't be reached: {why.what}.", why.cure)
        print(f"warning: {row.resource} is left out: {why.what}. {why.cure}", file=sys.stderr)
    return found


def key_command(stack: Stack, row: Deployed) -> str:
    """The shell line that puts the model's key into VLLM_API_KEY."""
    inside = stack.folder in (Path.cwd(), *Path.cwd().parents)
    where = "" if inside else f" -C {shlex.quote(str(stack.folder))}"
    pick = f"python3 -c 'import json, sys; print(json.load(sys.stdin)[\"{row.model}\"])'"
    command = f"pulumi{where} stack output api_keys --show-secrets --json --stack {stack.name}"
    return f"export VLLM_API_KEY=$({command} | {pick})"
