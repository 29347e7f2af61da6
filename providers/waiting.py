"""Waiting for a model: from an enqueued session to a completion that came back, with progress and with the cause.

Used in the program (the before_create hook of ModelEndpoint), where many models wait side by side in one event loop,
and never in a provider call: only four of those run at once, and nobody can cancel them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backendai import Api, SessionState
    from serving import Ready

FIRST_POLL, LONGEST_POLL = 0.25, 1.0  # seconds between two looks
LOG_EVERY = 2.0  # seconds between two reads of the log, which comes whole each time
PROBE_TIMEOUT = 15.0  # seconds for one completion of one token; a longer one only means another try
LAST_LOG_LINES = 20


class EndpointError(Exception):
    """The model doesn't answer and waiting longer is no use; the text says why and what cures it."""


@dataclass(frozen=True)
class Target:
    """What must answer.  `stall_seconds`: how long nothing may move before waiting ends."""

    session_id: str
    session_name: str
    served_model_name: str
    port: int
    api_key: str | None = field(repr=False)
    stall_seconds: float = 1800.0


@dataclass
class _Watch:
    """What was seen so far, and when something last moved."""

    moved_at: float = field(default_factory=time.monotonic)
    seen: tuple[object, ...] = ()
    log: str = ""
    log_read_at: float = 0.0
    last_failure: str = ""

    def note(self, *seen: object) -> None:
        if seen != self.seen:
            self.seen, self.moved_at = seen, time.monotonic()

    @property
    def still_for(self) -> float:
        return time.monotonic() - self.moved_at


async def wait_until_ready(api: Api, target: Target, progress: Callable[[str], None]) -> Ready:
    """Returns when the model has answered a completion of one token.

    `progress` gets a line whenever the phase changes.  Raises EndpointError when the session ends, when vLLM can't be
    what was asked for, or when nothing (status, log, phase) has moved for `target.stall_seconds`.
    """
    from backendai import errors, open_tunnel, sessions
    from serving import Ready, probe

    watch, wait, url = _Watch(), FIRST_POLL, ""
    barred: list[errors.ClusterError] = []  # why the manager didn't lead to the session's port
    async with AsyncExitStack() as stack:
        while True:
            try:
                state = await sessions.read(api, target.session_id)
            except (errors.Unreachable, errors.ServerFault, errors.RateLimited) as error:
                watch.last_failure = str(error)  # the manager may be restarting; the model loads on meanwhile
                state = None
            except errors.SessionNotFound as error:
                raise EndpointError(f"{target.session_name}: {error}") from None
            if state is not None:
                watch.last_failure = ""
                await _look(api, target, state, watch, progress)
                if state.stage.value == "running":
                    if not url:
                        tunnel = open_tunnel(api, target.session_id, str(target.port), on_failure=barred.append)
                        url = await stack.enter_async_context(tunnel)
                    barred.clear()
                    answer = await probe(url, target.served_model_name, target.api_key, timeout=PROBE_TIMEOUT)
                    if isinstance(answer, Ready):
                        progress("ready: a completion came back")
                        return answer
                    if answer.final:
                        raise EndpointError(f"{target.session_name}: {answer.reason}.")
                    watch.last_failure = str(barred[-1]) if barred else answer.reason
            if watch.still_for > target.stall_seconds:
                raise EndpointError(await _stalled(target, state, watch))
            await asyncio.sleep(wait)
            wait = min(wait * 1.3, LONGEST_POLL)


async def _look(api: Api, target: Target, state: SessionState, watch: _Watch, progress: Callable[[str], None]) -> None:
    """Notes what has moved, tells the phase, and raises EndpointError when the session has ended."""
    from backendai import Stage, sessions
    from serving import phase_of

    if state.stage in (Stage.ENDED, Stage.BROKEN):  # while it is ending, its last words aren't in the log yet
        raise EndpointError(await why_not(api, target, state))
    phase = state.stage.value
    if state.stage is Stage.RUNNING:
        if time.monotonic() - watch.log_read_at >= LOG_EVERY:
            watch.log = await sessions.logs(api, target.session_id) or watch.log
            watch.log_read_at = time.monotonic()
        phase = str(phase_of(watch.log))
    before = watch.seen[:2]
    watch.note(state.stage, phase, len(watch.log))
    if watch.seen[:2] != before:
        progress(phase)


async def why_not(api: Api, target: Target, state: SessionState) -> str:
    """Why a session that has ended doesn't serve: the cause, the cure and the last lines of its log."""
    from backendai import redact, sessions
    from serving import explain

    words = await sessions.why_ended(api, target.session_id)
    cause = explain(await sessions.logs(api, target.session_id), limit=LAST_LOG_LINES)
    text = f"{target.session_name}: the session has ended ({state.status}{f', {words}' if words else ''})."
    if cause.what:
        text += f" {cause.what} {cause.cure}".rstrip()
    return redact("\n".join([text, *(f"  | {line}" for line in cause.lines)]), [target.api_key])


async def _stalled(target: Target, state: SessionState | None, watch: _Watch) -> str:
    from backendai import Stage, redact
    from serving import explain

    status = state.status if state else "not readable"
    text = (
        f"{target.session_name}: nothing has moved for {watch.still_for:.0f} s (session {status}"
        f"{', ' + str(watch.seen[1]) if len(watch.seen) > 1 else ''})."
    )
    if state is not None and state.stage is Stage.QUEUED:
        text += (
            " The cluster has no room for it, or the key pair's quota is used up: end other sessions or ask for less."
        )
    elif watch.last_failure:
        text += f" Last answer: {watch.last_failure.rstrip('.')}."
    text += " The session is kept: `pulumi up` waits again, `ready_timeout` makes it wait longer."
    lines = explain(watch.log, limit=LAST_LOG_LINES).lines
    return redact("\n".join([text, *(f"  | {line}" for line in lines)]), [target.api_key])
