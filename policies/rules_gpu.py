"""Rules on GPUs and on how a model uses them."""

from __future__ import annotations

from typing import Any

from . import lookups
from .patterns import card_key, listed, matches
from .resources import Resource, Violation
from .rule import Found, Limits


def gpus_per_session(session: Resource, limits: Limits) -> Found:
    gpus, most = session.number("gpus"), limits["max"]
    if gpus is not None and gpus > most:
        cure = f"Set gpus to {most:g} or less: a smaller model, or quantization awq, gptq or fp8."
        yield Violation(f"gpus is {gpus:g}", f"one session may take {most:g} (max)", cure)


def gpu_card(session: Resource, limits: Limits) -> Found:
    units = limits["units"]
    if (unit := session.text("gpu_unit")) and not matches(unit, units):
        yield Violation(f"gpu_unit is {unit}", f"allowed are {listed(units)} (units)", "Set cluster.gpu_unit to one.")
    cards = limits["allow"]
    if "*" in cards:
        return
    memory = session.number("gpu_memory_gib")
    card = session.text("gpu") or (f"{memory:g} GiB" if memory else "")
    if not card:
        cure = "Name the resource group's card: cluster.gpu in the stack file."
        yield Violation("gpu isn't set, so nobody can tell the card", f"allowed are {listed(cards)} (allow)", cure)
    elif not matches(card_key(card), (card_key(pattern) for pattern in cards)):
        cure = "Set cluster.gpu and resource_group to a group with such cards."
        yield Violation(f"gpu is {card}", f"allowed are {listed(cards)} (allow)", cure)


def resource_group(session: Resource, limits: Limits) -> Found:
    group, allowed = session.text("resource_group") or "default", limits["allow"]
    if not matches(group, allowed):
        cure = "Set resource_group, of the model or of cluster, to one of them."
        yield Violation(f"resource_group is {group}", f"allowed are {listed(allowed)} (allow)", cure)


def gpu_memory_utilization(session: Resource, limits: Limits) -> Found:
    share, least, most = session.number("gpu_memory_utilization"), limits["min"], limits["max"]
    if share is not None and not least <= share <= most:
        what, limit = f"gpu_memory_utilization is {share:g}", f"allowed is {least:g} to {most:g} (min, max)"
        yield Violation(what, limit, f"Set it to {_clamped(share, least, most):g}, or leave it out for vLLM's default.")


def clamp_gpu_memory_utilization(session: Resource, limits: Limits) -> dict[str, Any]:
    share, least, most = session.number("gpu_memory_utilization"), limits["min"], limits["max"]
    if share is None or least <= share <= most:
        return {}
    return {"gpu_memory_utilization": _clamped(share, least, most)}


def _clamped(value: float, least: float, most: float) -> float:
    return max(least, min(most, value))


def max_model_len(session: Resource, limits: Limits) -> Found:
    from serving import InvalidArgument, max_model_len_tokens

    asked, least, most = session.get("max_model_len"), limits["min"], limits["max"]
    asked = int(asked) if isinstance(asked, float) else asked
    limit = f"allowed is {least} to {most} tokens (min, max)"
    try:
        tokens = max_model_len_tokens(asked)
    except InvalidArgument:
        tokens = None
    if tokens is not None and not least <= tokens <= most:
        yield Violation(f"max_model_len is {asked}", limit, f"Set it to {least if tokens < least else most}.")
    elif tokens is None and not limits["allow_auto"]:
        cure = f"Set max_model_len to a number up to {most}."
        yield Violation("max_model_len isn't a number, so it is as long as memory allows", limit, cure)


def quantization(session: Resource, limits: Limits) -> Found:
    allowed = limits["allow"]
    if "*" in allowed:
        return
    limit, cure = f"allowed are {listed(allowed)} (allow)", "Use a preset or a repository with one of them."
    asked = session.text("quantization")
    if asked:
        if not matches(asked, allowed):
            yield Violation(f"quantization is {asked}", limit, cure)
        return
    if session.is_folder:
        carried: str | None = "none"
    else:
        carried, why = lookups.carried_quantization(session)
        if carried is None:
            yield Violation(f"which quantization the weights carry isn't known ({why})", limit, "Try again, or say it.")
    if carried is not None and not matches(carried, allowed):
        yield Violation(f"the weights of {session.text('model')} are {carried}", limit, cure)
