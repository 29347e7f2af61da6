"""The verdicts on a whole stack: the Hub is asked about all models side by side, then each is judged."""

from __future__ import annotations

from collections.abc import Sequence

from .errors import HubUnreachable, ServingError
from .fit import Outcome
from .hub import DEADLINE_SECONDS, REQUEST_SECONDS
from .hub_facts import HubFacts
from .model_report import UNCHECKED, facts_of
from .model_request import ModelRequest
from .rules import rule_of
from .verdict import Verdict, judge, model_name


def verdicts(
    requests: Sequence[ModelRequest],
    *,
    endpoint: str | None = None,
    timeout: float = REQUEST_SECONDS,
    deadline: float = DEADLINE_SECONDS,
) -> list[Verdict]:
    """One verdict for each request, in their order.  Never raises for a model or for a Hub that doesn't answer.

    What the Hub refuses (no such repo or revision, gated without an approved token, disabled) is a broken rule; a Hub
    that doesn't answer is MAYBE, with what wasn't checked.

    `timeout`: seconds for one request to the Hub; `deadline`: seconds after which no further try begins.
    """
    known = facts_of(requests, endpoint=endpoint, timeout=timeout, deadline=deadline)
    return [_verdict(request, facts) for request, facts in zip(requests, known, strict=True)]


def _verdict(request: ModelRequest, facts: HubFacts | ServingError | None) -> Verdict:
    if facts is None:
        return _unknown(request, f"everything: {request.model} is a folder of the session")
    if isinstance(facts, HubUnreachable):
        return _unknown(request, f"{UNCHECKED}, memory: {facts.what.rstrip('.')}")
    if isinstance(facts, ServingError):
        return _refused(request, facts)
    try:
        return judge(request, facts)
    except ServingError as error:  # such as a release that is no version
        return _refused(request, error)


def _unknown(request: ModelRequest, why: str) -> Verdict:
    return Verdict(request.name, model_name(request), "", Outcome.MAYBE, request.gpu, request.gpus, unchecked=(why,))


def _refused(request: ModelRequest, error: ServingError) -> Verdict:
    rules = (rule_of(error),)
    return Verdict(request.name, model_name(request), "", Outcome.WONT_START, request.gpu, request.gpus, rules=rules)
