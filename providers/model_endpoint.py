"""ModelEndpoint: the promise that a model answers.

The waiting isn't done here but in the program, by an async before_create hook (components/readiness_hook.py).
create   proves once more, and reads what the server says of itself and of its memory
read     proves again, and takes over what the server says of itself: an endpoint that doesn't answer, or not under
         its name, is gone (says why on stderr), so that the next `up` waits for it again
delete   nothing: the endpoint holds nothing on the cluster

The module's and the provider's name are in every user's state: they never change.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import (
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from .access import connection_of
from .orphan_watch import watch_for_orphanhood
from .saying import say
from .waiting import PROBE_TIMEOUT, EndpointError, Target, why_not
from .workers import widen

if TYPE_CHECKING:
    from backendai import Api, Connection
    from serving import NotReady, Ready

# What another value means for the promise; the rest is recorded.
REPLACES = ("session_id", "served_model_name", "api_key", "port", "wait")
INPUTS = (*REPLACES, "session_name", "domain", "ready_timeout")
# Recorded beside what was measured; another estimate of what runs isn't a change.
PREDICTED = "predicted"
OUTPUTS = ("url", "via", "cookie", "models", "max_model_len", "ready_seconds", "measured")

APP_PROXY, TUNNEL = "app-proxy", "tunnel"
# Output, only where the cluster's app-proxy led nowhere: `read` asks it again.
FAILED = "app_proxy_failed"

METRICS_TIMEOUT = 5.0  # seconds
TRIES, BETWEEN_TRIES = 3, 1.0  # a proof that fails is tried again, after that many seconds


class ModelEndpointProvider(ResourceProvider):
    """A thin adapter: what Pulumi calls, in terms of waiting and backendai."""

    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        self._config = req.config
        watch_for_orphanhood()
        widen()

    def diff(self, _id: str, _olds: Mapping[str, Any], _news: Mapping[str, Any]) -> DiffResult:
        differs = [key for key in INPUTS if _olds.get(key) != _news.get(key)]
        replaces = [key for key in differs if key in REPLACES]
        return DiffResult(changes=None if differs else False, replaces=replaces, delete_before_replace=True)

    def create(self, props: dict[str, Any]) -> CreateResult:
        connection, target = self._connection(props), target_of(props)
        outs = asyncio.run(_prove(connection, target)) if props.get("wait", True) else tunnel(connection, target)
        return CreateResult(f"{target.session_id}/{target.served_model_name}", {**props, **outs})

    def update(self, _id: str, _olds: Mapping[str, Any], _news: dict[str, Any]) -> UpdateResult:
        return UpdateResult({**_olds, **_news})

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        outs = asyncio.run(_look_again(self._connection(props), target_of(props), props))
        return ReadResult(None, {}) if outs is None else ReadResult(id_, {**props, **outs})

    def _connection(self, props: Mapping[str, Any]) -> Connection:
        return connection_of(self._config.get, domain=str(props.get("domain") or "default"))


class ModelEndpoint(Resource, module="backendai", name="ModelEndpoint"):
    """`url` leads to the OpenAI-compatible API; `via` says how.

    "app-proxy": an HTTP base URL, opened by the secret `cookie` (appproxy_permit); "tunnel": the manager's websocket.
    `predicted` and `measured`: weights_gib, kv_cache_gib (of one GPU), kv_cache_tokens, max_concurrency, as far as
    they are known.
    """

    url: pulumi.Output[str]
    via: pulumi.Output[str]
    cookie: pulumi.Output[str | None]
    models: pulumi.Output[list[str] | None]
    max_model_len: pulumi.Output[int | None]
    ready_seconds: pulumi.Output[float | None]
    predicted: pulumi.Output[dict[str, Any] | None]
    measured: pulumi.Output[dict[str, Any] | None]

    def __init__(
        self, name: str, args: Mapping[str, pulumi.Input[Any]], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        props = {key: args[key] for key in (*INPUTS, PREDICTED) if args.get(key) is not None}
        props["api_key"] = pulumi.Output.secret(props["api_key"])
        outputs = {PREDICTED: None, **dict.fromkeys(OUTPUTS)}
        secrets = pulumi.ResourceOptions(additional_secret_outputs=["api_key", "cookie"], hide_diffs=["__provider"])
        super().__init__(
            ModelEndpointProvider(), name, {**outputs, **props}, pulumi.ResourceOptions.merge(secrets, opts)
        )


def target_of(props: Mapping[str, Any]) -> Target:
    """The typed form of the inputs."""
    return Target(
        session_id=str(props["session_id"]),
        session_name=str(props["session_name"]),
        served_model_name=str(props["served_model_name"]),
        port=int(props.get("port") or 8000),
        api_key=props.get("api_key"),
        stall_seconds=float(props.get("ready_timeout") or 1800.0),
    )


def tunnel(connection: Connection, target: Target) -> dict[str, Any]:
    """The address of last resort: the manager's tunnel, which needs the owner's key pair."""
    url = f"{connection.endpoint}/stream/session/{target.session_id}/tcpproxy?app={target.port}"
    return {"url": url, "via": TUNNEL}


async def _address(api: Api, target: Target, *, told: bool = False) -> dict[str, Any]:
    """The app-proxy's URL where the cluster has one that can be reached from here, else the tunnel.

    `told`: that the app-proxy leads nowhere is known already.
    """
    from backendai import errors, open_circuit

    try:
        if circuit := await open_circuit(api, target.session_id, str(target.port)):
            await circuit.check()
            return {"url": circuit.url, "via": APP_PROXY, "cookie": circuit.cookie}
    except errors.AppProxyFault as fault:
        if not told:
            rest = "The endpoint's address is the manager's tunnel; `pulumi refresh` asks for the app-proxy's again."
            say(target.session_name, f"{fault} {rest}", [target.api_key])
        return {**tunnel(api.connection, target), FAILED: True}
    return tunnel(api.connection, target)


async def _prove(connection: Connection, target: Target) -> dict[str, Any]:
    """The outputs of an endpoint that answers.  Raises EndpointError."""
    from backendai import sessions
    from backendai.light import LightApi
    from serving import Ready

    async with LightApi(connection) as api:
        state = await sessions.read(api, target.session_id)
        answer = await _probe(api, target)
        if isinstance(answer, Ready):
            return {
                **await _address(api, target),
                "models": list(answer.models),
                "max_model_len": answer.max_model_len,
                "ready_seconds": round(time.time() - state.created_at.timestamp(), 1),
                "measured": await _measured(api, target),
            }
        state = await sessions.read(api, target.session_id)
        if state.ended:
            raise EndpointError(await why_not(api, target, state))
        reason = answer.reason.rstrip(".")
        raise EndpointError(f"{target.session_name}: {reason}. The session is kept: `pulumi up` tries again.")


async def _measured(api: Api, target: Target) -> dict[str, Any] | None:
    """What the server says of its memory, in its log and metrics; never a reason to fail."""
    import aiohttp

    from backendai import errors, open_tunnel, sessions
    from serving.server_figures import figures_of

    log, metrics = await sessions.logs(api, target.session_id), ""
    timeout = aiohttp.ClientTimeout(total=METRICS_TIMEOUT)
    try:
        async with (
            open_tunnel(api, target.session_id, str(target.port)) as url,
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as http,
            http.get(f"{url}/metrics") as answer,
        ):
            metrics = (await answer.read()).decode(errors="replace")
    except (errors.ClusterError, aiohttp.ClientError, TimeoutError, OSError):
        pass
    return figures_of(log, metrics).as_dict() or None


async def _look_again(connection: Connection, target: Target, props: Mapping[str, Any]) -> dict[str, Any] | None:
    """None when the promise is broken, else the outputs that have changed.

    A busy model keeps its promise: only a definite failure counts.  A circuit that nobody has used for an hour is
    gone; a new one takes its place.
    """
    from backendai import Circuit, Stage, errors, sessions
    from backendai.light import LightApi
    from serving import Ready

    async with LightApi(connection) as api:
        try:
            state = await sessions.read(api, target.session_id)
        except errors.SessionNotFound:
            return None
        if state.stage in (Stage.ENDED, Stage.ENDING, Stage.BROKEN):
            return None
        if not props.get("wait", True):
            return {}
        answer = await _probe(api, target)
        if not (answer.ready or answer.busy):
            say(target.session_name, f"the endpoint is gone: {answer.reason.rstrip('.')}.", [target.api_key])
            return None
        says = (
            {"models": list(answer.models), "max_model_len": answer.max_model_len} if isinstance(answer, Ready) else {}
        )
        told = bool(props.get(FAILED))
        if not told:
            if props.get("via") != APP_PROXY:
                return says
            try:
                await Circuit(str(props["url"]), str(props.get("cookie")), connection).check()
                return says
            except errors.AppProxyFault:
                pass
        return {**says, "cookie": None, FAILED: None, **await _address(api, target, told=told)}


async def _probe(api: Api, target: Target) -> Ready | NotReady:
    from backendai import errors, open_tunnel
    from serving import NotReady, probe

    barred: list[errors.ClusterError] = []  # why the manager didn't lead to the session's port
    async with open_tunnel(api, target.session_id, str(target.port), on_failure=barred.append) as url:
        for attempt in range(TRIES):
            barred.clear()
            answer = await probe(url, target.served_model_name, target.api_key, timeout=PROBE_TIMEOUT)
            if barred and isinstance(answer, NotReady):
                answer = replace(answer, reason=str(barred[-1]))
            if answer.ready or answer.busy or answer.final or attempt == TRIES - 1:
                break
            await asyncio.sleep(BETWEEN_TRIES)
    return answer
