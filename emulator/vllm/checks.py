"""What vLLM refuses once it has read config.json, in the order and the words of the real program.

CONFIG_CHECKS run in the API server before an engine exists; BUILD_CHECKS in the engine, at model build.
A check is a predicate that says "wrong" and the text to refuse with, filled in from the Start.
"""

import argparse
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from emulator.hub.tensors import Dims, dims
from emulator.vllm.journal import ENGINE, Refusal, config_refusal
from emulator.vllm.memory import Card

AWQ = ("awq", "auto_awq", "awq_marlin")
GPTQ = ("gptq", "auto_gptq", "gptq_marlin")
DEPRECATED = ("fbgemm_fp8", "fp_quant")
# Quantized while loading: these need nothing in the checkpoint.
ONLINE = (
    "fp8",
    "fp8_per_tensor",
    "fp8_per_block",
    "fp8_per_channel",
    "int8_per_channel_weight_only",
    "mxfp8",
    "experts_int8",
    "online",
)
METHODS = (
    *("awq", "auto_awq", "awq_marlin", "gptq", "auto_gptq", "gptq_marlin"),
    *ONLINE,
    *(
        "mxfp4",
        "gpt_oss_mxfp4",
        "nvfp4_per_token",
        "modelopt",
        "modelopt_fp4",
        "modelopt_mxfp8",
        "modelopt_mixed",
    ),
    *("compressed-tensors", "quark", "torchao", "inc", "humming", "moe_wna16", "deepseek_v4_fp8"),
    *DEPRECATED,
)
ARCHITECTURES = (
    *("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM"),
    *("GPT2LMHeadModel", "GPTBigCodeForCausalLM"),
)
_MIN_CAPABILITY = {"auto_awq": 75, "fp8": 75, "auto_gptq": 60}
_OWN_LENGTH = (
    "su",
    "longrope",
    "llama3",
    "mrope",
    "default",
)  # rope types whose length is in the config already
_VOCAB_PAD = 64


class Start(NamedTuple):
    """What the checks look at. `method`: the resolved quantization, "" for none."""

    args: argparse.Namespace
    config: dict[str, Any]
    card: Card
    size: Dims
    method: str

    @property
    def quantization(self) -> dict[str, Any]:
        return self.config.get("quantization_config") or {}

    @property
    def stored_method(self) -> str:
        return str(self.quantization.get("quant_method", ""))

    @property
    def derived(self) -> float:
        """The length that the config allows, rope scaling counted."""
        scaling = self.config.get("rope_scaling") or {}
        if scaling.get("rope_type", scaling.get("type", "default")) in _OWN_LENGTH:
            return float(self.size.positions)
        length = scaling.get("original_max_position_embeddings", self.size.positions)
        return float(length * scaling.get("factor", 1))

    @property
    def max_model_len(self) -> int:
        """The length asked for, or the derived one; -1: as long as memory allows."""
        asked: int | None = self.args.max_model_len
        return int(self.derived) if asked is None else asked

    @property
    def world(self) -> int:
        return int(self.args.tensor_parallel_size * self.args.pipeline_parallel_size)

    @property
    def minimum(self) -> int:
        """The lowest compute capability the method runs on."""
        return _MIN_CAPABILITY.get(self.method, 0)

    @property
    def padded_vocab(self) -> int:
        return -(-self.size.vocab // _VOCAB_PAD) * _VOCAB_PAD


class Check(NamedTuple):
    """`kind`: the config class whose validation fails, or the exception of the engine."""

    kind: str
    wrong: Callable[[Start], bool]
    text: str


def canonical(method: str) -> str:
    """The name all spellings of a method resolve to."""
    return "auto_awq" if method in AWQ else "auto_gptq" if method in GPTQ else method


def start_of(args: argparse.Namespace, config: dict[str, Any], card: Card) -> Start:
    """Refusal when the architecture is one the stand-in has no sizes for (vLLM: none it supports)."""
    names = config.get("architectures") or []
    if not set(names) & set(ARCHITECTURES):
        text = f"Model architectures {names} are not supported for now. Supported architectures: {ARCHITECTURES}"
        raise config_refusal("ModelConfig", text)
    method = args.quantization or (config.get("quantization_config") or {}).get("quant_method") or ""
    return Start(args, config, card, dims(config), canonical(method))


def _too_long(s: Start) -> bool:
    return s.max_model_len > s.derived and os.environ.get("VLLM_ALLOW_LONG_MAX_MODEL_LEN") != "1"


def _mismatch(s: Start) -> bool:
    asked = s.args.quantization
    return bool(s.stored_method and asked) and canonical(s.stored_method) != canonical(asked)


def _activation_order(s: Start) -> bool:
    stored = s.quantization
    return s.method == "auto_gptq" and bool(stored.get("desc_act")) and stored.get("group_size") != -1


def _kv_heads(s: Start) -> bool:
    ranks = s.args.tensor_parallel_size
    return bool(s.size.kv_heads % ranks and ranks % s.size.kv_heads)


def _unaligned(s: Start) -> bool:
    group, ranks = s.quantization.get("group_size", -1), s.args.tensor_parallel_size
    parts = (s.size.intermediate // ranks, s.size.heads * s.size.head_dim // ranks)
    return s.method == "auto_awq" and group > 0 and any(part % group for part in parts)


# flag, config class, a value is wrong when, pydantic's words, pydantic's type
_AT_LEAST_1: tuple[Callable[[float], bool], str, str] = (
    lambda value: value < 1,
    "greater than or equal to 1",
    "greater_than_equal",
)
_RANGES: tuple[tuple[str, str, Callable[[float], bool], str, str], ...] = (
    ("gpu_memory_utilization", "CacheConfig", lambda v: v > 1, "less than or equal to 1", "less_than_equal"),
    ("gpu_memory_utilization", "CacheConfig", lambda v: v <= 0, "greater than 0", "greater_than"),
    ("tensor_parallel_size", "ParallelConfig", *_AT_LEAST_1),
    ("pipeline_parallel_size", "ParallelConfig", *_AT_LEAST_1),
    ("max_num_seqs", "SchedulerConfig", *_AT_LEAST_1),
    ("max_num_batched_tokens", "SchedulerConfig", *_AT_LEAST_1),
)

CONFIG_CHECKS = (
    Check(
        "ModelConfig",
        _too_long,
        "User-specified max_model_len ({s.max_model_len}) is greater than the derived max_model_len "
        "(max_position_embeddings={s.derived} or model_max_length=None in model's config.json). To allow "
        "overriding this maximum, set the env var VLLM_ALLOW_LONG_MAX_MODEL_LEN=1. "
        "VLLM_ALLOW_LONG_MAX_MODEL_LEN must be used with extreme caution. If the model uses relative "
        "position encoding (RoPE), positions exceeding derived_max_model_len lead to nan. If the model uses "
        "absolute position encoding, positions exceeding derived_max_model_len will cause a CUDA array "
        "out-of-bounds error.",
    ),
    Check(
        "ModelConfig",
        lambda s: bool(s.method) and s.method not in METHODS,
        "Unknown quantization method: {s.method}. Must be one of {methods}.",
    ),
    Check(
        "ModelConfig",
        _mismatch,
        "Quantization method specified in the model config ({s.stored_method}) does not match the "
        "quantization method specified in the `quantization` argument ({s.args.quantization}).",
    ),
    Check(
        "ModelConfig",
        lambda s: s.method in DEPRECATED and not s.args.allow_deprecated_quantization,
        "The quantization method '{s.method}' is deprecated and will be removed in future versions of vLLM. "
        "To bypass, set `--allow-deprecated-quantization`.",
    ),
    Check(
        "ParallelConfig",
        lambda s: s.card.gpus is not None and s.world > s.card.gpus,
        "World size ({s.world}) is larger than the number of available GPUs ({s.card.gpus}) in this node. If "
        "this is intentional and you are using:\n- ray, set '--distributed-executor-backend ray'.\n"
        "- multiprocessing, set '--nnodes' appropriately.",
    ),
    Check(
        "SchedulerConfig",
        lambda s: s.args.max_num_batched_tokens < s.args.max_num_seqs,
        "max_num_batched_tokens ({s.args.max_num_batched_tokens}) must be greater than or equal to "
        "max_num_seqs ({s.args.max_num_seqs}).",
    ),
    Check(
        "VllmConfig",
        lambda s: s.size.heads % s.args.tensor_parallel_size != 0,
        "Total number of attention heads ({s.size.heads}) must be divisible by tensor parallel size "
        "({s.args.tensor_parallel_size}).",
    ),
    Check(
        "VllmConfig",
        lambda s: bool(s.method) and s.method not in ONLINE and not s.quantization,
        "Cannot find the config file for {s.args.quantization}",
    ),
    Check(
        "VllmConfig",
        lambda s: s.card.capability < s.minimum,
        "The quantization method {s.method} is not supported for the current GPU. "
        "Minimum capability: {s.minimum}. Current capability: {s.card.capability}.",
    ),
    Check(
        "VllmConfig",
        lambda s: s.method in ("auto_awq", "auto_gptq") and s.args.dtype in ("float", "float32"),
        "torch.float32 is not supported for quantization method {s.method}. "
        "Supported dtypes: [torch.float16, torch.bfloat16]",
    ),
    Check(
        "VllmConfig",
        _activation_order,
        "GPTQ group activation ordering (desc_act=True) is no longer supported. "
        "Use a checkpoint with static activation ordering or desc_act=False.",
    ),
)

BUILD_CHECKS = (
    Check(
        "AssertionError",
        lambda s: s.padded_vocab % s.args.tensor_parallel_size != 0,
        "{s.padded_vocab} is not divisible by {s.args.tensor_parallel_size}",
    ),
    Check("AssertionError", lambda s: s.size.intermediate % s.args.tensor_parallel_size != 0, ""),
    Check("AssertionError", _kv_heads, ""),
    Check(
        "ValueError",
        _unaligned,
        "The input size is not aligned with the quantized weight shape. "
        "This can be caused by too large tensor parallel size.",
    ),
)


def check_config(start: Start) -> None:
    """Refusal of the first rule broken: what the API server finds before it starts an engine."""
    for flag, config_class, wrong, words, type_ in _RANGES:
        if wrong(getattr(start.args, flag)):
            raise config_refusal(config_class, f"Input should be {words}", field=flag, type_=type_)
    for check in CONFIG_CHECKS:
        if check.wrong(start):
            raise config_refusal(check.kind, check.text.format(s=start, methods=sorted(METHODS)))


def check_build(start: Start) -> None:
    """Refusal of the engine: sizes that cannot be divided among the ranks."""
    for check in BUILD_CHECKS:
        if check.wrong(start):
            raise Refusal(check.kind, check.text.format(s=start), source=ENGINE)
