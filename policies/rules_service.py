"""Rules on whether and how long a model serves."""

from __future__ import annotations

from typing import Any

from . import lookups
from .patterns import listed, matches
from .resources import NotApplicable, Resource, Violation
from .rule import Found, Limits

_HOUR = 3600.0


def verdict(session: Resource, limits: Limits) -> Found:
    judged, allowed = lookups.judgement(session), limits["allow"]
    if not matches(judged.outcome, allowed):
        outcome = "WON'T START" if judged.outcome == lookups.WONT_START else judged.outcome
        why = f": {judged.why.rstrip('.')}" if judged.why else ""
        limit = f"allowed are {listed(allowed)} (allow)"
        yield Violation(f"the verdict is {outcome}{why}", limit, judged.cure)


def ready_timeout(endpoint: Resource, limits: Limits) -> Found:
    seconds, least, most = endpoint.number("ready_timeout"), limits["min"], limits["max"]
    limit = f"allowed is {least:g} to {most:g} s (min, max)"
    if seconds is None:
        yield Violation("ready_timeout isn't set", limit, "Set ready_timeout, such as 30m.")
    elif not least <= seconds <= most:
        nearest = least if seconds < least else most
        yield Violation(f"ready_timeout is {seconds:g} s", limit, f"Set ready_timeout to {nearest:g}.")
    if limits["require_wait"] and endpoint.get("wait") is False:
        cure = "Remove `wait: false`."
        yield Violation(
            "wait is false, so nothing proves that the model answers", "it is required (require_wait)", cure
        )


def set_ready_timeout(endpoint: Resource, limits: Limits) -> dict[str, Any]:
    seconds, least, most = endpoint.number("ready_timeout"), limits["min"], limits["max"]
    if seconds is None:
        return {"ready_timeout": float(max(least, min(most, 1800)))}
    return {} if least <= seconds <= most else {"ready_timeout": float(least if seconds < least else most)}


def lifetime(session: Resource, limits: Limits) -> Found:
    if session.props.get("max_lifetime") is None and not _can_be_limited():
        raise NotApplicable("this release has no setting for a session's lifetime")
    seconds, most = session.number("max_lifetime"), limits["max_hours"]
    limit, cure = f"at most {most:g} h are allowed (max_hours)", f"Set max_lifetime: {most:g}h."
    if seconds is None:
        yield Violation("max_lifetime isn't set: it holds its GPUs until somebody ends it", limit, cure)
    elif seconds > most * _HOUR:
        yield Violation(f"max_lifetime is {seconds / _HOUR:g} h", limit, cure)


def _can_be_limited() -> bool:
    from providers.session_inputs import SessionInputs

    return "max_lifetime" in SessionInputs.model_fields
