"""What a card's compute capability rules out, by release of vLLM.

Sources: get_min_capability of every QuantizationConfig in vllm/model_executor/layers/quantization of vLLM 0.8.5 to
0.32.0 (checked by VllmConfig._get_quantization_config), CudaPlatformBase.check_if_supports_dtype, and what the
attention backends take (supports_compute_capability, TritonAttentionImpl).  AMD cards have no CUDA capability: none
of this is checked for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .errors import InvalidArgument, QuantizationMismatch, ServingError
from .gpus import Gpu
from .hub_facts import HubFacts
from .model_config import text_config
from .model_request import ModelRequest
from .quantization import ONLINE, carried_by, family

Finding = ServingError | str
Release = tuple[int, int]

# method -> least capability, each from a release on; what isn't here needs nothing that a supported card lacks
_LEAST: dict[str, tuple[tuple[Release, int], ...]] = {
    "awq": (((0, 0), 75),),
    "gptq": (((0, 0), 60),),
    "fp8": (((0, 0), 80), ((0, 16), 75)),
    "online": (((0, 0), 80), ((0, 16), 75)),
    "compressed-tensors": (((0, 0), 70),),
    "bitsandbytes": (((0, 0), 70),),
    "gguf": (((0, 0), 60),),
    "marlin": (((0, 0), 80),),
    "hqq": (((0, 0), 80),),
    "fbgemm_fp8": (((0, 0), 80),),
    "fp_quant": (((0, 0), 100),),
    "experts_int8": (((0, 0), 80),),
    "rtn": (((0, 0), 80),),
    "mxfp4": (((0, 0), 80),),
    "modelopt": (((0, 0), 89), ((0, 27), 80)),
    "modelopt_fp4": (((0, 0), 100), ((0, 9), 80), ((0, 16), 75)),
    "modelopt_mxfp8": (((0, 0), 100), ((0, 20), 80)),
    "modelopt_mixed": (((0, 0), 89), ((0, 25), 75)),
    "moe_wna16": (((0, 0), 70),),
    "quark": (((0, 0), 70),),
    "torchao": (((0, 0), 75),),
    "inc": (((0, 0), 60),),
    "humming": (((0, 0), 75),),
}
# Kinds of compressed-tensors weights have minimums of their own (schemes/*.py).
_LEAST_OF_SCHEME: dict[str, tuple[tuple[Release, int], ...]] = {
    "int8": (((0, 0), 75),),
    "fp8": (((0, 0), 80), ((0, 16), 75)),  # on cards without FP8 arithmetic, by weight only
    "packed": (((0, 0), 80), ((0, 16), 75)),
    "nvfp4": (((0, 0), 80), ((0, 16), 75)),
}
_BF16_FROM = 80
_FP8_ARITHMETIC_FROM = 89
_KERNELS_FROM = 70  # what vLLM's own kernels were ever built for since 0.8
_CUDA_13_FROM, _CUDA_13_SINCE = 75, (0, 32)  # capability; the first release known to come with torch for CUDA 13
_FP8_KV_NEEDS_AMPERE_SINCE = (0, 25)  # FlashInfer's floor, with Triton's at 8.9
_FP8_MLA_KV_NEEDS_ADA_SINCE = (0, 27)
_BF16_ONLY = frozenset({"mxfp4", "gpt_oss_mxfp4", "fp_quant", "modelopt_mxfp8"})
_HALVES = frozenset({"awq", "gptq", "fp8", "online", "inc", "modelopt", "modelopt_fp4", "quark", "bitsandbytes"})
_BITS_OF_FP8 = 8
_SINGLE = ("float", "float32")
_HALF = ("float16", "half")


def least_capability(method: str, release: Release) -> int:
    """What vLLM's release asks of a card for this quantization, such as 75; 0 for nothing."""
    return _of_release(_LEAST.get(_group(method), ()), release)


def can_bf16(gpu: Gpu) -> bool:
    """Ampere and later, and AMD's."""
    return gpu.compute is None or gpu.compute >= _BF16_FROM


def ruled_out(gpu: Gpu, release: Release) -> tuple[str, ...]:
    """What this card can't do, in words."""
    if gpu.compute is None:
        return ()
    out = [] if can_bf16(gpu) else ["bfloat16"]
    out += [method for method in ("awq", "gptq", "fp8", "mxfp4") if gpu.compute < least_capability(method, release)]
    if gpu.compute < _BF16_FROM and release >= _FP8_KV_NEEDS_AMPERE_SINCE:
        out.append("fp8 KV cache")
    return tuple(out)


def kernels(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    """The card is older than what vLLM is built for."""
    gpu = request.gpu
    if gpu is None or gpu.compute is None:
        return
    if gpu.compute < _KERNELS_FROM:
        what = f"{gpu.name} has compute capability {gpu.capability_text}, and vLLM is built for 7.0 and later."
        yield InvalidArgument(what, "Use a newer card.", key="gpu")
    elif gpu.compute < _CUDA_13_FROM and request.release >= _CUDA_13_SINCE:
        yield f"vLLM's own images of this release use CUDA 13, which leaves out {gpu.name}: take one built for CUDA 12."


def quantization_capability(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    """As "The quantization method awq is not supported for the current GPU. Minimum capability: 75"."""
    gpu = request.gpu
    carried = facts.quantization
    method = _method(request, facts)
    if gpu is None or gpu.compute is None or method is None:
        return
    least = max(least_capability(method, request.release), _of_scheme(facts, request.release))
    if gpu.compute < least:
        needs = f"{least // 10}.{least % 10}"
        what = f"{method} needs compute capability {needs}, and {gpu.name} has {gpu.capability_text}."
        cure = "Use weights without quantization" if carried else "Leave quantization out"
        if _group(method) != "gptq" and gpu.compute >= least_capability("gptq", request.release):
            cure += ", or GPTQ weights"
        yield QuantizationMismatch(what, f"{cure}; or use a newer card.", key="model" if carried else None)


def dtype_capability(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    """bfloat16 asked of a card that has none; "auto" quietly becomes float16 there."""
    gpu = request.gpu
    if gpu is None or can_bf16(gpu):
        return
    if request.dtype == "bfloat16":
        what = f"bfloat16 needs compute capability 8.0, and {gpu.name} has {gpu.capability_text}."
        yield InvalidArgument(what, "Set dtype to float16, or leave it at auto.", key="dtype")
    elif request.dtype == "auto" and _group(_method(request, facts) or "") in _BF16_ONLY:
        what = f"{_method(request, facts)} weights need bfloat16, which {gpu.name} doesn't have."
        yield InvalidArgument(what, "Use a newer card.", key="gpu")


def quantization_dtype(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    """As "torch.float32 is not supported for quantization method …"; AWQ and GPTQ weights are model_checks'."""
    method = _method(request, facts)
    if method is None or family(method) in ("awq", "gptq"):
        return
    group = _group(method)
    if request.dtype in _SINGLE and (group in _HALVES or group in _BF16_ONLY):
        what = f"dtype is {request.dtype}, but {method} needs float16 or bfloat16."
        yield QuantizationMismatch(what, "Leave dtype at auto.", key="dtype")
    elif request.dtype in _HALF and group in _BF16_ONLY:
        what = f"dtype is {request.dtype}, but {method} needs bfloat16."
        yield QuantizationMismatch(what, "Leave dtype at auto.", key="dtype")


def kv_cache_dtype(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    """A KV cache in 8 bits on a card for which no attention backend of the release takes it."""
    gpu, asked = request.gpu, request.kv_cache_dtype or "auto"
    if gpu is None or gpu.compute is None:
        return
    if asked == "bfloat16" and not can_bf16(gpu):
        what = f"A KV cache in bfloat16 needs compute capability 8.0, and {gpu.name} has {gpu.capability_text}."
        yield InvalidArgument(what, "Leave kv_cache_dtype at auto.", key="kv_cache_dtype")
    elif asked.startswith("fp8") and not takes_fp8_kv(gpu, facts, request.release):
        what = f"No attention backend of vLLM takes an FP8 KV cache on {gpu.name} ({gpu.capability_text})."
        yield InvalidArgument(what, "Leave kv_cache_dtype at auto.", key="kv_cache_dtype")


def takes_fp8_kv(gpu: Gpu, facts: HubFacts, release: Release) -> bool:
    """Whether an FP8 KV cache can be had there.  Latent attention (MLA) has backends of its own."""
    if gpu.compute is None:
        return True
    if text_config(facts.config).get("kv_lora_rank"):
        return release < _FP8_MLA_KV_NEEDS_ADA_SINCE or gpu.compute >= _FP8_ARITHMETIC_FROM
    return release < _FP8_KV_NEEDS_AMPERE_SINCE or gpu.compute >= _BF16_FROM


def _method(request: ModelRequest, facts: HubFacts) -> str | None:
    carried = facts.quantization
    if carried is not None and carried.method == "modelopt":  # vLLM tells its kinds apart by what else they say
        algorithm = str((carried_by(facts.config) or {}).get("quant_algo", "")).lower()
        return {"nvfp4": "modelopt_fp4", "mxfp8": "modelopt_mxfp8", "mixed_precision": "modelopt_mixed"}.get(
            algorithm, "modelopt"
        )
    return carried.method if carried else request.quantization


def _group(method: str) -> str:
    """The row of a method: those that are the same to vLLM share one."""
    if method in _LEAST:
        return method
    return "online" if method in ONLINE else family(method)


def _of_scheme(facts: HubFacts, release: Release) -> int:
    """The minimum of compressed-tensors' own schemes; 0 for other methods, and where it can't be told."""
    carried = facts.quantization
    if carried is None or carried.method != "compressed-tensors":
        return 0
    groups = (carried_by(facts.config) or {}).get("config_groups")
    kinds = [_kind(group) for group in groups.values()] if isinstance(groups, Mapping) else []
    return max((_of_release(_LEAST_OF_SCHEME.get(kind, ()), release) for kind in kinds), default=0)


def _kind(group: Any) -> str:
    if not isinstance(group, Mapping):
        return ""
    weights, inputs = group.get("weights") or {}, group.get("input_activations")
    bits, kind = weights.get("num_bits"), weights.get("type")
    if kind == "float":
        return "fp8" if bits == _BITS_OF_FP8 else "nvfp4"
    return "int8" if inputs else "packed"


def _of_release(steps: tuple[tuple[Release, int], ...], release: Release) -> int:
    return next((least for since, least in reversed(steps) if release >= since), 0)
