"""Bytes of the state that a recurrent layer (Mamba, linear attention, short convolution) keeps for a sequence.

Source: `MambaStateShapeCalculator` and `MambaStateDtypeCalculator` (model_executor/layers/mamba/mamba_utils.py) and
`get_mamba_state_shape_from_config` of the models that use them, vLLM 0.32.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .engine import DTYPE_BYTES, Engine

_SINGLE = 4  # bytes of a float32
Config = Mapping[str, Any]


def state_bytes(text: Config, engine: Engine) -> int | None:
    """Bytes of one layer's state of one sequence on one rank; None for a kind that isn't known.

    `text`: the config of the language model.
    """
    for keys, formula in _FORMULAS:
        if all(text.get(key) is not None for key in keys):
            return formula(text, engine)
    return None


def _recurrent_bytes(text: Config, engine: Engine) -> int:
    """Of one number of the recurrent part: the model's dtype, unless its config names another."""
    named = text.get("mamba_ssm_cache_dtype") or text.get("mamba_ssm_dtype")
    if named is None and text.get("model_type") == "nemotron_h":
        named = "float32"
    return DTYPE_BYTES.get(str(named), engine.dtype_bytes)


def _mamba1(inner: int, state: int, kernel: int, text: Config, engine: Engine) -> int:
    inner //= engine.tensor_parallel_size
    return inner * ((kernel - 1) * engine.dtype_bytes + state * _recurrent_bytes(text, engine))


def _mamba2(sizes: tuple[int, int, int, int, int, int], text: Config, engine: Engine) -> int:
    """`sizes`: inner size, groups, heads, head size, state size, convolution's length."""
    inner, groups, heads, head, state, kernel = sizes
    ranks = engine.tensor_parallel_size
    if groups % ranks:
        groups += ranks - groups  # each rank has the groups of its heads
    convolved = (inner + 2 * groups * state) // ranks
    recurrent = heads // ranks * head * state
    kept = kernel - 1 + engine.speculative_tokens
    return convolved * kept * engine.dtype_bytes + recurrent * _recurrent_bytes(text, engine)


def _jamba(text: Config, engine: Engine) -> int:
    inner = text["mamba_expand"] * text["hidden_size"]
    return _mamba1(inner, text["mamba_d_state"], text["mamba_d_conv"], text, engine)


def _mamba(text: Config, engine: Engine) -> int:
    inner = text.get("intermediate_size") or text.get("expand", 2) * text["hidden_size"]
    return _mamba1(inner, text["state_size"], text["conv_kernel"], text, engine)


def _pure_mamba2(text: Config, engine: Engine) -> int:
    inner = text.get("expand", 2) * text["hidden_size"]
    heads = (text.get("n_groups") or 1, text["num_heads"], text["head_dim"])
    return _mamba2((inner, *heads, text["state_size"], text["conv_kernel"]), text, engine)


def _granite(text: Config, engine: Engine) -> int:
    inner = text.get("mamba_d_ssm") or int(text["mamba_expand"] * text["hidden_size"])
    heads = (text.get("mamba_n_groups") or 1, text["mamba_n_heads"], _head(text, inner))
    return _mamba2((inner, *heads, text["mamba_d_state"], text["mamba_d_conv"]), text, engine)


def _head(text: Config, inner: int) -> int:
    size = text.get("mamba_d_head")
    return size if isinstance(size, int) else int(inner // text["mamba_n_heads"])


def _zamba(text: Config, engine: Engine) -> int:
    inner = text["mamba_expand"] * text["hidden_size"]
    heads = (text["mamba_ngroups"], text["n_mamba_heads"], text["mamba_headdim"])
    return _mamba2((inner, *heads, text["mamba_d_state"], text["mamba_d_conv"]), text, engine)


def _nemotron(text: Config, engine: Engine) -> int:
    inner = text["mamba_num_heads"] * text["mamba_head_dim"]
    heads = (text["n_groups"], text["mamba_num_heads"], text["mamba_head_dim"])
    return _mamba2((inner, *heads, text["ssm_state_size"], text["conv_kernel"]), text, engine)


def _gated_delta(text: Config, engine: Engine) -> int:
    keys = text["linear_num_key_heads"] * text["linear_key_head_dim"]
    values = text["linear_num_value_heads"] * text["linear_value_head_dim"]
    ranks = engine.tensor_parallel_size
    kept = text["linear_conv_kernel_dim"] - 1 + engine.speculative_tokens
    convolved = (2 * keys + values) // ranks * kept
    recurrent = values // ranks * text["linear_key_head_dim"]
    return int(convolved * engine.dtype_bytes + recurrent * _recurrent_bytes(text, engine))


def _kimi(text: Config, engine: Engine) -> int:
    linear = text["linear_attn_config"]
    ranks, size = engine.tensor_parallel_size, linear["num_heads"] * linear["head_dim"]
    kept = linear.get("short_conv_kernel_size", 4) - 1 + engine.speculative_tokens
    convolved = 3 * size // ranks * kept
    return int(convolved * engine.dtype_bytes + size // ranks * linear["head_dim"] * _SINGLE)


def _short_convolution(text: Config, engine: Engine) -> int:
    inner = text.get("conv_dim") or text["hidden_size"]
    return int(inner // engine.tensor_parallel_size * (text["conv_L_cache"] - 1) * engine.dtype_bytes)


def _lightning(text: Config, engine: Engine) -> int:
    size = text.get("head_dim") or text["hidden_size"] // text["num_attention_heads"]
    return int(text["num_attention_heads"] // engine.tensor_parallel_size * size * size * engine.dtype_bytes)


_FORMULAS: tuple[tuple[tuple[str, ...], Callable[[Config, Engine], int]], ...] = (
    (("linear_num_value_heads", "linear_conv_kernel_dim"), _gated_delta),  # Qwen3-Next, Qwen3.5
    (("linear_attn_config",), _kimi),
    (("conv_L_cache",), _short_convolution),  # LFM2
    (("mamba_num_heads", "ssm_state_size"), _nemotron),
    (("n_mamba_heads", "mamba_ngroups"), _zamba),
    (("mamba_n_heads", "mamba_d_state"), _granite),  # Granite 4, Bamba, Falcon-H1
    (("mamba_expand", "mamba_d_conv"), _jamba),
    (("num_heads", "head_dim", "state_size", "conv_kernel"), _pure_mamba2),
    (("state_size", "conv_kernel"), _mamba),
    (("attn_type_list",), _lightning),  # MiniMax
)
