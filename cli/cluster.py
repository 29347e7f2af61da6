"""The stack's models and the cluster's other sessions of this program, as they stand now.

async with Observer(connection) as observer:
    rows = await observer.look(stack)

What is asked of servers and sessions is asked side by side and with short deadlines: what doesn't answer becomes a
row that says so, and never a failure of the whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from .cures import command_for, cure_of, session_cause
from .metrics import Load, NoMetrics, through_tunnel

if TYPE_CHECKING:
    from backendai import Connection, Reader
    from backendai.light import LightApi
    from backendai.listing import ListedSession

    from .stack import Deployed, Stack

LISTED_WITHIN = 10.0  # seconds for the list of sessions
STEP = 8.0  # seconds for one step of a request; a longer one would only keep the command from ending
DEADLINE = 4.0  # seconds for what is asked about one session
# The stages of a session that doesn't run, in an operator's words.
_STATES = {"queued": "queued", "image": "pulling image", "starting": "starting", "ending": "ending", "broken": "broken"}
SERVING, LOADING, SILENT, ENDED, GONE, ABSENT = "serving", "loading", "not answering", "ended", "gone", "not deployed"


@dataclass(frozen=True)
class Row:
    """One session, or one model that has none.

    `model`: its name in the stack; of a session that isn't in the stack, the session's.  `state` is a word, `detail`
    what else is known, `cure` what mends it where something is wrong.
    """

    model: str
    state: str
    deployed: Deployed | None = None
    session: ListedSession | None = None
    load: Load | None = None
    detail: str = ""
    cure: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; what is on its way is fine."""
        return not self.cure

    @property
    def session_name(self) -> str:
        return self.session.name if self.session else self.deployed.session_name if self.deployed else ""

    @property
    def session_id(self) -> str | None:
        return self.session.id if self.session else self.deployed.session_id if self.deployed else None

    @property
    def gpus(self) -> float | None:
        return self.session.gpus if self.session else self.deployed.gpus if self.deployed else None

    @property
    def hub_model(self) -> str:
        return self.deployed.hub_model if self.deployed else self.session.hub_model if self.session else ""

    @property
    def port(self) -> int:
        return self.deployed.port if self.deployed else self.session.port if self.session else 0

    def age(self, now: datetime | None = None) -> float | None:
        """Seconds since it was created, whether it still lives or not."""
        if self.session is None:
            return None
        return max(0.0, ((now or datetime.now(UTC)) - self.session.created_at).total_seconds())


@contextlib.asynccontextmanager
async def observing(stack_name: str | None) -> AsyncIterator[tuple[Stack, Observer, list[ListedSession]]]:
    """The stack, the conversation with its cluster, and the living sessions there.

    Where the environment says all of the connection, state and cluster are read side by side.
    Raises CliError, ClusterError.
    """
    from backendai import connection_from, errors

    from .stack import connection, selected

    reading = asyncio.create_task(asyncio.to_thread(selected, stack_name))
    async with contextlib.AsyncExitStack() as exits:
        observer: Observer | None = None
        listing: asyncio.Task[list[ListedSession]] | None = None
        with contextlib.suppress(errors.InvalidConnection):
            observer = await exits.enter_async_context(Observer(connection_from()))
            listing = asyncio.create_task(observer.living())
            exits.callback(_forgotten, listing)
        stack = await reading
        actual = connection(stack)
        if observer is None or listing is None or observer.connection != actual:
            observer = await exits.enter_async_context(Observer(actual))
            listing = asyncio.create_task(observer.living())
            exits.callback(_forgotten, listing)
        observer.project = stack.project
        yield stack, observer, await listing


def _forgotten(task: asyncio.Task[Any]) -> None:
    """Nobody waits for it any more, and nobody is told how it ends."""
    task.cancel()
    task.add_done_callback(lambda done: None if done.cancelled() else void(done.exception()))


def void(_value: object) -> None:
    return None


class Observer:
    """One conversation with the cluster, for one look or for many."""

    def __init__(self, connection: Connection, project: str = "default") -> None:
        self.connection, self.project = connection, project
        self._light: LightApi | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._light is not None:
            await self._light.__aexit__(kind, error, trace)

    @property
    def reader(self) -> Reader:
        from backendai import Reader

        return Reader(self.connection)

    async def api(self) -> LightApi:
        """What opens tunnels; what ends sessions opens an Api of its own."""
        from backendai.light import LightApi

        if self._light is None:
            hasty = dataclasses.replace(self.connection, read_timeout=STEP)
            self._light = await LightApi(hasty).__aenter__()
        return self._light

    async def living(self) -> list[ListedSession]:
        """The living sessions of this program.  Raises ClusterError."""
        from backendai import errors
        from backendai.listing import list_sessions
        from backendai.retrying import patience

        try:
            with patience(LISTED_WITHIN / 2):
                async with asyncio.timeout(LISTED_WITHIN):
                    return await list_sessions(self.reader)
        except TimeoutError:
            what = f"{self.connection.endpoint} hasn't listed the sessions within {LISTED_WITHIN:.0f} s."
            raise errors.Unreachable(what, "Check BACKEND_ENDPOINT and the way there.") from None

    async def look(self, stack: Stack | None, sessions: Sequence[ListedSession] | None = None) -> list[Row]:
        """The stack's models in its order, then the other sessions.  Raises ClusterError when none can be listed."""
        listed = await self.living() if sessions is None else sessions
        living = {session.id: session for session in listed if not session.ended}
        models = stack.models if stack else ()
        own = {deployed.session_id for deployed in models}
        absent = [name for name in stack.declared if name not in {d.model for d in models}] if stack else []
        others = [session for session in living.values() if session.id not in own]
        asked = [self._deployed(deployed, living.get(deployed.session_id or "")) for deployed in models]
        asked += [self._session(session, None) for session in others]
        rows = await asyncio.gather(*asked)
        missing = [
            Row(name, ABSENT, detail="in the stack file, but not deployed", cure="`pulumi up` deploys it.")
            for name in absent
        ]
        return [*rows[: len(models)], *missing, *rows[len(models) :]]

    async def _deployed(self, deployed: Deployed, session: ListedSession | None) -> Row:
        from backendai import errors
        from backendai.listing import session_by_id

        if session is not None:
            return await self._session(session, deployed)
        if not deployed.session_id:
            return Row(deployed.model, GONE, deployed, detail="its session was never made", cure=command_for("gone"))
        try:
            async with asyncio.timeout(DEADLINE):
                session = await session_by_id(self.reader, deployed.session_id)
        except errors.SessionNotFound:
            cure = "`pulumi up` makes it anew."
            return Row(deployed.model, GONE, deployed, detail="the cluster doesn't know its session", cure=cure)
        except (errors.ClusterError, TimeoutError) as error:
            what = error.what if isinstance(error, errors.ClusterError) else "the cluster didn't answer in time"
            return Row(deployed.model, "unknown", deployed, detail=what, cure=command_for("cluster"))
        return await self._session(session, deployed)

    async def _session(self, session: ListedSession, deployed: Deployed | None) -> Row:
        """What a session does; bounded by DEADLINE and never a failure."""
        from backendai import errors

        model = deployed.model if deployed else session.name
        try:
            async with asyncio.timeout(DEADLINE):
                return await self._asked(model, session, deployed)
        except TimeoutError:
            why = f"no answer within {DEADLINE:g} s"
        except errors.ClusterError as error:
            why = error.what
        cure = command_for("silent", name=model)
        return Row(model, SILENT, deployed, session, detail=why, cure=cure)

    async def _asked(self, model: str, session: ListedSession, deployed: Deployed | None) -> Row:
        from backendai import Stage

        if session.stage is Stage.ENDED:
            return await self._ended(model, session, deployed)
        if session.stage is Stage.RUNNING:
            return await self._running(model, session, deployed)
        state, detail, cure = _STATES[session.stage.value], f"session {session.status}", ""
        if session.stage is Stage.BROKEN:
            cure = command_for("broken", name=model)
        elif session.stage is Stage.QUEUED:
            short = await self._short_of(session)
            detail, cure = (short, command_for("no-room")) if short else (detail, "")
        return Row(model, state, deployed, session, detail=detail, cure=cure)

    async def _running(self, model: str, session: ListedSession, deployed: Deployed | None) -> Row:
        from backendai import sessions
        from serving import explain, phase_of

        api, port = await self.api(), deployed.port if deployed else session.port
        try:
            return Row(model, SERVING, deployed, session, await through_tunnel(api, session.id, port))
        except NoMetrics as error:
            why = str(error)
        log = await sessions.logs(api, session.id, timeout=DEADLINE / 2)
        phase, cause = phase_of(log), explain(log)
        if cause.what:
            cure = cure_of(cause.cure, cause.code, name=model, model=session.hub_model)
            return Row(model, SILENT, deployed, session, detail=cause.what, cure=cure)
        if phase.stage.name == "READY" or (not log and deployed and deployed.url):
            cure = command_for("silent", name=model)
            return Row(model, SILENT, deployed, session, detail=f"{why}; in its log: {phase}", cure=cure)
        return Row(model, LOADING, deployed, session, detail=str(phase))

    async def _ended(self, model: str, session: ListedSession, deployed: Deployed | None) -> Row:
        what, cure = await self.why_ended(model, session)
        return Row(model, ENDED, deployed, session, detail=what, cure=cure)

    async def why_ended(self, model: str, session: ListedSession) -> tuple[str, str]:
        """The cause as far as cluster and log tell, and its cure."""
        from backendai import sessions
        from serving import explain

        api = await self.api()
        words, log = await asyncio.gather(sessions.why_ended(api, session.id), sessions.logs(api, session.id))
        code, meaning = session_cause(words)
        cause = explain("" if code == "stopped" else log)
        if cause.what:
            return cause.what, cure_of(cause.cure, cause.code, name=model, model=session.hub_model)
        if meaning:
            return meaning, command_for(code, name=model)
        what = words or f"{session.status.lower()}, result {session.result.lower()}"
        if cause.lines:
            what = f"{what}: {cause.lines[-1]}"
        return what, command_for("ended", name=model)

    async def _short_of(self, session: ListedSession) -> str:
        """Of what the group has less free than a waiting session asks for; "" when it can't be told."""
        from backendai import errors
        from backendai.capacity import amounts
        from backendai.listing import room

        try:
            found = await room(self.reader, self.project, session.resource_group or "default")
        except errors.ClusterError:
            return ""
        left = {s: min(n, found.quota_left.get(s, n)) for s, n in found.free.items()}
        short = {slot: n for slot, n in session.slots.items() if slot in left and n > left[slot]}
        if not short:
            return "waits for its turn: nothing has taken it yet"
        has = amounts({slot: left[slot] for slot in short})
        return f"not enough free: it asks for {amounts(short)}, and {has} are free"
