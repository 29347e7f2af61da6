"""The bytes of weights on one GPU, as vLLM loads them and as its log counts them.

From the tensors that the checkpoint stores (`tensors.py`), each divided as vLLM's layers divide it
(`weight_parts.py`), converted as its loaders convert it (`weight_widths.py`), with the tables it adds
(`weight_rope.py`), in blocks of PyTorch's allocator (`weight_allocator.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .estimates import GIB, Range
from .model_config import padded_vocab, shape, text_config
from .tensors import DTYPE_BYTES, UNKNOWN, Stored, Tensors, is_prediction
from .weight_allocator import MIB, NEVER_SPLIT_SINCE
from .weight_families import family_tensors, stored_dtype, tied
from .weight_loading import Parameter, allocated, total
from .weight_parts import Part, Split, part_of
from .weight_rope import rope_tables
from .weight_widths import Widths

if TYPE_CHECKING:
    from .engine import Engine
    from .hub_facts import HubFacts

_MAX_SPLIT = 20 * MIB
_STREAMING_SINCE = (0, 15)  # the release that quantizes layer by layer while it loads
_TRANSFORMERS_GPT_BIGCODE_SINCE = (0, 25)  # no model of vLLM's own since: it comes from transformers
_TRANSFORMERS_FUSED_SINCE = (0, 27)
_ROUNDING = 0.15 * GIB  # the most that the allocator was seen to add where its order isn't known
_AGREES = 0.005  # of the checkpoint's bytes: what sources may differ by
_UNSURE = 0.01


@dataclass(frozen=True)
class Weights:
    """What one GPU holds of a model, in bytes; the GPU with the most where they differ.

    `per_gpu.low` is the bare tensors, `likely` their blocks in PyTorch's allocator (what vLLM logs).
    `load_peak`: what is needed for a moment while loading, where that is more.
    """

    per_gpu: Range
    total_file_bytes: int
    largest_bin: int
    notes: tuple[str, ...] = ()
    load_peak: float = 0.0


def weights_of(facts: HubFacts, engine: Engine) -> Weights | None:
    """The weights of a model on one GPU; None when nothing about them is known."""
    tensors, config = facts.contents.tensors, _quantized(facts)
    stored, notes = _resolved(tensors, config)
    largest_bin = tensors.largest_file if not facts.has_safetensors else 0
    if not stored:
        if not tensors.total_bytes:
            return None
        share = tensors.total_bytes / (engine.tensor_parallel_size * engine.pipeline_parallel_size)
        if facts.quantization is None and (config.get("torch_dtype") or config.get("dtype")):  # converted while loading
            share *= engine.dtype_bytes / DTYPE_BYTES[stored_dtype(config)]
        notes = (*notes, "Only the size of the files is known: which tensors they hold is not.")
        return Weights(Range(share * 0.9, share * 1.003, share * 1.3), tensors.total_bytes, largest_bin, notes)
    listed = sum(one.size for one in stored)
    weights = _Loader(config, engine).load(stored, notes)
    if tensors.stored and not tensors.complete and (left := tensors.total_bytes - listed) > _AGREES * listed:
        share = left / (engine.tensor_parallel_size * engine.pipeline_parallel_size)
        per_gpu = weights.per_gpu.plus(Range(0, share, left / engine.pipeline_parallel_size))
        weights = replace(weights, per_gpu=per_gpu, notes=(*weights.notes, _LEFT.format(round(left / GIB, 2))))
    return replace(weights, total_file_bytes=tensors.total_bytes or round(listed), largest_bin=largest_bin)


_LEFT = "{} GiB of the files are in no tensor that was seen; they are taken as divided among the GPUs."


def _quantized(facts: HubFacts) -> Mapping[str, Any]:
    """The config, with what only another file of the checkpoint says of its quantization."""
    said = facts.quantization
    if said is None or said.in_config:
        return facts.config
    settings = {
        "quant_method": said.method,
        "bits": said.bits,
        "group_size": said.group_size,
        "desc_act": said.desc_act,
    }
    return facts.config | {"quantization_config": settings}


def _resolved(tensors: Tensors, config: Mapping[str, Any]) -> tuple[tuple[Stored, ...], tuple[str, ...]]:
    """The stored tensors with every shape filled in that can be, and what to say about the others."""
    if tensors.complete:
        return tensors.stored, ()
    made = family_tensors(config) or ()
    if not tensors.stored:
        notes = ("The tensors are worked out from config.json: no header was read.",) if made else ()
        return made, notes
    by_tail = {_tail(one.name): one for one in made}
    resolved, missing = [], []
    for one in tensors.stored:
        known = one if one.dtype != UNKNOWN else by_tail.get(_tail(one.name))
        if known is None:
            missing.append(one.name)
        else:
            resolved.append(one._replace(dtype=known.dtype, shape=known.shape))
    notes = (f"No shape is known of {len(missing)} kinds of tensors, such as {missing[0]}.",) if missing else ()
    return tuple(resolved), notes


def _tail(name: str) -> str:
    """A name without what comes before its layer: repos differ there."""
    return name.rpartition("layers.*.")[2].rpartition("h.*.")[2].removeprefix("language_model.").removeprefix("model.")


class _Loader:
    """One model on one engine."""

    def __init__(self, config: Mapping[str, Any], engine: Engine) -> None:
        self.config, self.engine = config, engine
        self.text = text_config(config)
        self.widths = Widths(config, engine)
        self.tables = rope_tables(config, engine)
        sizes = shape(config)
        self.heads, self.kv_heads = sizes.heads or 1, sizes.kv_heads or sizes.heads or 1
        self.layers = int(
            self.text.get("num_hidden_layers") or self.text.get("n_layer") or self.text.get("n_layers") or 0
        )
        self.kind = str(self.text.get("model_type") or "")
        self.by_transformers = self.kind == "gpt_bigcode" and engine.release >= _TRANSFORMERS_GPT_BIGCODE_SINCE

    def load(self, stored: Sequence[Stored], notes: tuple[str, ...]) -> Weights:
        engine = self.engine
        parts = [(one, part_of(one.name, len(one.shape))) for one in stored if not is_prediction(one.name)]
        layers = self.layers or max((one.layers for one in stored), default=0) or 1
        parameters = [*self._parameters(self._kept(parts)), *self._added(layers)]
        held, layers = _largest_stage(parameters, layers, engine.pipeline_parallel_size)
        bare = total(held, self.tables)
        max_split = _MAX_SPLIT if engine.release >= NEVER_SPLIT_SINCE else None
        streaming = engine.release >= _STREAMING_SINCE
        likely = allocated(held, self.tables, layers, max_split=max_split, streaming=streaming)
        unknown = sum(one.size for one, part in parts if not part.known) / engine.pipeline_parallel_size
        peak = 0.0
        if not streaming and any(one.before for one in held):
            peak = total((one._replace(size=one.before or one.size) for one in held), self.tables)
            notes = (*notes, "This release loads the weights as they are stored before it quantizes them.")
        slack = min(_ROUNDING, bare * _UNSURE)
        return Weights(Range(bare, likely, likely + slack + unknown), 0, 0, notes, peak)

    def _kept(self, parts: Sequence[tuple[Stored, Part]]) -> list[tuple[Stored, Part]]:
        """What is loaded: without a tied output embedding, with one that isn't stored though not tied."""
        kept = [(one, part) for one, part in parts if part.split is not Split.NOTHING]
        heads = [one for one, part in kept if part.head]
        says = tied(self.config)
        if says or (says is None and not heads):
            return [(one, part) for one, part in kept if not part.head]
        if not heads:
            copies = [(one, part) for one, part in kept if part.split is Split.VOCAB]
            kept += [
                (one._replace(name="lm_head.weight"), part._replace(head=True, group="lm_head")) for one, part in copies
            ]
        return kept

    def _parameters(self, parts: Sequence[tuple[Stored, Part]]) -> Iterator[Parameter]:
        """Parameters as vLLM has them: q, k and v are one, and so are all experts of a layer."""
        merged: dict[tuple[str, str], Parameter] = {}
        for one, part in parts:
            if self.kind == "gpt_oss" and self.widths.method == "mxfp4" and part.split is Split.EXPERT:
                continue
            instances = one.layers or one.number
            elements = one.elements * one.number / instances * self._fraction(one, part)
            online = self.widths.online_width(one, part)
            width = self.widths.of(one, part)
            key = (part.group, part.leaf)
            known = merged.get(key)
            size = elements * (width if online is None else online)
            before = elements * width if online is not None else 0.0
            if known is not None and known.number and instances != known.number:
                # The same name in layers of several shapes.
                size, before = size * instances / known.number, before * instances / known.number
            merged[key] = Parameter(
                group=part.group,
                size=size + (known.size if known else 0.0),
                number=known.number if known else float(instances),
                layered=one.layers > 0,
                row=part.split is Split.ROW or part.group.endswith(".w2"),
                before=before + (known.before if known else 0.0),
                vision=part.vision,
                embedding=part.split is Split.VOCAB and not part.head,
                head=part.head,
            )
        yield from merged.values()

    def _fraction(self, one: Stored, part: Part) -> float:
        """What a rank holds of the tensor's elements."""
        tp = self.engine.tensor_parallel_size
        if part.split is Split.VOCAB:
            return padded_vocab(one.shape[0]) / one.shape[0] / tp
        if part.split is Split.EXPERT:
            return 1 / self._expert_ranks(one)
        if part.split is Split.COPY or tp == 1 or (self.by_transformers and self._whole(part)):
            return 1.0
        if part.split is Split.ROW and not _has_inputs(one, part):
            return 1.0
        if part.split is Split.KV:
            return max(1, self.kv_heads // tp) / self.kv_heads
        if part.split is Split.QKV:
            packed = self.heads / tp + 2 * max(1, self.kv_heads // tp)
            return packed / (self.heads + 2 * self.kv_heads)
        return 1 / tp

    def _whole(self, part: Part) -> bool:
        """Of a model without a plan for tensor parallelism vLLM divides attention, since it fuses it; no more."""
        return ".mlp." in part.group or self.engine.release < _TRANSFORMERS_FUSED_SINCE

    def _expert_ranks(self, one: Stored) -> float:
        """Experts are cut among all ranks, data-parallel ones too; under expert parallelism dealt out whole."""
        ranks = self.engine.tensor_parallel_size * self.engine.data_parallel_size
        if not self.engine.expert_parallel:
            return ranks
        experts = one.number // (one.layers or 1) if one.number > one.layers else one.shape[0]
        return experts / -(-experts // ranks) if experts else ranks

    def _added(self, layers: int) -> Iterator[Parameter]:
        """What vLLM allocates that isn't stored, or stored in another form."""
        if copy := self.widths.latent_copy():
            yield Parameter("attn.kv_b_copy", copy, layers, layered=True)
        if self.by_transformers:
            positions = int(self.text.get("n_positions") or 0)
            yield Parameter("mask", positions**2, 1, layered=False)  # GPTBigCodeModel's causal mask, one byte each
        if self.kind == "gpt_oss" and self.widths.method == "mxfp4":
            yield from self._mxfp4(layers)

    def _mxfp4(self, layers: int) -> Iterator[Parameter]:
        """gpt-oss's experts, padded for the kernel: 4 bits a weight, a byte of scale for 32, 16-bit biases."""
        text, ranks = self.text, self.engine.tensor_parallel_size * self.engine.data_parallel_size
        experts, whole = int(text["num_local_experts"]), int(text["intermediate_size"])
        if self.engine.expert_parallel:
            experts, ranks = -(-experts // ranks), 1
        blocks = -(-(whole // 32) // ranks)
        inner, hidden = self.widths.mxfp4_padding(blocks * 32, int(text["hidden_size"]))
        for name, values in (("w13", 2 * inner * hidden), ("w2", hidden * inner)):
            yield Parameter(f"experts.{name}", experts * values / 2, layers, layered=True, row=name == "w2")
            yield Parameter(f"experts.{name}.scale", experts * values / 32, layers, layered=True)
        yield Parameter("experts.bias", experts * (2 * inner + hidden) * 2, layers, layered=True)


def _has_inputs(one: Stored, part: Part) -> bool:
    """Whether a tensor of a row-parallel layer has a dimension of inputs, which is what is divided."""
    if part.leaf == "bias" or len(one.shape) <= 1:
        return part.leaf.endswith("g_idx")
    if part.leaf in ("scales", "qzeros"):
        return one.shape[0] > 1
    return not part.leaf.startswith("weight_scale") or one.shape[-1] > 1


def _largest_stage(parameters: Sequence[Parameter], layers: int, stages: int) -> tuple[list[Parameter], int]:
    """The parameters of the pipeline stage with the most bytes, and its layers.

    vLLM's distributed/utils.py, get_pp_indices: layers that are left over go to the stages before the last.
    """
    if stages <= 1:
        return list(parameters), layers
    counts = [layers // stages] * stages
    for place in range(2, layers % stages + 2):
        counts[-place] += 1
    is_tied = not any(one.head for one in parameters)  # then the last stage has the embedding, too
    best: tuple[float, list[Parameter], int] | None = None
    for stage, count in enumerate(counts):
        first, last = stage == 0, stage == stages - 1
        held = []
        for one in parameters:
            if one.layered and not one.vision:
                held.append(one._replace(number=one.number * count / layers))
            elif one.head or (one.embedding and not first) or (one.vision and not first):
                if last and not one.vision and (one.head or is_tied):
                    held.append(one)
            elif first or last:
                held.append(one)
        size = sum(one.size * one.number for one in held)
        if best is None or size > best[0]:
            best = size, held, count
    assert best is not None
    return best[1], best[2]
