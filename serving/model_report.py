"""Preflight: what can be known of models before a GPU is taken, for many of them side by side."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from .errors import HubUnreachable, InvalidArgument, ServingError
from .hub import DEADLINE_SECONDS, REQUEST_SECONDS, fetch
from .hub_facts import HubFacts
from .model_checks import findings
from .model_config import derived_max_model_len
from .model_request import ModelRequest
from .repo_id import RepoRef, is_folder, parse_repo_id

WORKERS = 8  # requests under way at once
UNCHECKED = "access, quantization, max_model_len, tensor_parallel_size, chat template"

__all__ = ["ModelReport", "ModelRequest", "preflight"]


@dataclass(frozen=True)
class ModelReport:
    """What preflight found for one model.  `facts` None: a problem or a warning says why nothing is known."""

    name: str
    model: str
    facts: HubFacts | None = None
    problems: tuple[ServingError, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True when nothing was found that would keep the model from starting."""
        return not self.problems

    @property
    def sha(self) -> str | None:
        """The commit to pin."""
        return self.facts.sha if self.facts else None

    @property
    def longest_max_model_len(self) -> int | None:
        """Tokens that the model was made for; None when it isn't known."""
        length = derived_max_model_len(self.facts.config) if self.facts else None
        return length.tokens if length else None


def preflight(
    requests: Sequence[ModelRequest],
    *,
    endpoint: str | None = None,
    timeout: float = REQUEST_SECONDS,
    deadline: float = DEADLINE_SECONDS,
) -> list[ModelReport]:
    """One report for each request, in their order.  Never raises for a model or for a Hub that doesn't
    answer.

    `timeout`: seconds for one request to the Hub; `deadline`: seconds after which no further try begins.
    """
    known = facts_of(requests, endpoint=endpoint, timeout=timeout, deadline=deadline)
    return [_report(request, facts) for request, facts in zip(requests, known, strict=True)]


def facts_of(
    requests: Sequence[ModelRequest],
    *,
    endpoint: str | None = None,
    timeout: float = REQUEST_SECONDS,
    deadline: float = DEADLINE_SECONDS,
) -> list[HubFacts | ServingError | None]:
    """What the Hub says of each request's model, or why it says nothing; None for a folder of the session.

    Asks about all of them side by side, and about the same model once.
    """
    asked: dict[tuple[RepoRef, str | None], Future[HubFacts]] = {}
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="preflight") as pool:
        for request in requests:
            key = _key(request)
            if key is not None and key not in asked:
                (repo_id, revision), token = key
                asked[key] = pool.submit(
                    fetch, repo_id, revision, token, endpoint=endpoint, timeout=timeout, deadline=deadline
                )
        return [_facts(request, asked) for request in requests]


def _facts(
    request: ModelRequest, asked: dict[tuple[RepoRef, str | None], Future[HubFacts]]
) -> HubFacts | ServingError | None:
    if is_folder(request.model):
        return None
    try:
        parse_repo_id(request.model)
        key = _key(request)
        assert key is not None
        return asked[key].result()
    except ServingError as problem:
        return problem


def _key(request: ModelRequest) -> tuple[RepoRef, str | None] | None:
    """What to ask the Hub; None when there is nothing to ask."""
    if is_folder(request.model):
        return None
    try:
        ref = parse_repo_id(request.model)
    except InvalidArgument:
        return None
    return RepoRef(ref.repo_id, request.revision or ref.revision), request.token or None


def _report(request: ModelRequest, facts: HubFacts | ServingError | None) -> ModelReport:
    name, model = request.name, request.model
    if facts is None:
        return ModelReport(name, model, warnings=(f"{model} is a folder of the session: nothing of it was checked.",))
    if isinstance(facts, HubUnreachable):
        return ModelReport(name, model, warnings=(f"{facts.what} Not checked: {UNCHECKED}.",))
    if isinstance(facts, ServingError):
        return ModelReport(name, model, problems=(facts,))
    try:
        found = findings(request, facts)
    except ServingError as problem:
        return ModelReport(name, model, problems=(problem,))
    return ModelReport(
        name,
        model,
        facts,
        problems=tuple(finding for finding in found if isinstance(finding, ServingError)),
        warnings=tuple(finding for finding in found if isinstance(finding, str)),
    )
