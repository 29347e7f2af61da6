"""The async before_create hook of ModelEndpoint: waits in the program until the model answers.

Async, because a synchronous hook blocks the program and hooks would run one after another.  Before create, because
a failed one leaves the endpoint uncreated: the session stays in the state, and the next `up` waits again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi import ResourceHook, ResourceHookArgs, ResourceHookBinding

# Loaded with the program: when the hooks run, Pulumi's launcher has taken the program's folder off sys.path again.
import serving  # noqa: F401
from backendai.light import LightApi
from providers.access import connection_of
from providers.model_endpoint import target_of
from providers.waiting import wait_until_ready


def readiness_hook(name: str) -> ResourceHookBinding:
    """What to give to ResourceOptions(hooks=...) of an endpoint; `name` must be unique in the program."""

    async def wait(args: ResourceHookArgs) -> None:
        inputs = await _plain(args.new_inputs or {})
        target, started = target_of(inputs), time.monotonic()

        def progress(phase: str) -> None:
            pulumi.log.info(f"{args.name}: {phase} ({time.monotonic() - started:.0f} s)")

        config = pulumi.Config()
        connection = connection_of(config.get, domain=str(inputs.get("domain") or "default"))
        async with LightApi(connection) as api:
            await wait_until_ready(api, target, progress)

    return ResourceHookBinding(before_create=[ResourceHook(f"{name}-answers", wait)])


async def _plain(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Secret inputs arrive in a hook as outputs, all others plain."""
    return {key: await value.future() if isinstance(value, pulumi.Output) else value for key, value in inputs.items()}
