"""The sessions that a stack file declares, before the first of them is registered.

A rule that looks at one resource after the other would stop a run when some models exist already, and Pulumi asks
about a stack as a whole only at its end.  So all rules are asked about the settings first, which the default provider
carries as its inputs: nothing else is created before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from .resources import ENDPOINT, NOT_KNOWN, SESSION, Resource, Stack

PROVIDER = "pulumi:providers:pulumi-python"
# Made from the stack's identity, which may not exist yet.
_DERIVED = ("owner", "session_name", "api_key")


class _Run:
    """`is_recorded`: a state is judged without its program, so that its resources say more than its settings."""

    is_recorded = False


run = _Run()


def declared(inputs: Mapping[str, Any]) -> Stack | None:
    """The stack of a provider's inputs; None where these aren't settings that can be read, or aren't to be judged."""
    if run.is_recorded:
        return None
    project = next((key.removesuffix(":models") for key in inputs if key.endswith(":models")), "")
    models, cluster, token = (inputs.get(f"{project}:{key}") for key in ("models", "cluster", "hf_token"))
    if not isinstance(models, str) or not isinstance(cluster, str):
        return None
    return _declared(models, cluster, token if isinstance(token, str) else None)


@lru_cache(maxsize=4)  # every rule asks
def _declared(models_text: str, cluster: str, hf_token: str | None) -> Stack | None:
    from components.loading import StackFile
    from components.resolution import resolve

    values = {"models": models_text, "cluster": cluster} | ({"hf_token": hf_token} if hf_token else {})
    settings, _problems = StackFile(values.get, list(values)).read()
    if settings is None:
        return None
    models, _problems = resolve(settings)  # what is wrong with them, the program itself says
    sessions, endpoints = [], []
    for model in models:
        given = {"session_name": model.session_name, "api_key": model.api_key, "hf_token": model.hf_token}
        props = {**model.inputs, **dict.fromkeys(_DERIVED, NOT_KNOWN), **{k: v for k, v in given.items() if v}}
        waiting = {"ready_timeout": model.ready_timeout, "wait": model.wait}
        for index in range(model.replicas):
            name = f"{model.name}-{index}"
            sessions.append(Resource(SESSION, name, props, group=model.name))
            endpoints.append(Resource(ENDPOINT, name, waiting, group=model.name))
    return Stack(tuple(sessions), tuple(endpoints), declared=True)
