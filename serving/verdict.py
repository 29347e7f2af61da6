"""The verdict: whether vLLM will start, said from facts before a GPU is taken.

What decides it, in this order:

1. a broken rule (rules.py) is WON'T START;
2. what would start, but wasn't looked at in full (`unchecked`: without a known GPU, memory), is MAYBE;
3. a model of which the weights or the KV cache can't be told is MAYBE, unless even what is known doesn't fit;
4. else memory decides (fit.Room.outcome): what is left for the KV cache must hold one request of max_model_len
   tokens.  It is a range; START when its low end does, WON'T START when its high end doesn't, and between them the
   likely value decides unless it is within 2 % of the budget of the edge: there it is MAYBE.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from .command import max_model_len_tokens
from .cures import cures_of
from .engine import Engine, engine_of
from .errors import ServingError
from .estimates import GIB, MemoryEstimate, Range
from .fit import Outcome, Room
from .gpus import Gpu
from .hub_facts import HubFacts
from .kv_cache import KvLayout, kv_layout
from .memory import estimate
from .model_config import derived_max_model_len
from .model_request import ModelRequest
from .repo_id import is_folder, parse_repo_id
from .rules import UNEXPECTED, Rule, rules_of
from .vllm_eras import OLDEST
from .weights import Weights, weights_of


@dataclass(frozen=True)
class Verdict:
    """What was found for one request.

    revision           the commit, "" when the Hub didn't tell
    gpu_count          GPUs of the session; a fraction for a share
    memory, kv_cache   bytes of one GPU; None where they can't be told.  `kv_cache` is what is left for it
    kv_cache_tokens, max_concurrency   as vLLM logs them: tokens that fit, requests of max_model_len at once
    largest_max_model_len   tokens of the longest request that would start, up to the model's own length; 0 for none
    unchecked          what could not be looked at, in words
    """

    name: str
    model: str
    revision: str
    outcome: Outcome
    gpu: Gpu | None = None
    gpu_count: float = 1
    engine: Engine | None = None
    memory: MemoryEstimate | None = None
    kv_cache: Range | None = None
    kv_cache_tokens: int | None = None
    max_concurrency: float | None = None
    max_model_len: int | None = None
    largest_max_model_len: int | None = None
    rules: tuple[Rule, ...] = ()
    cures: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()

    @property
    def broken(self) -> tuple[Rule, ...]:
        """The rules for which it won't start."""
        return tuple(rule for rule in self.rules if rule.broken)

    @property
    def requests_at_once(self) -> float | None:
        """Requests of max_model_len that run at once: what the KV cache holds, and at most max_num_seqs."""
        if self.max_concurrency is None or self.engine is None:
            return self.max_concurrency
        return min(self.max_concurrency, float(self.engine.max_num_seqs))

    @property
    def warnings(self) -> tuple[Rule, ...]:
        """The rules that are broken, although it starts."""
        return tuple(rule for rule in self.rules if not rule.ok and not rule.broken)


def judge(request: ModelRequest, facts: HubFacts, *, with_cures: bool = True, known: Known | None = None) -> Verdict:
    """The verdict on one request.  Asks nobody, and never raises for a model.

    `with_cures`: also look for changes that would make it start; `known`: sizes of this model that were found before.
    """
    known = known or Known()
    verdict = _found(request, facts, known)
    if with_cures and verdict.outcome is not Outcome.START:
        verdict = _with_cures(verdict, request, facts, known)
    unsure = verdict.outcome is Outcome.START and verdict.unchecked
    return replace(verdict, outcome=Outcome.MAYBE) if unsure else verdict


def _found(request: ModelRequest, facts: HubFacts, known: Known) -> Verdict:
    """The verdict by what could be looked at."""
    sized = _sized(request, facts, known)
    unchecked = (*sized.unchecked, *_left_out(request))
    verdict = Verdict(
        name=request.name,
        model=model_name(request),
        revision=facts.sha,
        outcome=Outcome.START if request.gpu is None else Outcome.MAYBE,
        gpu=request.gpu,
        gpu_count=request.gpus,
        engine=sized.engine,
        max_model_len=sized.engine.max_model_len if sized.engine else _asked_len(request),
        rules=rules_of(request, facts, sized.largest_bin),
        unchecked=unchecked,
    )
    if sized.room is not None:
        verdict = _with_memory(verdict, sized.room, _longest(request, facts))
    return replace(verdict, outcome=Outcome.WONT_START) if verdict.broken else verdict


def _with_cures(verdict: Verdict, request: ModelRequest, facts: HubFacts, known: Known) -> Verdict:
    """The memory rule says the cheapest change, too."""
    try:
        cures = cures_of(request, facts, verdict, _Trial(facts, known))
    except UNEXPECTED:
        return verdict  # of a config that isn't understood; a rule says so
    rules = verdict.rules
    if cures:
        rules = tuple(replace(r, cure=cures[0]) if r.rule == "memory" and not r.ok else r for r in rules)
    return replace(verdict, cures=cures, rules=rules)


class _Trial:
    """Judges changed requests of one model."""

    def __init__(self, facts: HubFacts, known: Known) -> None:
        self._facts, self._known = facts, known

    def judge(self, request: ModelRequest) -> Verdict:
        return _found(request, self._facts, self._known)

    def starts(self, request: ModelRequest) -> bool:
        """Whether the verdict is START; memory, which most changes are about, is looked at before the rules."""
        sized = _sized(request, self._facts, self._known)
        if sized.room is None or sized.room.layout is None:
            return False
        length = 1 if sized.room.engine.auto_len else sized.room.engine.max_model_len
        if sized.room.outcome(length) is not Outcome.START:
            return False
        rules = (*sized.room.rules(length), *rules_of(request, self._facts, sized.largest_bin))
        return not any(rule.broken for rule in rules)


def model_name(request: ModelRequest) -> str:
    """The repo as it was asked for, without what an address has around it."""
    try:
        return request.model if is_folder(request.model) else parse_repo_id(request.model).repo_id
    except ServingError:
        return request.model


def _left_out(request: ModelRequest) -> Iterator[str]:
    """What flags and old releases change that isn't followed here."""
    if request.release < OLDEST:
        yield f"everything: vLLM {_dotted(request.release)} is older than {_dotted(OLDEST)}, the oldest known here"
    if request.config_is_overridden:
        yield "length and parallelism: extra_args change the config"
    for dest, what in (("speculative_config", "a draft model"), ("enable_lora", "LoRA adapters")):
        if request.extra.last(dest):
            yield f"memory of {what}"


def _dotted(release: tuple[int, int]) -> str:
    return f"{release[0]}.{release[1]}"


@dataclass(frozen=True)
class _Sized:
    """What could be told in bytes, and what couldn't."""

    engine: Engine | None = None
    largest_bin: int = 0
    room: Room | None = None
    unchecked: tuple[str, ...] = ()


class Known:
    """Sizes of one model, kept while changes to its request are tried: most changes leave them as they are."""

    def __init__(self) -> None:
        self._weights: dict[Engine, Weights | None] = {}
        self._layouts: dict[Engine, KvLayout | None] = {}

    def weights(self, facts: HubFacts, engine: Engine) -> Weights | None:
        """As `weights_of`: the KV cache doesn't matter to it, and the card's generation only to quantized weights."""
        key = _on_any(engine, (engine.capability[0], 0) if engine.quantization else None)
        key = replace(key, max_num_batched_tokens=0, kv_cache_dtype="", kv_dtype_bytes=0, block_size=0)
        if key not in self._weights:
            self._weights[key] = weights_of(facts, engine)
        return self._weights[key]

    def layout(self, facts: HubFacts, engine: Engine) -> KvLayout | None:
        """As `kv_layout`: the card doesn't matter to it (the engine has its block size), nor the weights."""
        key = replace(_on_any(engine, None), quantization=None, v2_runner=False)
        if key not in self._layouts:
            self._layouts[key] = kv_layout(facts.config, engine)
        return self._layouts[key]


def _on_any(engine: Engine, capability: tuple[int, int] | None) -> Engine:
    """The engine on any card of the capability, with any budget, for any number of requests of any length."""
    card = Gpu("", 0.0, capability)
    return replace(
        engine,
        gpu=card,
        gpu_memory_utilization=0.0,
        enforce_eager=False,
        max_num_seqs=0,
        max_model_len=0,
        auto_len=False,
        dtype="",
    )


def _sized(request: ModelRequest, facts: HubFacts, known: Known) -> _Sized:
    if request.gpu is None:
        return _Sized(unchecked=("memory: no GPU is known",))
    engine, largest_bin = None, 0
    try:
        engine = engine_of(request, facts)
        weights = known.weights(facts, engine)
        weights = weights and _offloaded(weights, request)
        if weights is None:
            return _Sized(engine, unchecked=("memory: the size of the weights isn't known",))
        largest_bin = weights.largest_bin
        layout = known.layout(facts, engine)
        room = Room(engine, estimate(facts, engine, weights), layout, weights.load_peak)
    except ServingError as error:
        return _Sized(engine, largest_bin, unchecked=(f"memory: {error.what}",))
    except UNEXPECTED as error:
        why = f"memory: the config isn't understood ({type(error).__name__}: {error})"
        return _Sized(engine, largest_bin, unchecked=(why,))
    unknown = () if layout else ("KV cache: this kind of model isn't known here",)
    return _Sized(engine, largest_bin, room, unknown)


def _offloaded(weights: Weights, request: ModelRequest) -> Weights:
    """Without what --cpu-offload-gb (GiB of each GPU, vLLM's CPUOffloader) keeps in the host's memory."""
    argument = request.extra.last("cpu_offload_gb")
    try:
        offloaded = float(argument.values[0]) * GIB if argument and argument.values else 0.0
    except ValueError:
        offloaded = 0.0
    kept = Range(*(max(0.0, size - offloaded) for size in weights.per_gpu))
    return replace(weights, per_gpu=kept, load_peak=max(0.0, weights.load_peak - offloaded)) if offloaded else weights


def _asked_len(request: ModelRequest) -> int | None:
    try:
        return max_model_len_tokens(request.max_model_len)
    except ServingError:
        return None  # a rule says so


def _longest(request: ModelRequest, facts: HubFacts) -> int | None:
    """Tokens that it may be asked for; None when nothing limits it, or when that isn't known."""
    length = None if request.config_is_overridden else derived_max_model_len(facts.config)
    if length is None:
        return None
    forced = request.env.get("VLLM_ALLOW_LONG_MAX_MODEL_LEN") in ("1", "true", "True")
    return max(length.tokens, _asked_len(request) or 0) if forced else length.tokens


def _with_memory(verdict: Verdict, room: Room, longest: int | None) -> Verdict:
    """`longest`: tokens that the model was made for."""
    memory = replace(verdict, memory=room.memory, kv_cache=room.available)
    if room.layout is None:
        outcome = Outcome.WONT_START if room.available.high <= 0 else Outcome.MAYBE
        return replace(memory, outcome=outcome, rules=(*verdict.rules, *room.rules(0)))
    likely = max(room.available.likely, 0.0)
    largest = room.layout.largest_len(likely, longest)
    asked = 1 if room.engine.auto_len else room.engine.max_model_len
    length = largest if room.engine.auto_len else asked
    return replace(
        memory,
        outcome=room.outcome(asked),
        kv_cache_tokens=room.layout.tokens(likely, length) if length else 0,
        max_concurrency=round(room.layout.max_concurrency(likely, length), 3) if length else 0.0,
        max_model_len=length or None,
        largest_max_model_len=largest,
        rules=(*verdict.rules, *room.rules(asked)),
    )
