"""What has to be divisible when a model is spread over GPUs, and what GPUs there have to be.

Sources, vLLM 0.32.0: ModelConfig.verify_with_parallel_config (heads), VocabParallelEmbedding (the padded vocabulary),
QKVParallelLinear (KV heads), ColumnParallelLinear and FusedMoEConfig (intermediate size), AutoAWQLinearMethod.
create_weights and validate_fp8_block_shape (quantization groups), the vision towers' `divide(num_heads, tp_size)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from .errors import InvalidArgument, ParallelSizeMismatch, ServingError
from .hub_facts import HubFacts
from .model_config import Shape, is_moe, padded_vocab, shape, text_config
from .model_request import ModelRequest
from .quantization import carried_by, family

Finding = ServingError | str

LARGEST_TP = 16  # GPUs; beyond, nobody is advised to go
_GPTQ_GROUPS_ARE_CUT_SINCE = (0, 23)  # its kernels take a group on two GPUs; before, gptq.py refused it
_FP8_EXPERTS_ARE_REFINED_SINCE = (0, 29)  # to blocks that fit (resolve_fp8_moe_weight_block_shape); 0.28 refuses
_BIGCODE_UNDIVIDED_SINCE = (0, 25)  # run by vLLM's Transformers backend, which has no plan for dividing it
_DIVIDES_BY_DUMMY_HEADS = ("intern_vit", "internvl")  # vision towers that pad their heads


class _Case(NamedTuple):
    request: ModelRequest
    facts: HubFacts
    sizes: Shape
    size: int  # tensor_parallel_size


Part = Callable[[_Case], Iterator[str]]


def _heads(case: _Case) -> Iterator[str]:
    if case.sizes.heads and case.sizes.heads % case.size:
        yield f"it has {case.sizes.heads} attention heads"


def _vocabulary(case: _Case) -> Iterator[str]:
    if case.sizes.vocab and padded_vocab(case.sizes.vocab) % case.size:
        yield f"its vocabulary is padded to {padded_vocab(case.sizes.vocab)}"


def _kv_heads(case: _Case) -> Iterator[str]:
    heads = case.sizes.kv_heads
    if heads and heads % case.size and case.size % heads:
        yield f"it has {heads} KV heads"


def _intermediate(case: _Case) -> Iterator[str]:
    for size in _inner_sizes(case):
        if size % case.size:
            yield f"its intermediate size is {size}"


def _inner_sizes(case: _Case) -> list[int]:
    """Every intermediate size that is divided: of the dense layers and of the experts."""
    text = text_config(case.facts.config)
    if not is_moe(text):
        return [case.sizes.intermediate] if case.sizes.intermediate else []
    if case.request.extra.is_set("enable_expert_parallel"):
        return []
    expert = _number(text, "moe_intermediate_size") or case.sizes.intermediate
    dense = case.sizes.intermediate if _number(text, "first_k_dense_replace") or text.get("mlp_only_layers") else None
    return [size for size in dict.fromkeys((expert, dense)) if size]


def _groups(case: _Case) -> Iterator[str]:
    """A scale belongs to a group of inputs, and a group can't be on two GPUs."""
    if any(True for _ in _intermediate(case)) or case.size == 1:
        return
    carried = case.facts.quantization
    kind = family(carried.method) if carried else None
    if kind == "fp8":
        yield from _fp8_blocks(case)
        return
    if kind != "awq" and not (kind == "gptq" and case.request.release < _GPTQ_GROUPS_ARE_CUT_SINCE):
        return
    group = carried.group_size if carried else None
    if kind and group and group > 0 and any(n // case.size % group for n in _row_inputs(case)):
        yield f"its {kind.upper()} groups of {group} would be cut"


def _row_inputs(case: _Case) -> list[int]:
    """Inputs of the layers that are divided by rows: the MLP's and the attention's output projections."""
    inner = [] if is_moe(case.facts.config) else _inner_sizes(case)
    return [*inner, (case.sizes.heads or 0) * (case.sizes.head_dim or 0)]


def _fp8_blocks(case: _Case) -> Iterator[str]:
    """As validate_fp8_block_shape: what a GPU has of each matrix must be whole blocks."""
    block = (carried_by(case.facts.config) or {}).get("weight_block_size")
    if not isinstance(block, list) or not all(isinstance(edge, int) and edge > 0 for edge in block):
        return
    edge, sizes = max(block), case.sizes
    inner = _inner_sizes(case)
    if is_moe(case.facts.config) and case.request.release >= _FP8_EXPERTS_ARE_REFINED_SINCE:
        inner = inner[1:]  # without the experts'
    cut = next((size for size in inner if size // case.size % edge), None)
    if cut:
        yield f"its FP8 blocks of {edge} would be cut (intermediate size {cut})"
    elif sizes.heads and sizes.kv_heads and sizes.head_dim:  # none of MLA
        parts = (sizes.heads // case.size, max(1, sizes.kv_heads // case.size))
        if any(heads * sizes.head_dim % edge for heads in parts):
            yield f"its FP8 blocks of {edge} would be cut (heads of {sizes.head_dim})"


def _vision(case: _Case) -> Iterator[str]:
    vision = case.facts.config.get("vision_config")
    mode = case.request.extra.last("mm_encoder_tp_mode")
    if not isinstance(vision, Mapping) or (mode and mode.values == ("data",)):
        return
    if str(vision.get("model_type", case.facts.model_type)).startswith(_DIVIDES_BY_DUMMY_HEADS):
        return
    heads = _number(vision, "num_attention_heads") or _number(vision, "num_heads")
    if heads and heads % case.size:
        yield f"its vision tower has {heads} heads"


# rule -> what is divided, in vLLM's order
PARTS: dict[str, tuple[str, Part]] = {
    "tensor-parallel-heads": ("attention heads", _heads),
    "tensor-parallel-vocabulary": ("vocabulary", _vocabulary),
    "tensor-parallel-kv-heads": ("KV heads", _kv_heads),
    "tensor-parallel-intermediate": ("intermediate size", _intermediate),
    "tensor-parallel-groups": ("quantization groups", _groups),
    "tensor-parallel-vision": ("vision heads", _vision),
}


def undivided(request: ModelRequest, facts: HubFacts, size: int, rules: tuple[str, ...] = ()) -> Iterator[str]:
    """What can't be divided by `size`, of these rules (none: of all); vLLM's rules, in its order."""
    return _undivided(_Case(request, facts, shape(facts.config), size), rules)


def _undivided(case: _Case, rules: tuple[str, ...] = ()) -> Iterator[str]:
    for rule, (_, part) in PARTS.items():
        if not rules or rule in rules:
            yield from part(case)


def fitting_sizes(request: ModelRequest, facts: HubFacts) -> list[int]:
    """Every tensor_parallel_size that divides the model."""
    case = _Case(request, facts, shape(facts.config), 1)
    return [n for n in range(1, LARGEST_TP + 1) if n == 1 or not any(_undivided(case._replace(size=n)))]


def parallel(request: ModelRequest, facts: HubFacts, rules: tuple[str, ...] = ()) -> Iterator[Finding]:
    """The model can't be divided as asked, by these rules (none: by any)."""
    size = request.tensor_parallel_size
    if size <= 1:
        return  # nothing to divide; less than 1 is another rule's to refuse
    if reasons := " and ".join(undivided(request, facts, size, rules)):
        sizes = ", ".join(map(str, fitting_sizes(request, facts)))
        cure = f"Set tensor_parallel_size to one of {sizes}."
        yield ParallelSizeMismatch(f"{facts.repo_id} can't be divided among {size} GPUs: {reasons}.", cure)


def family_is_divided(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    """A warning for a family whose weights every GPU would hold."""
    since = _BIGCODE_UNDIVIDED_SINCE
    if request.tensor_parallel_size > 1 and facts.model_type == "gpt_bigcode" and request.release >= since:
        yield "vLLM can't divide this family (gpt_bigcode): every GPU would hold most of the weights."


def enough_gpus(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    """As vLLM's "World size (N) is larger than the number of available GPUs"."""
    if request.tensor_parallel_size < 1:
        what = f"tensor_parallel_size is {request.tensor_parallel_size}."
        yield InvalidArgument(what, "Set it to 1 or more.", key="tensor_parallel_size")
        return
    there = max(1, int(request.gpus))
    if request.gpus_needed > there:
        what = (
            f"It is to run on {request.gpus_needed} GPUs (tensor, pipeline and data parallel), but there are {there}."
        )
        cure = f"Give it {request.gpus_needed} GPUs, or lower tensor_parallel_size."
        yield InvalidArgument(what, cure, key="tensor_parallel_size")
    elif there > request.gpus_needed:
        yield f"Of {there} GPUs, {there - request.gpus_needed} would stand idle: raise tensor_parallel_size."


def enough_layers(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    """A stage of the pipeline needs a layer."""
    stages = request.number("pipeline_parallel_size") or 1
    layers = next((n for key in ("num_hidden_layers", "n_layer") if (n := _number(text_config(facts.config), key))), 0)
    if stages > 1 and 0 < layers < stages:
        what = f"pipeline_parallel_size is {stages}, but {facts.repo_id} has {layers} layers."
        yield InvalidArgument(what, f"Set it to {layers} or less.", key="extra_args")


def _number(config: Mapping[str, Any], key: str) -> int | None:
    value = config.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
