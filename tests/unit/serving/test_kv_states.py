"""The invariant: a recurrent layer's state has the bytes that vLLM's shape calculators give it."""

from __future__ import annotations

from typing import Any

import pytest

from serving.kv_states import state_bytes

from .memory_cases import engine

NEMOTRON = {
    **{"model_type": "nemotron_h", "mamba_num_heads": 128, "mamba_head_dim": 64, "n_groups": 8},
    **{"ssm_state_size": 128, "conv_kernel": 4},
}
GRANITE = {
    **{"model_type": "granitemoehybrid", "hidden_size": 4096, "mamba_expand": 2, "mamba_n_heads": 128},
    **{"mamba_n_groups": 1, "mamba_d_head": 64, "mamba_d_state": 128, "mamba_d_conv": 4},
}


@pytest.mark.parametrize(
    ("text", "ranks", "expected"),
    [
        # convolution: (inner + 2 * groups * state) * 3 * 2 B; state in float32: heads * head * state * 4 B
        (NEMOTRON, 1, (8192 + 2 * 8 * 128) * 3 * 2 + 128 * 64 * 128 * 4),
        (NEMOTRON | {"mamba_ssm_cache_dtype": "bfloat16"}, 1, (8192 + 2048) * 3 * 2 + 128 * 64 * 128 * 2),
        (GRANITE, 1, (8192 + 2 * 128) * 3 * 2 + 128 * 64 * 128 * 2),
        (GRANITE, 4, (8192 + 2 * 4 * 128) // 4 * 3 * 2 + 32 * 64 * 128 * 2),  # its group on every rank
        (GRANITE | {"mamba_d_ssm": 6144, "mamba_d_head": "auto", "mamba_n_heads": 96}, 1, 6400 * 6 + 96 * 64 * 128 * 2),
        (
            {"mamba_expand": 2, "hidden_size": 2560, "mamba_ngroups": 2, "n_mamba_heads": 80, "mamba_headdim": 64}
            | {"mamba_d_state": 64, "mamba_d_conv": 4},
            1,
            (5120 + 2 * 2 * 64) * 3 * 2 + 80 * 64 * 64 * 2,
        ),
        (
            {"hidden_size": 4096, "expand": 2, "n_groups": 8, "num_heads": 128, "head_dim": 64, "state_size": 128}
            | {"conv_kernel": 4},
            1,
            (8192 + 2048) * 3 * 2 + 128 * 64 * 128 * 2,
        ),
        (
            {"linear_attn_config": {"num_heads": 32, "head_dim": 128, "short_conv_kernel_size": 4}},
            2,
            3 * 32 * 128 // 2 * 3 * 2 + 16 * 128 * 128 * 4,
        ),
        ({"hidden_size": 2048, "conv_L_cache": 3}, 1, 2048 * 2 * 2),
        (
            {"attn_type_list": [0, 1], "num_attention_heads": 64, "head_dim": 128, "hidden_size": 6144},
            1,
            64 * 128**2 * 2,
        ),
        ({"hidden_size": 4096}, 1, None),
    ],
)
def test_bytes_of_a_state(text: dict[str, Any], ranks: int, expected: int | None) -> None:
    assert state_bytes(text, engine({"torch_dtype": "bfloat16"}, tensor_parallel_size=ranks)) == expected
