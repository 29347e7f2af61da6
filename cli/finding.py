"""From a name that was typed to one session: of the stack, or another one of this program on the cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from .boundary import CliError

if TYPE_CHECKING:
    from backendai import Reader
    from backendai.listing import ListedSession

    from .stack import Deployed, Stack


@dataclass(frozen=True)
class Found:
    """One session; `deployed` is None for one that isn't in the stack."""

    name: str
    session_id: str
    deployed: Deployed | None = None
    session: ListedSession | None = None


async def find_session(name: str, stack: Stack | None, sessions: Sequence[ListedSession], reader: Reader) -> Found:
    """The session that is meant: living, or ended and still known by its id.  Raises CliError, ClusterError.

    A model with several replicas is too many; a replica is named by its session's name or as `chat-1`.
    """
    rows = _of_stack(name, stack)
    living = {session.id: session for session in sessions}
    if rows:
        row = rows[0]
        if not row.session_id:
            raise CliError(f"{row.resource} has no session yet.", "`pulumi up` makes it.")
        return Found(row.resource, row.session_id, row, living.get(row.session_id))
    for exact in (True, False):
        if found := [s for s in sessions if _named(s, name, exact=exact)]:
            if len(found) > 1:
                several = ", ".join(session.name for session in found)
                raise CliError(f"'{name}' may be any of: {several}.", "Write one of them in full, or its id.")
            return Found(found[0].name, found[0].id, None, found[0])
    if _is_id(name):
        from backendai.listing import session_by_id

        session = await session_by_id(reader, name)
        return Found(session.name, session.id, None, session)
    if stack is not None:
        stack.find(name)  # says what there is
    raise CliError(f"There is no session '{name}'.", "`bai-vllm list` shows what there is.")


def _of_stack(name: str, stack: Stack | None) -> list[Deployed]:
    try:
        rows = stack.find(name) if stack else []
    except CliError as error:
        if "may be any of" in error.what:
            raise
        return []
    if len(rows) > 1:
        replicas = ", ".join(row.resource for row in rows)
        raise CliError(
            f"'{name}' has {len(rows)} replicas: {replicas}.", f"Name one of them, such as {rows[0].resource}."
        )
    return rows


def _named(session: ListedSession, name: str, *, exact: bool) -> bool:
    known = (session.name, session.id)
    return name in known if exact else any(value.startswith(name) for value in known)


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
