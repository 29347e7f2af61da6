"""What vLLM's scheduler and cache settings allow, as SchedulerConfig and CacheConfig check them (0.32.0)."""

from __future__ import annotations

from collections.abc import Iterator

from .command import max_model_len_tokens
from .engine import engine_of
from .errors import InvalidArgument, ServingError
from .hub_facts import HubFacts
from .model_config import derived_max_model_len
from .model_request import ModelRequest
from .quantization import DEPRECATED, FORMER_METHODS, PLUGINS, family, method_problem
from .vllm_eras import NEWEST

Finding = ServingError | str

# Methods of Transformers that no release since 0.8 has had.
_OF_OTHERS = frozenset({"eetq", "vptq", "quanto", "higgs", "bitnet", "spqr", "sinq"})


def known_release(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    """A release after the newest that was read is judged as that one."""
    newest = f"{NEWEST[0]}.{NEWEST[1]}"
    if request.release > NEWEST:
        release = f"{request.release[0]}.{request.release[1]}"
        yield f"vLLM {release} is newer than {newest}, the newest known here, and is judged as {newest}."


def extra_args(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    """Flags that vLLM's parser would refuse."""
    yield from request.extra.problems


def batched_tokens(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    """A step must hold a token of every sequence, and a whole prompt where prompts aren't cut."""
    for key in ("max_num_seqs", "max_num_batched_tokens"):
        value: int | None = getattr(request, key)
        if value is not None and value < 1:
            yield InvalidArgument(f"{key} is {value}.", "Set it to 1 or more.", key=key)
    yield from _step_holds_sequences(request, facts)
    tokens = request.batched_tokens
    if tokens is None or tokens < 1:
        return
    uncut = request.extra.last("enable_chunked_prefill") and not request.extra.is_set("enable_chunked_prefill")
    length = _length(request, facts) if uncut else None
    if length is not None and tokens < length:
        what = f"Without chunked prefill, max_num_batched_tokens ({tokens}) must hold max_model_len ({length})."
        cure = f"Raise it to {length}, or remove --no-enable-chunked-prefill."
        yield InvalidArgument(what, cure, key="max_num_batched_tokens")


def _step_holds_sequences(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    """As "max_num_batched_tokens (N) must be greater than or equal to max_num_seqs (M)", defaults filled in."""
    tokens, seqs = step_of(request, facts)
    if tokens is None or seqs is None or not 1 <= tokens < seqs:
        return
    what = f"max_num_batched_tokens ({tokens}) is less than max_num_seqs ({seqs})"
    if not request.batched_tokens:
        cure = f"Set max_num_seqs to {tokens} or less, or leave it out."
        yield InvalidArgument(f"{what}: the first is vLLM's default on this card.", cure, key="max_num_seqs")
    else:
        cure = f"Set max_num_batched_tokens to {seqs} or more, or max_num_seqs to {tokens} or less."
        yield InvalidArgument(f"{what}.", cure, key="max_num_batched_tokens")


def step_of(request: ModelRequest, facts: HubFacts) -> tuple[int | None, int | None]:
    """(max_num_batched_tokens, max_num_seqs), as asked for and where the card is known with vLLM's defaults."""
    asked = request.batched_tokens, request.seqs
    if request.gpu is None or not any(asked):
        return asked
    try:
        engine = engine_of(request, facts)
    except ServingError:
        return asked  # of something else, such as the length, which has a rule of its own
    return engine.max_num_batched_tokens, engine.max_num_seqs


def _length(request: ModelRequest, facts: HubFacts) -> int | None:
    try:
        asked = max_model_len_tokens(request.max_model_len)
    except InvalidArgument:
        return None
    longest = derived_max_model_len(facts.config)
    return asked if asked is not None else (longest.tokens if longest else None)


def utilization(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    """A share of the card's memory."""
    share = request.gpu_memory_utilization
    if share is not None and not 0 < share <= 1:
        what = f"gpu_memory_utilization is {share:g}."
        yield InvalidArgument(
            what, "Set it to a share of the card above 0 and up to 1, such as 0.92.", key="gpu_memory_utilization"
        )


def quantization_method(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    """A quantization that the release doesn't have, asked for or carried by the weights."""
    allowed = request.extra.is_set("allow_deprecated_quantization")
    version = f"{request.release[0]}.{request.release[1]}"
    if request.quantization:
        problem = method_problem(request.quantization, version, deprecated_allowed=allowed)
        if problem is not None:
            yield problem
            return
    carried = facts.quantization.method if facts.quantization else None
    if carried is None or family(carried) == "inc":
        return
    if carried in PLUGINS or carried in FORMER_METHODS or carried in DEPRECATED:
        problem = method_problem(carried, version, deprecated_allowed=allowed)
        if problem is not None:
            yield InvalidArgument(problem.what, problem.cure, key="model")
    elif carried in _OF_OTHERS:
        what = f"The weights of {facts.repo_id} are {carried}, which vLLM doesn't have."
        yield InvalidArgument(what, "Use a repo with AWQ, GPTQ or FP8 weights, or without quantization.", key="model")
