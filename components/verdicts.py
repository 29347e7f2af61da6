"""The verdict on the whole stack: one table, what is refused, and what is predicted of each model's memory."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pulumi

from providers.judging import request_of
from providers.problems import Problem
from serving.errors import InvalidArgument
from serving.model_request import ModelRequest
from serving.rules_shown import for_people
from serving.verdict import Verdict
from serving.verdict_table import verdict_table
from serving.verdicts import verdicts

from .resolution import ResolvedModel

_DIGITS = 3
_NARROW, _WIDE = 100, 160  # columns of the table
_CAUSES = 2  # told of one model in the error


def judged(models: Sequence[ResolvedModel]) -> tuple[list[ResolvedModel], dict[str, Any], list[Problem]]:
    """The models with what is predicted of them, the verdicts to export, and all that is refused.

    Asks the Hub about all of them side by side, and prints the one table.
    """
    problems, requests = [], dict[str, ModelRequest]()
    for model in models:
        try:
            requests[model.name] = request_of(model.name, model.inputs, model.hf_token)
        except InvalidArgument as error:
            problems.append(Problem(f"models[{model.index}].{error.key or 'gpu'}", error.what, error.cure))
    found = {verdict.name: verdict for verdict in verdicts(list(requests.values()))}
    if found:
        width = min(_WIDE, shutil.get_terminal_size((_NARROW, 0)).columns)
        pulumi.log.info(f"Will it start?\n{verdict_table(list(found.values()), width)}")
    for model in models:
        if verdict := found.get(model.name):
            problems += _refused(model, verdict)
    known = [replace(m, predicted=predicted(found[m.name])) if m.name in found else m for m in models]
    return known, {name: exported(verdict) for name, verdict in found.items()}, problems


def _refused(model: ResolvedModel, verdict: Verdict) -> list[Problem]:
    if not verdict.revision and not verdict.broken:  # a folder of the session, or the Hub doesn't answer
        pulumi.log.warn(f"{model.name}: not checked: {'; '.join(verdict.unchecked)}.")
    found = [_cause(model, verdict)] if verdict.broken else []
    if found and model.inputs.get("allow_unverified"):
        pulumi.log.warn(f"{model.name}: {verdict.outcome.shown}, and it is created all the same (allow_unverified).")
        return []
    return found


def _cause(model: ResolvedModel, verdict: Verdict) -> Problem:
    """The first causes and the cheapest cure; the table, which was just printed, has the rest."""
    rules = for_people(verdict.broken)
    if verdict.cures:
        cure = f"What would do: {verdict.cures[0]}"
    else:
        cure = " ".join(dict.fromkeys(rule.cure for rule in rules[:_CAUSES] if rule.cure))
    return Problem(f"models[{model.index}] ({model.name})", " ".join(rule.message for rule in rules[:_CAUSES]), cure)


def predicted(verdict: Verdict) -> dict[str, Any]:
    """As ModelEndpoint measures it: GiB of one GPU, tokens, requests of max_model_len at once."""
    memory, left = verdict.memory, verdict.kv_cache
    values = {
        "weights_gib": round(memory.weights.gib, _DIGITS) if memory else None,
        "kv_cache_gib": round(left.gib, _DIGITS) if left else None,
        "kv_cache_tokens": verdict.kv_cache_tokens,
        "max_concurrency": verdict.max_concurrency,
    }
    return {key: value for key, value in values.items() if value is not None}


def exported(verdict: Verdict) -> dict[str, Any]:
    """What the stack output says of one model."""
    return {
        "outcome": verdict.outcome.value,
        "kv_cache_tokens": verdict.kv_cache_tokens,
        "requests_at_once": verdict.requests_at_once,
        "largest_max_model_len": verdict.largest_max_model_len,
    }
