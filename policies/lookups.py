"""What a rule can't read from the resource itself: facts of the Hub, and whether the model will start.

All of it is asked once per process and model; the program that is judged has just asked the same, so that most
answers are in the Hub cache on disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .resources import NOT_KNOWN, REDACTED, Resource

if TYPE_CHECKING:
    from serving import HubFacts, ModelRequest, Verdict

START, MAYBE, WONT_START = "START", "MAYBE", "WONT_START"
_LICENCE_TAG = "license:"
_MOST_CURES = 3


@dataclass(frozen=True)
class Judgement:
    """`outcome`: START, MAYBE or WONT_START; `why` and `cure` for a message."""

    outcome: str
    why: str = ""
    cure: str = ""


def judgement(session: Resource) -> Judgement:
    """Whether vLLM will start.  What can't be judged is a MAYBE that says why.  Raises ValueNotKnown."""
    from providers.judging import ASKED, request_of
    from serving import InvalidArgument

    session.require_known(*sorted(ASKED))
    if session.is_folder or not session.text("model"):
        return Judgement(MAYBE, f"{session.text('model')} is a folder of the session", "Serve a repository of the Hub.")
    inputs = {key: _plain(session.get(key)) for key in ASKED if session.get(key) is not None}
    try:
        request = request_of(session.model_name, {"image": "", **inputs}, _token(session))
    except InvalidArgument as error:
        return Judgement(MAYBE, error.what, error.cure)
    except (TypeError, ValueError) as error:  # values that the resource itself refuses
        return Judgement(MAYBE, f"its inputs aren't sound ({type(error).__name__})", "See what the preview says of it.")
    return _judged(_Frozen(request))


class _Hub:
    """How long to wait for it, in seconds: a Hub that doesn't answer is waited for once, not for every model."""

    patience = 5.0

    def is_silent(self) -> None:
        self.patience = 0.1


_hub = _Hub()


class _Frozen:
    """A request as a key: by all that it says."""

    def __init__(self, request: ModelRequest) -> None:
        self.request = request
        said = (getattr(request, field.name) for field in fields(request) if field.name != "name")
        self._key = tuple(tuple(sorted(value.items())) if isinstance(value, Mapping) else value for value in said)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Frozen) and self._key == other._key


@lru_cache(maxsize=256)
def _judged(frozen: _Frozen) -> Judgement:
    from serving.verdicts import verdicts

    (verdict,) = verdicts([frozen.request], timeout=_hub.patience, deadline=_hub.patience)
    if not verdict.revision and not verdict.broken:
        _hub.is_silent()
    outcome = str(verdict.outcome)
    reasons = [rule.message for rule in verdict.broken] or list(verdict.unchecked) or _of_memory(verdict)
    cures = list(dict.fromkeys((*verdict.cures, *(rule.cure for rule in verdict.broken if rule.cure))))
    if frozen.request.gpu is None:
        cures.append("Name the card: cluster.gpu in the stack file.")
    cure = "; or: ".join(cure.rstrip(".") for cure in cures[:_MOST_CURES]) + "." if cures else _more(verdict)
    return Judgement(outcome, "; ".join(reason.rstrip(".") for reason in reasons), cure)


def _of_memory(verdict: Verdict) -> list[str]:
    longest, asked = verdict.largest_max_model_len, verdict.max_model_len
    if longest is None or asked is None:
        return []
    room = f"; the KV cache holds about {verdict.kv_cache_tokens:,} tokens" if verdict.kv_cache_tokens else ""
    return [f"the largest max_model_len that starts is about {longest:,}, and it is {asked:,}{room}"]


def _more(verdict: Verdict) -> str:
    if verdict.max_model_len:
        return f"Lower max_model_len (now {verdict.max_model_len}), or use a larger card."
    return "See the table of `pulumi preview`, or bai-vllm plan."


def carried_quantization(session: Resource) -> tuple[str | None, str]:
    """What the weights are quantized with, "none" for nothing; or None and why it isn't known."""
    facts, why = _facts(session.text("model"), session.text("revision"), _token(session))
    if facts is None:
        return None, why
    return (facts.quantization.method if facts.quantization else "none"), ""


def known_commit(session: Resource) -> str | None:
    """The commit that the revision is now, if this machine has asked the Hub lately; asks nothing."""
    from serving import hub_cache
    from serving.hub import endpoint_from_environment

    model, revision, token = session.text("model"), session.text("revision") or None, _token(session)
    facts = hub_cache.load(endpoint_from_environment(), model, revision, token)
    return facts.sha if facts else None


def licence(session: Resource) -> tuple[str | None, str]:
    """The licence that the model's card names, such as apache-2.0; or None and why there is none."""
    return _licence(session.text("model"), session.text("revision"), _token(session))


@lru_cache(maxsize=256)
def _facts(model: str, revision: str, token: str | None) -> tuple[HubFacts | None, str]:
    from serving import HubUnreachable, ServingError, fetch

    try:
        return fetch(model, revision or None, token, timeout=_hub.patience, deadline=_hub.patience), ""
    except ServingError as error:
        if isinstance(error, HubUnreachable):
            _hub.is_silent()
        return None, error.what


@lru_cache(maxsize=256)
def _licence(model: str, revision: str, token: str | None) -> tuple[str | None, str]:
    """By the Hub's tags: one request."""
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    from serving.hub import endpoint_from_environment

    api = HfApi(endpoint=endpoint_from_environment(), token=token or False)
    try:
        info = api.model_info(model, revision=revision or None, expand=["tags"], timeout=_hub.patience)
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no answer"
        return None, f"the Hub answers {status}"
    except (OSError, ValueError, httpx.HTTPError):
        _hub.is_silent()
        return None, "the Hub can't be reached"
    tags = info.tags or []
    found = next((tag.removeprefix(_LICENCE_TAG) for tag in tags if tag.startswith(_LICENCE_TAG)), None)
    return found, "" if found else "its card names none"


def _token(session: Resource) -> str | None:
    """The token that the model will be deployed with; none where it isn't known or was redacted."""
    token = session.props.get("hf_token")
    return None if token in (None, "", REDACTED, NOT_KNOWN) else str(token)


def _plain(value: Any) -> Any:
    """Pulumi's floats as whole numbers, its lists as tuples."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return tuple(value) if isinstance(value, list) else value
