"""What vLLM makes of a request on a card, its own defaults filled in.

Sources: `EngineArgs.get_batch_defaults` and `_set_default_max_num_seqs_and_batched_tokens_args` (engine/arg_utils.py),
`_resolve_auto_dtype` and `_find_dtype` (config/model.py), `resolve_kv_cache_dtype_string` (utils/torch_utils.py),
`update_block_size_for_backend` (platforms/interface.py) of vLLM 0.32.0; earlier releases as in vllm_eras.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .command import max_model_len_tokens
from .errors import InvalidArgument
from .gpus import Gpu
from .hub_facts import HubFacts
from .model_config import derived_max_model_len, is_multimodal, sizes, text_config
from .model_request import ModelRequest
from .vllm_eras import (
    A100_IS_SMALL,
    BATCH_WITHIN_LENGTH,
    CARRIED_FP8_KV,
    FP32_BY_CARD,
    HUGE_CARDS,
    PREFERRED_BLOCKS,
    SEQS_WITHIN_TOKENS,
    UTILIZATION_92,
    V0_GONE,
    V2_ALL,
    V2_DENSE,
    V2_FAMILIES,
    V2_FIRST_FAMILIES,
    V2_FIRST_FAMILY,
    V2_LISTED,
    V2_QWEN3,
    V2_SOME,
)

DTYPE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
_DTYPE_NAMES = {"half": "float16", "float": "float32"}
_NOT_IN_HALF = frozenset({"gemma2", "gemma3", "gemma3_text", "glm4", "plamo2"})
_LENGTH_UNKNOWN = 2048  # what vLLM assumes where config.json has no length
_BF16_SINCE = (8, 0)
_BATCH_OF_SMALL, _BATCH_OF_LARGE, _BATCH_OF_HUGE = (2048, 256), (8192, 1024), (16384, 1024)
_LARGE_CARD, _HUGE_CARD = 70, 160  # GiB
_V0_TOKENS, _V0_UNCUT = 2048, 32768
_BLACKWELL, _HOPPER = 10, 9  # major compute capabilities
_BYTE = 8  # bits
_RECURRENT_KEYS = ("mamba_d_state", "ssm_state_size", "linear_num_value_heads", "conv_L_cache", "linear_attn_config")
_MLA_NOT_USED = frozenset({"minicpm3"})  # has a latent projection, but caches keys and values


@dataclass(frozen=True)
class Engine:
    """One vLLM engine; sizes in tokens, sequences and bytes.

    quantization   of the weights: what the checkpoint carries, or what is asked for; None: none
    max_model_len  as given, or the model's own; `auto_len`: it is the most that fits
    block_size     tokens a block of plain attention, before hybrid models enlarge it
    v0_engine      True where a release with two engines takes the old one
    v2_runner      True where the new model runner runs: its sampler copies no logits
    """

    release: tuple[int, int]
    gpu: Gpu
    tensor_parallel_size: int
    pipeline_parallel_size: int
    data_parallel_size: int
    dtype: str
    dtype_bytes: int
    quantization: str | None
    kv_cache_dtype: str
    kv_dtype_bytes: float
    max_model_len: int
    auto_len: bool
    max_num_seqs: int
    max_num_batched_tokens: int
    gpu_memory_utilization: float
    enforce_eager: bool
    block_size: int
    sliding_window_off: bool
    hybrid_groups_off: bool
    prefix_caching: bool | None
    v2_runner: bool
    multimodal: bool
    v0_engine: bool = False
    speculative_tokens: int = 0
    kv_cache_memory_bytes: int | None = None
    expert_parallel: bool = False

    @property
    def capability(self) -> tuple[int, int]:
        """CUDA's; an MI300X counts as an H100."""
        return self.gpu.capability or (9, 0)


def engine_of(request: ModelRequest, facts: HubFacts) -> Engine:
    """The engine that vLLM builds.  Raises InvalidArgument without a GPU, or for a length that is none."""
    gpu = request.gpu
    if gpu is None:
        raise InvalidArgument("No GPU is named.", "Say which card it runs on.", key="gpu")
    config, release = facts.config, request.release
    dtype = resolved_dtype(config, request.dtype, gpu, release)
    quantization = _quantization(request, facts)
    kv_dtype = _kv_cache_dtype(request, config, release)
    window_off = request.extra.is_set("disable_sliding_window")
    length, auto = _length(request, config, window_off)
    v0_engine = _v0_engine(gpu, release, dtype, kv_dtype)
    tokens, seqs = _v0_batch(request, length) if v0_engine else _batch(request, gpu, release, length)
    return Engine(
        release=release,
        gpu=gpu,
        tensor_parallel_size=max(1, request.tensor_parallel_size),
        pipeline_parallel_size=max(1, request.number("pipeline_parallel_size") or 1),
        data_parallel_size=max(1, request.number("data_parallel_size") or 1),
        dtype=dtype,
        dtype_bytes=DTYPE_BYTES[dtype],
        quantization=quantization,
        kv_cache_dtype=kv_dtype,
        kv_dtype_bytes=kv_bytes(kv_dtype, dtype),
        max_model_len=length,
        auto_len=auto,
        max_num_seqs=seqs,
        max_num_batched_tokens=tokens,
        gpu_memory_utilization=request.gpu_memory_utilization or (0.92 if release >= UTILIZATION_92 else 0.9),
        enforce_eager=request.is_eager,
        block_size=request.number("block_size") or default_block_size(config, gpu, release),
        sliding_window_off=window_off,
        hybrid_groups_off=v0_engine or request.extra.is_set("disable_hybrid_kv_cache_manager"),
        prefix_caching=_switch(request, "enable_prefix_caching"),
        v2_runner=_v2_runner(config, release, quantization),
        multimodal=is_multimodal(config) and not _text_only(request),
        v0_engine=v0_engine,
        speculative_tokens=_speculative_tokens(request),
        kv_cache_memory_bytes=request.number("kv_cache_memory_bytes"),
        expert_parallel=request.extra.is_set("enable_expert_parallel"),
    )


def resolved_dtype(config: Mapping[str, Any], asked: str, gpu: Gpu, release: tuple[int, int]) -> str:
    """The dtype of weights and activations: as asked, else the checkpoint's where the card has it.

    A float32 checkpoint becomes the first half type that the card has (float16 before 0.9).
    """
    asked = _DTYPE_NAMES.get(asked, asked)
    if asked in DTYPE_BYTES:
        return asked
    kind = str(config.get("model_type"))
    has_bf16 = gpu.capability is None or gpu.capability >= _BF16_SINCE
    had = ("bfloat16", "float16", "float32") if has_bf16 else ("float16", "float32")
    fitting = [name for name in had if name != "float16" or kind not in _NOT_IN_HALF]
    carried = _carried_dtype(config)
    if carried == "float32":
        carried = fitting[0] if release >= FP32_BY_CARD or kind in _NOT_IN_HALF else "float16"
    return carried if carried in fitting else fitting[0]


def _carried_dtype(config: Mapping[str, Any]) -> str:
    places = (text_config(config), config, config.get("vision_config") or {})
    named = (place.get(key) for place in places for key in ("dtype", "torch_dtype"))
    name = next((value for value in named if isinstance(value, str)), "float32").removeprefix("torch.")
    return name if name in DTYPE_BYTES else "float32"


def kv_bytes(kv_dtype: str, dtype: str) -> float:
    """Bytes of one number in the KV cache, without scales."""
    if kv_dtype == "auto":
        return DTYPE_BYTES[dtype]
    if kv_dtype.startswith(("nvfp4", "int4", "turboquant_4bit", "ultraquant")):
        return 0.5
    return DTYPE_BYTES.get(kv_dtype, 1)


def uses_mla(config: Mapping[str, Any]) -> bool:
    """True where a latent vector is cached instead of keys and values (vLLM's `is_deepseek_mla`)."""
    text = text_config(config)
    return bool(text.get("kv_lora_rank")) and text.get("model_type") not in _MLA_NOT_USED


def default_block_size(config: Mapping[str, Any], gpu: Gpu, release: tuple[int, int]) -> int:
    """Tokens a block: 16, except for backends of latent attention that take larger ones only."""
    if not uses_mla(config):
        return 16
    major = (gpu.capability or (0, 0))[0]
    if text_config(config).get("index_topk"):  # sparse attention has kernels for 64 tokens
        return 64
    if major == _BLACKWELL:
        return 32 if release >= PREFERRED_BLOCKS else 128
    return 64 if major == _HOPPER and (0, 9) <= release < PREFERRED_BLOCKS else 16


def batch_defaults(gpu: Gpu, release: tuple[int, int]) -> tuple[int, int]:
    """(max_num_batched_tokens, max_num_seqs) of the OpenAI server on this card.

    vLLM goes by the card's memory and by "A100" in its name.  A card given by numbers has no name: from 70 GiB on
    with capability 8.0 it is taken for an A100.
    """
    gib = gpu.visible_gib
    a100 = release >= A100_IS_SMALL and ("a100" in gpu.name.lower() or gpu.is_by_numbers)
    if gib >= _HUGE_CARD and release >= HUGE_CARDS:
        return _BATCH_OF_HUGE
    return _BATCH_OF_LARGE if gib >= _LARGE_CARD and not a100 else _BATCH_OF_SMALL


def _batch(request: ModelRequest, gpu: Gpu, release: tuple[int, int], length: int) -> tuple[int, int]:
    tokens, seqs = batch_defaults(gpu, release)
    seqs = request.seqs or seqs
    if request.batched_tokens:
        tokens = request.batched_tokens
    else:
        if _switch(request, "enable_chunked_prefill") is False:
            tokens = max(tokens, length)
        if release >= BATCH_WITHIN_LENGTH:
            tokens = min(tokens, seqs * length)
    if not request.seqs and release >= SEQS_WITHIN_TOKENS:
        seqs = min(seqs, tokens)
    return tokens, seqs


def _v0_engine(gpu: Gpu, release: tuple[int, int], dtype: str, kv_dtype: str) -> bool:
    """`EngineArgs._is_v1_supported_oracle` of 0.8 and 0.9, as far as a card and the dtypes decide it."""
    if release >= V0_GONE or gpu.capability is None:
        return False
    fp8_kv = kv_dtype.startswith("fp8") and gpu.capability != (_HOPPER, 0)
    return gpu.capability < _BF16_SINCE or fp8_kv or dtype == "float32"


def _v0_batch(request: ModelRequest, length: int) -> tuple[int, int]:
    """The old engine takes a prompt whole, up to 32768 tokens, longer ones in parts (`_set_default_args_v0`)."""
    tokens = _V0_TOKENS if length > _V0_UNCUT else max(length, _V0_TOKENS)
    return request.batched_tokens or tokens, request.seqs or _BATCH_OF_SMALL[1]


def _length(request: ModelRequest, config: Mapping[str, Any], window_off: bool) -> tuple[int, bool]:
    asked = request.max_model_len
    tokens = max_model_len_tokens(asked)
    if tokens is not None:
        return tokens, False
    own = derived_max_model_len(config, disable_sliding_window=window_off)
    return (own.tokens if own else _LENGTH_UNKNOWN), asked is not None


def _kv_cache_dtype(request: ModelRequest, config: Mapping[str, Any], release: tuple[int, int]) -> str:
    asked = request.kv_cache_dtype or "auto"
    carried = config.get("quantization_config")
    if asked != "auto" or release < CARRIED_FP8_KV or not isinstance(carried, Mapping):
        return asked
    return "fp8" if _carries_fp8_kv(carried) else "auto"


def _carries_fp8_kv(carried: Mapping[str, Any]) -> bool:
    inner = carried.get("quantization")
    places = (inner if isinstance(inner, Mapping) else {}, carried)
    named = (place.get(key) for place in places for key in ("kv_cache_scheme", "kv_cache_quant_algo"))
    scheme = next((value for value in named if value), None)
    if isinstance(scheme, Mapping):
        return scheme.get("num_bits") == _BYTE and scheme.get("type") == "float"
    return str(scheme).lower().startswith("fp8")


def _quantization(request: ModelRequest, facts: HubFacts) -> str | None:
    carried = facts.quantization
    asked = request.quantization
    return carried.method if carried and carried.in_config else asked or (carried.method if carried else None)


def _v2_runner(config: Mapping[str, Any], release: tuple[int, int], quantization: str | None) -> bool:
    """`VllmConfig.use_v2_model_runner`, as far as a config tells."""
    family = next(iter(config.get("architectures") or ()), "")
    found = sizes(config)
    moe = bool(found and found.experts)
    if release >= V2_ALL:
        return True
    if release >= V2_DENSE:
        text = text_config(config)
        hybrid = any(
            key in text for key in ("mamba_d_state", "ssm_state_size", "linear_num_value_heads", "conv_L_cache")
        )
        return family in V2_FAMILIES or not (moe or hybrid)
    if release >= V2_LISTED:
        return family in V2_FAMILIES
    first = V2_FIRST_FAMILIES if release >= V2_SOME else {V2_FIRST_FAMILY}
    return release >= V2_QWEN3 and family in first and not moe and quantization is None


def _text_only(request: ModelRequest) -> bool:
    """True where flags keep the encoders out of the profile run."""
    if request.extra.is_set("language_model_only") or request.extra.is_set("skip_mm_profiling"):
        return True
    limits = request.extra.last("limit_mm_per_prompt")
    try:
        asked = json.loads(limits.values[0]) if limits else {}
    except (ValueError, LookupError):
        return False
    return isinstance(asked, dict) and bool(asked) and not any(asked.values())


def _speculative_tokens(request: ModelRequest) -> int:
    """Tokens that a draft proposes at once; 1 where speculative_config doesn't say how many."""
    argument = request.extra.last("speculative_config")
    if argument is None:
        return 0
    try:
        asked = json.loads(argument.values[0])
        return max(1, int(asked["num_speculative_tokens"]))
    except (ValueError, LookupError, TypeError):
        return 1


def _switch(request: ModelRequest, dest: str) -> bool | None:
    return request.extra.is_set(dest) if request.extra.last(dest) else None
