"""VLLMModelSession: one Backend.AI batch session that runs `vllm serve`.

create   enqueues and returns the id at once: an id that isn't in the state can be lost, so nothing waits here
read     gone when the session has ended (says why on stderr) or was never known; any other failure raises.
         `broken`, in words, when it holds its GPUs and serves nothing, or something else than was declared
diff     by the table in changes.py; what is `broken` is replaced.  GPUs are scarce, so the old session goes first
update   renames in place, or only records
delete   by id, idempotent, forced after a while, until the slots are free

The module's and the provider's name are in every user's state: they never change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from . import changes, judging, session_inputs
from .access import connection_of
from .changes import Effect
from .orphan_watch import watch_for_orphanhood
from .problems import Problem
from .saying import say
from .stack_identity import StackIdentity
from .workers import widen

if TYPE_CHECKING:
    from backendai import Api, Connection, SessionState

LAST_LOG_LINES = 12
USER_REQUESTED = "user-requested"
TIMED_OUT = "task-timeout"


class VLLMModelSessionProvider(ResourceProvider):
    """A thin adapter: what Pulumi calls, in terms of session_inputs, changes and backendai."""

    serialize_as_secret_always = False  # pickled by reference: there is nothing secret in it

    def configure(self, req: ConfigureRequest) -> None:
        self._config = req.config
        watch_for_orphanhood()
        widen()

    def check(self, _olds: Mapping[str, Any], news: dict[str, Any]) -> CheckResult:
        unknown = frozenset(key for key, value in news.items() if pulumi.runtime.rpc.contains_unknowns(value))
        found = session_inputs.check(news, unknown) or self._judge(news, unknown)
        return CheckResult(news, [CheckFailure(p.path, f"{p.what} {p.cure}".strip()) for p in found])

    def _judge(self, news: Mapping[str, Any], unknown: frozenset[str]) -> list[Problem]:
        """Refuses what won't start.  Our own program, which has these keys, has judged the whole stack already."""
        if unknown & judging.ASKED or all(self._config.get(key) for key in ("cluster", "models")):
            return []
        name = str(news["session_name"]) if "session_name" not in unknown else str(news["model"])
        known = {key: value for key, value in news.items() if key not in unknown}
        found, warnings = judging.check(session_inputs.sound(known), name=name)
        for warning in warnings:
            say(name, str(warning))
        return found

    def diff(self, _id: str, _olds: Mapping[str, Any], _news: Mapping[str, Any]) -> DiffResult:
        rows = changes.changed(_olds, _news)
        replaces = [key for key, row in rows.items() if row.effect is Effect.REPLACE]
        if _olds.get("broken"):
            return DiffResult(changes=True, replaces=["broken", *replaces], delete_before_replace=True)
        # None lets the engine compare by itself, which gives the user the diff of each value
        return DiffResult(changes=None if rows else False, replaces=replaces, delete_before_replace=True)

    def create(self, props: dict[str, Any]) -> CreateResult:
        from backendai import Api, sessions

        from .session_spec import session_spec

        spec = session_spec(session_inputs.parse(props))
        connection = self._connection(props)

        async def enqueue() -> str:
            async with Api(connection) as api:
                return await sessions.ensure(api, spec)

        session_id = _run(enqueue())
        return CreateResult(session_id, {**props, "endpoint": connection.endpoint, "startup_command": spec.command})

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        from backendai import Stage, errors, sessions
        from backendai.light import LightApi

        connection = self._connection(props)

        async def look() -> tuple[SessionState, str] | None:
            async with LightApi(connection) as api:
                try:
                    state = await sessions.read(api, id_)
                except errors.SessionNotFound:
                    _same_cluster(id_, props, connection)
                    return None
                if state.stage in (Stage.ENDED, Stage.ENDING):
                    await _report_end(api, state)
                    return None
                return state, await _broken(api, state, props)

        found = _run(look())
        if found is None:
            return ReadResult(None, {})
        state, broken = found
        outs = {key: value for key, value in props.items() if key != "broken"} | ({"broken": broken} if broken else {})
        if state.name != props.get("session_name"):
            inputs = {key: value for key, value in props.items() if key in session_inputs.SessionInputs.model_fields}
            return ReadResult(id_, outs | {"session_name": state.name}, inputs | {"session_name": state.name})
        return ReadResult(id_, outs)

    def update(self, _id: str, _olds: Mapping[str, Any], _news: dict[str, Any]) -> UpdateResult:
        rows = changes.changed(_olds, _news)
        if any(row.effect is Effect.RENAME for row in rows.values()):
            from backendai import sessions
            from backendai.light import LightApi

            async def rename() -> None:
                async with LightApi(self._connection(_news)) as api:
                    await sessions.rename(api, _id, str(_news["session_name"]))

            _run(rename())
        kept = {key: _olds[key] for key in ("endpoint", "startup_command") if key in _olds}
        return UpdateResult({**_news, **kept})

    def delete(self, _id: str, _props: Mapping[str, Any]) -> None:
        from backendai import errors, sessions
        from backendai.light import LightApi

        connection = self._connection(_props)

        async def end() -> None:
            async with LightApi(connection) as api:
                if _props.get("endpoint") not in (None, connection.endpoint):
                    try:
                        await sessions.read(api, _id)
                    except errors.SessionNotFound:
                        _same_cluster(_id, _props, connection)
                await sessions.destroy(api, _id)

        _run(end())

    def _connection(self, props: Mapping[str, Any]) -> Connection:
        return connection_of(self._config.get, domain=str(props.get("domain") or "default"))


class VLLMModelSession(Resource, module="backendai", name="VLLMModelSession"):
    """One serving session.  `args` are the fields of session_inputs.SessionInputs.

    `session_name` and `api_key` are made when they aren't given: from an identity that is in the state before the
    session can exist, so that a run that is killed at any point finds its session again.
    """

    endpoint: pulumi.Output[str]
    startup_command: pulumi.Output[str]
    session_name: pulumi.Output[str]
    served_model_name: pulumi.Output[str]
    api_key: pulumi.Output[str]
    model: pulumi.Output[str]
    gpu_memory_utilization: pulumi.Output[float]  # where it is declared
    port: pulumi.Output[int]

    def __init__(
        self,
        name: str,
        args: Mapping[str, pulumi.Input[Any]],
        opts: pulumi.ResourceOptions | None = None,
        *,
        identity: StackIdentity | None = None,
    ) -> None:
        props = {key: value for key, value in args.items() if value is not None}
        if not props.keys() >= {"owner", "session_name", "api_key"}:
            identity = identity or StackIdentity(f"{name}-identity")
            props.setdefault("owner", identity.owner(name))
            props.setdefault("session_name", identity.session_name(name))
            props.setdefault("api_key", identity.api_key(name))
        props.setdefault("served_model_name", props.get("model"))
        for secret in ("api_key", "hf_token"):
            if secret in props:
                props[secret] = pulumi.Output.secret(props[secret])
        secrets = pulumi.ResourceOptions(additional_secret_outputs=["api_key", "hf_token"], hide_diffs=["__provider"])
        super().__init__(
            VLLMModelSessionProvider(),
            name,
            {**props, "endpoint": None, "startup_command": None},
            pulumi.ResourceOptions.merge(secrets, opts),
        )


def _run[T](work: Coroutine[Any, Any, T]) -> T:
    """Each call of Pulumi runs in a thread of its own, with an event loop and a conversation of its own."""
    return asyncio.run(work)


def _same_cluster(session_id: str, props: Mapping[str, Any], connection: Connection) -> None:
    """Unknown there doesn't mean gone when the session was made elsewhere.  Raises WrongCluster."""
    from backendai import errors

    made_at = props.get("endpoint")
    if made_at not in (None, connection.endpoint):
        raise errors.WrongCluster(
            f"Session {session_id} was made at {made_at} and isn't known at {connection.endpoint}.",
            f"Set BACKEND_ENDPOINT to {made_at} and destroy it there first, or remove it from the state "
            "with `pulumi state delete` when that cluster is gone for good.",
        )


async def _broken(api: Api, state: SessionState, props: Mapping[str, Any]) -> str:
    """Why a living session will never serve what was declared, said on stderr, too; empty when it may."""
    from backendai import Stage

    from .serving_truth import drift

    if state.stage is Stage.BROKEN:
        return state.status
    found = await drift(api, state.id, props) if state.stage is Stage.RUNNING else ""
    if found:
        say(state.name, f"drift: {found}. `pulumi up` replaces the session.", [props.get("api_key")])
    return found


async def _report_end(api: Api, state: SessionState) -> None:
    """Says on stderr why a session has ended, before the state forgets it."""
    from backendai import sessions
    from serving import explain

    words = await sessions.why_ended(api, state.id)
    meant = USER_REQUESTED in words or TIMED_OUT in words  # its log says nothing about why
    if TIMED_OUT in words:
        words += ": it has reached its max_lifetime, or the resource group's"
    cause = explain("" if meant else await sessions.logs(api, state.id), limit=LAST_LOG_LINES)
    lines = [
        f"session {state.name} has ended: {state.status}, result {state.result}" + (f" ({words})" if words else "")
    ]
    if cause.what:
        lines.append(f"{cause.what} {cause.cure}".strip())
    lines += [f"  | {line}" for line in cause.lines]
    say(state.name, "\n".join(lines))
