"""Changes that would make a model start, cheapest first; each was judged again before it is named."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from .command import max_model_len_tokens
from .engine import batch_defaults
from .errors import InvalidArgument
from .estimates import GIB
from .fit import EDGE
from .gpus import Gpu, find_gpu
from .hub_facts import HubFacts
from .model_config import derived_max_model_len
from .model_request import ModelRequest
from .proven import PROVEN
from .rules_hardware import least_capability, takes_fp8_kv
from .rules_parallel import fitting_sizes
from .vllm_eras import UTILIZATION_92

if TYPE_CHECKING:
    from .engine import Engine
    from .verdict import Verdict


class Trial(Protocol):
    """Judges changed requests of the same model."""

    def judge(self, request: ModelRequest) -> Verdict: ...

    def starts(self, request: ModelRequest) -> bool: ...


_STARTS = "START"
_OF_MEMORY = ("memory", "loading")
_HIGHEST_UTILIZATION = 0.95
_FEW_SEQS = 64  # requests at once
_FEW_TOKENS = 2048  # a step
_SHORTEST = 512  # tokens; nobody is advised to serve less
_STEP = 128  # tokens: what a length is rounded down to
_SHARES = 20  # of a card: the steps in which shares are tried
_ONLINE_FP8_FROM = 89  # arithmetic in FP8; below, vLLM only stores weights so
_LADDER = (  # cards to go up to, by memory
    *("T4", "L4", "RTX 4090", "RTX 5090", "A100-40GB", "L40S", "A100-80GB", "H100-80GB"),
    *("H100 NVL", "H200", "B200", "B300"),
)
_ROCM_LADDER = ("MI210", "MI300X", "MI325X", "MI355X")


class _Change(NamedTuple):
    text: str
    fields: dict[str, Any]


def cures_of(request: ModelRequest, facts: HubFacts, verdict: Verdict, trial: Trial) -> tuple[str, ...]:
    """What to change, each sentence enough by itself, cheapest first; empty when nothing is known to help."""
    fixes = [change for change in _fixes(request, facts, verdict) if change]
    base, verdict_of_base = request, verdict
    if fixes:
        base = _with(request, *fixes)
        verdict_of_base = trial.judge(base)
        if verdict_of_base.outcome == _STARTS:
            return (_sentence(fixes),)
    if _beyond_settings(verdict_of_base):
        return ()
    found = [_sentence([*fixes, change]) for change in _starting(base, _changes(base, facts, verdict_of_base), trial)]
    if not found:
        found = [*_together(base, facts, verdict_of_base, trial, fixes)]
    found += [_sentence([*fixes, change]) for change in _hardware(base, facts, verdict_of_base, trial)]
    return tuple(dict.fromkeys((*found[:1], *_variants(request, facts), *found[1:])))


def _starting(request: ModelRequest, changes: Iterator[_Change], trial: Trial) -> Iterator[_Change]:
    """Those that make it start; of several values of one setting the first."""
    done = set[frozenset[str]]()
    for change in changes:
        setting = frozenset(change.fields)
        if setting not in done and trial.starts(_with(request, change)):
            done.add(setting)
            yield change


def _with(request: ModelRequest, *changes: _Change) -> ModelRequest:
    fields: dict[str, Any] = {}
    for change in changes:
        fields |= change.fields
    extra, arguments = request.extra_args, request.extra.arguments
    if not request.extra.problems and any(argument.dest in fields for argument in arguments):
        # A flag there would win over the field.
        kept = (argument for argument in arguments if argument.dest not in fields)
        extra = tuple(word for argument in kept for word in argument.words)
    return replace(request, **fields, extra_args=extra)


def _sentence(changes: list[_Change]) -> str:
    later = [{key for change in changes[index + 1 :] for key in change.fields} for index in range(len(changes))]
    text = "; ".join(change.text for change, over in zip(changes, later, strict=True) if change.fields.keys() - over)
    return text[0].upper() + text[1:] + "."


def _beyond_settings(verdict: Verdict) -> bool:
    """True when more than memory is in the way: that rule says itself what cures it."""
    return any(rule.rule not in _OF_MEMORY for rule in verdict.broken)


def _fixes(request: ModelRequest, facts: HubFacts, verdict: Verdict) -> Iterator[_Change | None]:
    """One change for every broken rule that a setting can mend."""
    broken = {rule.rule: rule for rule in verdict.broken}
    if "max-model-len" in broken and (longest := derived_max_model_len(facts.config)):
        yield _Change(f"set max_model_len to {longest.tokens}", {"max_model_len": longest.tokens})
    if request.quantization and any(rule.key == "quantization" for rule in broken.values()):
        yield _Change("leave quantization out", {"quantization": None})
    if any(rule.key == "dtype" for rule in broken.values()):
        yield _Change("leave dtype at auto", {"dtype": "auto"})
    if "kv-cache-dtype" in broken:
        yield _Change("leave kv_cache_dtype at auto", {"kv_cache_dtype": None})
    if broken.keys() & {"gpu-memory-utilization", "free-memory"}:
        yield _Change("leave gpu_memory_utilization at vLLM's default", {"gpu_memory_utilization": None})
    if any(rule.startswith("tensor-parallel-") for rule in broken):
        yield _fitting(request, facts)
    elif "gpus" in broken:
        yield _Change(f"give it {request.gpus_needed} GPUs", {"gpus": request.gpus_needed})
    if "max-num-batched-tokens" in broken:
        yield _step(request, verdict)


def _step(request: ModelRequest, verdict: Verdict) -> _Change:
    """A step holds every sequence: with vLLM's own tokens where they are enough, else with fewer sequences."""
    default = batch_defaults(request.gpu, request.release)[0] if request.gpu else None
    if not request.seqs or default is None or (request.batched_tokens and request.seqs <= default):
        return _Change("leave max_num_batched_tokens to vLLM", {"max_num_batched_tokens": None})
    most = verdict.engine.max_num_batched_tokens if verdict.engine else default
    return _Change(f"set max_num_seqs to {most}", {"max_num_seqs": most})


def _fitting(request: ModelRequest, facts: HubFacts) -> _Change | None:
    """The largest size that divides the model and for which there are GPUs."""
    there = max(1, int(request.gpus))
    size = max((size for size in fitting_sizes(request, facts) if size <= there), default=0)
    return _Change(f"set tensor_parallel_size to {size}", {"tensor_parallel_size": size}) if size else None


def _changes(request: ModelRequest, facts: HubFacts, verdict: Verdict) -> Iterator[_Change]:
    """Changes of a setting, from the cheapest on."""
    engine, gpu = verdict.engine, request.gpu
    if engine is None or gpu is None:
        return
    if _weights(verdict) < gpu.visible_gib * _HIGHEST_UTILIZATION:
        yield from _of_settings(request, facts, verdict, engine, gpu)
    plain = facts.quantization is None and not request.quantization
    if plain and (gpu.compute or 0) >= least_capability("fp8", request.release):
        note = "" if (gpu.compute or 0) >= _ONLINE_FP8_FROM else " (weights only on this card)"
        yield _Change(f"set quantization to fp8{note}", {"quantization": "fp8"})


def _weights(verdict: Verdict) -> float:
    """GiB of one GPU that the weights take at least; 0 where that isn't known."""
    return verdict.memory.weights.low / GIB if verdict.memory else 0.0


def _of_settings(
    request: ModelRequest, facts: HubFacts, verdict: Verdict, engine: Engine, gpu: Gpu
) -> Iterator[_Change]:
    default = 0.92 if request.release >= UTILIZATION_92 else 0.9
    if request.gpu_memory_utilization is not None and request.gpu_memory_utilization < default:
        yield _Change("leave gpu_memory_utilization at vLLM's default", {"gpu_memory_utilization": None})
    yield from _shorter(verdict)
    if engine.gpu_memory_utilization < _HIGHEST_UTILIZATION:
        share = _HIGHEST_UTILIZATION
        yield _Change(f"set gpu_memory_utilization to {share}", {"gpu_memory_utilization": share})
    if not str(engine.kv_cache_dtype).startswith("fp8") and takes_fp8_kv(gpu, facts, request.release):
        yield _Change("set kv_cache_dtype to fp8", {"kv_cache_dtype": "fp8"})
    if engine.max_num_seqs > _FEW_SEQS:
        yield _Change(f"set max_num_seqs to {_FEW_SEQS}", {"max_num_seqs": _FEW_SEQS})
    if engine.max_num_batched_tokens > _FEW_TOKENS >= engine.max_num_seqs:
        yield _Change(f"set max_num_batched_tokens to {_FEW_TOKENS}", {"max_num_batched_tokens": _FEW_TOKENS})
    if not engine.enforce_eager:
        yield _Change("set enforce_eager (slower answers)", {"enforce_eager": True})


def _shorter(verdict: Verdict) -> Iterator[_Change]:
    """Round lengths that what is surely left may hold, the longest first; none where none is worth serving."""
    asked, likely, room = verdict.max_model_len, verdict.largest_max_model_len, verdict.kv_cache
    if not asked or not likely or room is None or verdict.memory is None or room.likely <= 0:
        return
    sure = max(room.low, room.likely - EDGE * verdict.memory.budget) / room.likely
    lengths = (min(int(likely * part), asked - 1) // _STEP * _STEP for part in (sure, sure**2, sure**2 / 2))
    for length in dict.fromkeys(length for length in lengths if length >= _SHORTEST):
        yield _Change(f"set max_model_len to {length}", {"max_model_len": length})


def _together(
    request: ModelRequest, facts: HubFacts, verdict: Verdict, trial: Trial, fixes: list[_Change]
) -> Iterator[str]:
    """All settings that cost no quality of the weights at once, where none is enough by itself."""
    every = (change for change in _changes(request, facts, verdict) if "quantization" not in change.fields)
    first = {frozenset(change.fields): change for change in reversed([*every])}
    changes = [*reversed(first.values())]
    if len(changes) < 2:  # noqa: PLR2004
        return
    changed = trial.judge(_with(request, *changes))
    if changed.outcome == _STARTS:
        yield _sentence([*fixes, *changes])
        return
    others = [change for change in changes if "max_model_len" not in change.fields]
    for shorter in _starting(_with(request, *others), _shorter(changed), trial):
        yield _sentence([*fixes, shorter, *others])


def _hardware(request: ModelRequest, facts: HubFacts, verdict: Verdict, trial: Trial) -> Iterator[_Change]:
    """More GPUs of the same kind, or the smallest larger card."""
    gpu, weights = request.gpu, _weights(verdict)
    if gpu is None:
        return
    if gpu.share < 1:
        yield from _larger_share(request, gpu, trial)
        return
    share = verdict.engine.gpu_memory_utilization if verdict.engine else 1.0
    now = max(1, request.tensor_parallel_size)
    more = (
        _on_more(request, size)
        for size in fitting_sizes(request, facts)
        if size > now and size & (size - 1) == 0 and weights * now / size < gpu.visible_gib * share
    )
    ladder = (find_gpu(name) for name in (_LADDER if gpu.vendor == "nvidia" else _ROCM_LADDER))
    larger = (
        _Change(f"use {card.name}", {"gpu": card})
        for card in ladder
        if card.memory_gib > gpu.visible_gib and weights < card.memory_gib * share
    )
    for changes in (more, larger):
        starting = (change for change in changes if trial.starts(_with(request, change)))
        yield from islice(starting, 1)


def _larger_share(request: ModelRequest, gpu: Gpu, trial: Trial) -> Iterator[_Change]:
    """The smallest share that starts, in steps of a twentieth; the whole card where it takes that."""

    def change(twentieths: int) -> _Change:
        share = twentieths / _SHARES
        if twentieths == _SHARES:
            return _Change(f"use the whole {gpu.name}", {"gpu": gpu.shared(1.0), "gpus": 1})
        fields = {"gpu": gpu.shared(share), "gpus": round(request.gpus * share / gpu.share, 3)}
        return _Change(f"use a share of {share:g} of the {gpu.name}", fields)

    shares = range(int(gpu.share * _SHARES) + 1, _SHARES + 1)
    index = bisect_left(shares, True, key=lambda share: trial.starts(_with(request, change(share))))
    if index < len(shares):
        yield change(shares[index])


def _on_more(request: ModelRequest, size: int) -> _Change:
    gpus = size * request.gpus_needed // max(1, request.tensor_parallel_size)
    fields = {"tensor_parallel_size": size, "gpus": gpus}
    return _Change(f"use {gpus} GPUs with tensor_parallel_size {size}", fields)


def _variants(request: ModelRequest, facts: HubFacts) -> Iterator[str]:
    """The same model with quantized weights, where it is proved to start on this card with vLLM's own defaults."""
    gpu = request.gpu
    try:
        length = max_model_len_tokens(request.max_model_len)
    except InvalidArgument:
        return
    plain = request.gpu_memory_utilization is None and request.dtype == "auto" and not request.extra_args
    if gpu is None or gpu.share < 1 or not plain or length is None:
        return
    for row in PROVEN:
        other = row.base == facts.repo_id and row.model != facts.repo_id
        if other and gpu.name in row.cards and request.gpus >= row.gpus and length <= row.max_model_len:
            yield f"Use the model {row.model}, with tensor_parallel_size {row.gpus}."
