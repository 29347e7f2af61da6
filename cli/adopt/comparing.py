"""The session as the cluster and its own server tell it, against what the stack file declares."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from cli.boundary import CliError
from cli.stack import Stack

from .declared import Wanted

if TYPE_CHECKING:
    from backendai import Api
    from backendai.listing import ListedSession

_ANSWERS_WITHIN = 15.0  # seconds for one answer of the session's server
_UNAUTHORIZED = (401, 403)
_GIVEN = re.compile(r"-\d+-[0-9a-f]{6}$")  # by providers.stack_identity.session_name


@dataclass(frozen=True)
class Seen:
    """A session that may be adopted.  `unseen`: what couldn't be compared, and why; `notes`: what else to know."""

    session: ListedSession
    unseen: Sequence[str] = ()
    notes: Sequence[str] = field(default_factory=list)


async def seen(api: Api, name: str, wanted: Wanted, stack: Stack, *, forgotten: bool = False) -> Seen:
    """The session, when nothing speaks against it.  Raises CliError, ClusterError.

    `forgotten`: the stack that gave it its name has it no more.
    """
    from backendai.details import details
    from components.adoption import differences

    session = await _find(api, name)
    _refuse_taken(session, stack, forgotten=forgotten)
    more = await details(api, session.id)
    found = list(differences(wanted.model, session, more))
    unseen = [key for key, value in (("image", more.image), ("shmem", more.shmem)) if value is None]
    if not found:
        served, silent = await _served(api, session, wanted)
        if served is None:
            unseen.append(f"api_key, served_model_name and max_model_len ({silent})")
        else:
            found = list(_of_server(wanted, served))
    if found:
        raise _refused(found, wanted, session, stack)
    unseen.append("the other arguments of vllm serve, its environment and mounts: taken as declared")
    notes = [silent] if served is not None and silent else []
    return Seen(session, unseen, notes)


async def _find(api: Api, name: str) -> ListedSession:
    from backendai import Stage, errors, sessions
    from backendai.listing import session_by_id

    unknown = CliError(
        f"There is no session '{name}' that this key pair has.",
        "`backend.ai session list` shows yours; a session of another key pair can't be adopted.",
        option="SESSION",
    )
    try:
        session_id = str(UUID(name))
    except ValueError:
        living = await sessions.find_living(api, name)
        if living is None:
            raise unknown from None
        session_id = living.id
    try:
        session = await session_by_id(api, session_id)
    except errors.SessionNotFound:
        raise unknown from None
    if session.stage is not Stage.RUNNING:
        what = f"Session {session.name} is {session.status}: only one that runs can be adopted."
        ended = session.stage in (Stage.ENDED, Stage.ENDING, Stage.BROKEN)
        raise CliError(what, "`pulumi up` makes a new one." if ended else "Wait until it is RUNNING.")
    return session


def _refuse_taken(session: ListedSession, stack: Stack, *, forgotten: bool) -> None:
    if row := next((row for row in stack.models if row.session_id == session.id), None):
        raise CliError(f"Session {session.name} is {row.resource} of stack {stack.name} already.", "Nothing is to do.")
    if not session.stack_id:
        # A tag can't be given to a session that is there: the name is all that an adopted one shows.
        if _GIVEN.search(session.name) and not forgotten:
            what = f"Session {session.name} has a name that a stack gave it when it adopted it, and which may have it."
            raise CliError(what, "Use that stack. Where none has it any more: --forgotten.")
        return
    if session.stack_id == stack.stack_id:
        what = f"Session {session.name} was made by stack {stack.name}, whose state doesn't know it."
        raise CliError(what, "`pulumi up` takes over what it still needs; `bai-vllm orphans` shows the rest.")
    what = f"Session {session.name} belongs to another stack ({session.stack_id}), which would end or replace it."
    raise CliError(what, "Use that stack, or take the session out of its state first and make a new one here.")


async def _served(api: Api, session: ListedSession, wanted: Wanted) -> tuple[Mapping[str, int | None] | None, str]:
    """What its server serves, with what is to be said; None, with why, when it doesn't answer yet."""
    import aiohttp

    from backendai import errors, open_tunnel
    from cli.server import Refused, Server

    port, barred = str(wanted.model.inputs["port"]), list[errors.ClusterError]()
    async with (
        open_tunnel(api, session.id, port, on_failure=barred.append) as url,
        aiohttp.ClientSession(trust_env=False) as http,
    ):
        try:
            served = await Server(url, wanted.key, http, seconds=_ANSWERS_WITHIN).models()
        except Refused as refused:
            if refused.status in _UNAUTHORIZED:
                raise CliError(
                    f"api_key: session {session.name} refuses the one that is declared ({refused.status}).",
                    "Give the key that it was started with (VLLM_API_KEY, or --api-key of vllm serve).",
                ) from None
            if refused.status:
                what = f"What listens at port {port} of session {session.name} is no vLLM: {refused}."
                raise CliError(what, "Set `port` in the stack file to the server's.") from None
            if barred and not isinstance(barred[-1], errors.Unreachable | errors.ServerFault):
                raise CliError(
                    f"port: {port} of session {session.name} can't be reached: {barred[-1].what}",
                    "Set `port` in the stack file to one that the session was created with (preopen_ports).",
                ) from None
            return None, "its server doesn't answer yet"
        try:
            await Server(url, None, http, seconds=_ANSWERS_WITHIN).models()
        except Refused:
            return served, ""
        return served, "its server asks for no key: whoever reaches its port may use it"


def _of_server(wanted: Wanted, served: Mapping[str, int | None]) -> Any:
    from components.adoption import served_otherwise

    return served_otherwise(wanted.model, served)


def _refused(found: Sequence[Any], wanted: Wanted, session: ListedSession, stack: Stack) -> CliError:
    lines = "\n".join(f"  - {difference}" for difference in found)
    return CliError(
        f"Session {session.name} isn't what {stack.file.name} declares as '{wanted.model.name}', and the next "
        f"`pulumi up` would replace it:\n{lines}",
        f"Change {stack.file.name} to what the session has; nothing was written.",
    )
