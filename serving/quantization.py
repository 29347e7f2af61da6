"""Quantization methods: their names in vLLM, which of them are the same, and which a checkpoint has to carry.

Source of the names: QUANTIZATION_METHODS of vLLM 0.32.0 and of earlier releases.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import InvalidArgument
from .flags import table
from .values import did_you_mean, shown
from .versions import minor

AWQ = frozenset({"awq", "auto_awq", "awq_marlin"})
GPTQ = frozenset({"gptq", "auto_gptq", "gptq_marlin", "gptq_marlin_24", "gptq_bitblas"})

# Done while loading: the checkpoint needs nothing of it.
ONLINE = frozenset(
    {"fp8", "fp8_per_tensor", "fp8_per_block", "fp8_per_channel", "int8_per_channel_weight_only"}
    | {"mxfp8", "experts_int8", "online", "bitsandbytes", "ptpc_fp8", "rtn"}
)

DEPRECATED = frozenset({"fbgemm_fp8", "fp_quant"})

# method -> the last release with it in the core, the package that brings it back
PLUGINS: dict[str, tuple[str, str]] = {
    "bitsandbytes": ("0.27", "vllm-bnb-plugin"),
    "gguf": ("0.23", "vllm-gguf-plugin"),
}

METHODS = (
    *("awq", "auto_awq", "awq_marlin", "gptq", "auto_gptq", "gptq_marlin"),
    *("fp8", "fp8_per_tensor", "fp8_per_block", "fp8_per_channel", "int8_per_channel_weight_only"),
    *("mxfp8", "mxfp4", "gpt_oss_mxfp4", "nvfp4_per_token"),
    *(
        "modelopt",
        "modelopt_fp4",
        "modelopt_mxfp8",
        "modelopt_mixed",
        "compressed-tensors",
        "quark",
        "torchao",
    ),
    *("inc", "humming", "moe_wna16", "experts_int8", "fbgemm_fp8", "fp_quant", "deepseek_v4_fp8", "online"),
)

# Names that releases before the table's have had.
FORMER_METHODS = (
    *(
        "aqlm",
        "auto-round",
        "bitblas",
        "deepgemm_fp8",
        "deepspeedfp",
        "gptq_bitblas",
        "gptq_marlin_24",
        "hqq",
        "ipex",
    ),
    *("marlin", "neuron_quant", "petit_nvfp4", "ptpc_fp8", "qqq", "rtn", "squeezellm", "tpu_int8"),
)

# Methods that read the same checkpoints, by the name that the checkpoint says.
_FAMILIES: tuple[tuple[str, frozenset[str]], ...] = (
    ("awq", AWQ),
    ("gptq", GPTQ),
    ("modelopt", frozenset({"modelopt", "modelopt_fp4", "modelopt_mxfp8", "modelopt_mixed"})),
    ("mxfp4", frozenset({"mxfp4", "gpt_oss_mxfp4"})),
    ("inc", frozenset({"inc", "auto-round", "intel/auto-round"})),
)
# Families that never read each other's checkpoints; of others we can't be sure.
_APART = frozenset({"awq", "gptq", "fp8", "compressed-tensors", "bitsandbytes", "gguf"})
# Refused on a checkpoint that says nothing of quantization; of methods in neither list we can't be sure.
_NEEDS_CHECKPOINT = (
    AWQ
    | GPTQ
    | {"compressed-tensors", "fbgemm_fp8", "modelopt", "modelopt_fp4", "modelopt_mxfp8", "moe_wna16", "quark"}
)


def family(method: str) -> str:
    """One name for all methods that read the same checkpoints."""
    return next((name for name, members in _FAMILIES if method in members), method)


def reads(asked: str, carried: str) -> bool | None:
    """Whether `--quantization asked` loads a checkpoint that carries `carried`; None when we can't tell."""
    if family(asked) == family(carried):
        return True
    if family(asked) in _APART and family(carried) in _APART:
        return False
    return None


def needs_checkpoint(method: str) -> bool | None:
    """Whether the weights must have been quantized with this method beforehand; None when we can't tell."""
    if method in ONLINE:
        return False
    return True if method in _NEEDS_CHECKPOINT else None


def carried_by(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The quantization settings in a config.json, wherever vLLM looks for them; None for none."""
    places = (config, config.get("text_config") or {})
    found = next((place.get("quantization_config") for place in places if place.get("quantization_config")), None)
    found = found or config.get("compression_config")
    return found if isinstance(found, Mapping) else None


def method_problem(method: str, version: str | None, *, deprecated_allowed: bool) -> InvalidArgument | None:
    """What is wrong with `--quantization method` for vLLM `version` (None: not known)."""
    of_table = table().release(version) == table().minor
    if method in PLUGINS:
        return _plugin_problem(method, version)
    if method in DEPRECATED and of_table and not deprecated_allowed:
        what = f"The quantization {method} is deprecated, and vLLM refuses it as such."
        cure = "Use another one, or add --allow-deprecated-quantization to extra_args."
        return InvalidArgument(what, cure, key="quantization")
    if method in METHODS or (table().release(version) < table().minor and method in FORMER_METHODS):
        return None
    names = sorted(METHODS if of_table else {*METHODS, *FORMER_METHODS})
    if method in FORMER_METHODS:
        what = f"The quantization {method} is gone from vLLM {version or table().version}."
        return InvalidArgument(what, "Use a checkpoint of another kind, such as awq, gptq or fp8.", key="quantization")
    what = f"{shown(method)} is no quantization that vLLM has."
    cure = did_you_mean(method, names) or "Well known are awq, gptq and fp8."
    return InvalidArgument(what, cure, key="quantization")


def _plugin_problem(method: str, version: str | None) -> InvalidArgument | None:
    """An image whose version nobody knows may hold the plugin; vLLM's own images don't."""
    last, package = PLUGINS[method]
    if version is None or minor(version) <= minor(last):
        return None
    what = f"The quantization {method} isn't in vLLM {version}: {last} was the last with it."
    cure = f"Use fp8, or awq or gptq weights, or an image with vLLM {last}, or your own with {package}."
    return InvalidArgument(what, cure, key="quantization")
