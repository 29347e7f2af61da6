"""Rules on a stack as a whole.  They are asked about its settings before anything is created, and about the result."""

from __future__ import annotations

from collections.abc import Iterable

from .patterns import listed, matches
from .resources import NOT_KNOWN, REDACTED, Resource, Stack, ValueNotKnown, Violation
from .rule import Found, Limits


def gpus_per_model(stack: Stack, limits: Limits) -> Found:
    most = limits["max"]
    for replicas in stack.models().values():
        total = _gpus(replicas)
        if total > most:
            first = replicas[0]
            what = f"all its replicas ({len(replicas)}) take {total:g} GPUs"
            limit, cure = f"one model may take {most:g} (max)", "Lower replicas or gpus, or use quantized weights."
            yield Violation(what, limit, cure, first.model_name, first.urn)
    _require_known(stack.sessions, "gpus")


def gpus_per_stack(stack: Stack, limits: Limits) -> Found:
    total, most = _gpus(stack.sessions), limits["max"]
    if total > most:
        what = f"all sessions ({len(stack.sessions)}) take {total:g} GPUs"
        yield Violation(what, f"one stack may take {most:g} (max)", "Lower replicas or gpus, or serve fewer models.")
    _require_known(stack.sessions, "gpus")


def gpu_quota(stack: Stack, limits: Limits) -> Found:
    groups: dict[str, list[Resource]] = {}
    for session in stack.sessions:
        if session.props.get("resource_group") is not NOT_KNOWN:
            groups.setdefault(session.text("resource_group") or "default", []).append(session)
    for group, sessions in groups.items():
        quota = next((float(n) for pattern, n in limits["quota"].items() if matches(group, [pattern])), None)
        total = _gpus(sessions)
        if quota is not None and total > quota:
            what = f"all sessions in resource group {group} ({len(sessions)}) take {total:g} GPUs"
            cure = "Lower replicas or gpus, move a model to another resource_group, or have the quota raised."
            yield Violation(what, f"the quota is {quota:g} (quota)", cure)
    _require_known(stack.sessions, "gpus", "resource_group")


def replicas(stack: Stack, limits: Limits) -> Found:
    least = limits["min"]
    for sessions in stack.models().values():
        if len(sessions) < least:
            first = sessions[0]
            what = f"replicas is {len(sessions)}"
            cure = f"Set replicas to {least}, so that one can be replaced while another answers."
            yield Violation(what, f"{least} or more are required (min)", cure, first.model_name, first.urn)


def served_names(stack: Stack, _limits: Limits) -> Found:
    models: dict[str, dict[str, Resource]] = {}
    for key, sessions in stack.models().items():
        for session in sessions:
            if session.props.get("served_model_name") is not NOT_KNOWN:
                models.setdefault(session.text("served_model_name"), {})[key] = session
    for name, of_models in models.items():
        if len(of_models) > 1:
            first, *others = of_models.values()
            what = f"served_model_name is {name}, as that of {listed(other.model_name for other in others)}"
            cure = "Give each model a served_model_name of its own, or make them replicas of one."
            yield Violation(what, "one name means one model", cure, first.model_name, first.urn)
    _require_known(stack.sessions, "served_model_name")


def endpoints(stack: Stack, _limits: Limits) -> Found:
    if stack.declared:
        return  # the component that reads the settings makes an endpoint for every session
    proved = {urn for endpoint in stack.endpoints for urn in endpoint.links}
    for session in stack.sessions:
        if session.urn not in proved:
            cure = "Declare it with ModelServingStack, or add a ModelEndpoint with its session_id."
            yield Violation(
                "it has no endpoint", "every session must be proved by one", cure, session.name, session.urn
            )


def api_keys_apart(stack: Stack, _limits: Limits) -> Found:
    owners: dict[str, dict[str, Resource]] = {}
    tokens = {s.props.get("hf_token") for s in stack.sessions} - {None, NOT_KNOWN, REDACTED, ""}
    for key, sessions in stack.models().items():
        for session in sessions:
            value = session.props.get("api_key")
            if isinstance(value, str) and value not in ("", REDACTED):
                owners.setdefault(value, {})[key] = session
    for value, of_models in owners.items():
        first, *others = of_models.values()
        cure = "Leave api_key out, and each model gets one of its own."
        if others:
            what = f"api_key is also that of {listed(other.model_name for other in others)}"
            yield Violation(what, "one key opens one model", cure, first.model_name, first.urn)
        if value in tokens:
            yield Violation("api_key is also a Hub token", "one key has one use", cure, first.model_name, first.urn)
    _require_known(stack.sessions, "api_key")


def _gpus(sessions: Iterable[Resource]) -> float:
    """Of those that are known."""
    return sum(s.number("gpus") or 0.0 for s in sessions if s.props.get("gpus") is not NOT_KNOWN)


def _require_known(sessions: Iterable[Resource], *keys: str) -> None:
    for session in sessions:
        for key in keys:
            if session.props.get(key) is NOT_KNOWN:
                raise ValueNotKnown(f"{session.name}.{key}")
