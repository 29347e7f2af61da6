"""From a replica of the stack to a URL on this machine, and why it doesn't answer where it doesn't."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from .boundary import CliError
from .cures import command_for, cure_of, session_cause

if TYPE_CHECKING:
    from backendai import Api

    from .stack import Deployed, Stack


class Why(NamedTuple):
    """What is the matter with a session, and what cures it; both empty when nothing is known."""

    what: str = ""
    cure: str = ""


def with_sessions(rows: Sequence[Deployed]) -> list[Deployed]:
    """Those that have a session; CliError when none has."""
    found = [row for row in rows if row.session_id]
    if not found:
        raise CliError(f"{rows[0].model} has no session yet.", "`pulumi up` makes it.")
    return found


@contextlib.asynccontextmanager
async def conversation(stack: Stack) -> AsyncIterator[Api]:
    """With the cluster of the stack.  Raises ClusterError."""
    from backendai import Api

    from .stack import connection

    async with Api(connection(stack)) as api:
        yield api


@contextlib.asynccontextmanager
async def tunnel(api: Api, row: Deployed, *, port: int = 0) -> AsyncIterator[str]:
    """A base URL on this machine's loopback that leads to the replica.  Raises CliError when the port is taken."""
    from backendai import open_tunnel

    async with contextlib.AsyncExitStack() as stack:
        try:
            url = await stack.enter_async_context(open_tunnel(api, str(row.session_id), str(row.port), port=port))
        except (OSError, OverflowError) as error:
            raise port_taken(port, error) from None
        yield url


def port_taken(port: int, error: Exception) -> CliError:
    """Why nothing can listen on a port of this machine."""
    why = getattr(error, "strerror", None) or str(error)
    return CliError(f"{port} can't be listened on ({why}).", "Leave --port out for a free one.", option="--port")


async def why_silent(api: Api, row: Deployed) -> Why:
    """What the cluster and the session's log say of a replica that doesn't answer.  Raises ClusterError."""
    from backendai import Stage, errors, sessions
    from serving import phase_of

    names = {"name": row.resource, "model": row.hub_model}
    try:
        state = await sessions.read(api, str(row.session_id))
    except errors.SessionNotFound:
        return Why("its session is gone", command_for("gone", **names))
    if state.stage in (Stage.ENDED, Stage.BROKEN):
        return _why_ended(
            state.status, await sessions.why_ended(api, state.id), await sessions.logs(api, state.id), names
        )
    if state.stage is Stage.QUEUED:
        return Why("its session waits for room on the cluster", command_for("no-room", **names))
    if state.stage is not Stage.RUNNING:
        return Why(f"its session is {state.status}", "Wait for it: `bai-vllm list --watch` shows how far it is.")
    phase = phase_of(await sessions.logs(api, state.id))
    return Why(f"its session runs, and vLLM is at: {phase}", command_for("silent", **names))


def _why_ended(status: str, words: str, log: str, names: Mapping[str, str]) -> Why:
    """From the cluster's words and the log.  Of a session that somebody has ended the log tells no cause."""
    from serving import explain

    code, meaning = session_cause(words)
    cause = explain("" if code == "stopped" else log)
    said = cause.what or meaning or words
    what = f"its session has ended ({status})" + (f": {said.rstrip('.')}" if said else "")
    return Why(what, cure_of(cause.cure, cause.code if cause.what else code or "ended", **names))
