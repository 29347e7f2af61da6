"""The invariant: pages, groups and blocks are vLLM's, from first principles for each kind of attention."""

from __future__ import annotations

from typing import Any

import pytest

from serving.estimates import GIB
from serving.kv_cache import KvLayout, kv_layout
from serving.kv_layers import layer_kinds

from .memory_cases import H100, H200, engine, layout
from .model_configs import CONFIGS
from .published_starts import CONFIGS as PUBLISHED

KIB = 1024
LLAMA = CONFIGS["meta-llama/Llama-3.1-8B-Instruct"]
MLA = CONFIGS["deepseek-ai/DeepSeek-V2-Lite"]
GEMMA2, GEMMA3 = CONFIGS["google/gemma-2-9b-it"], CONFIGS["google/gemma-3-12b-it"]
OSS, QWEN_NEXT = CONFIGS["openai/gpt-oss-20b"], CONFIGS["Qwen/Qwen3-Next-80B-A3B-Instruct"]
JAMBA, MISTRAL = CONFIGS["ai21labs/AI21-Jamba-1.5-Mini"], CONFIGS["mistralai/Mistral-7B-Instruct-v0.1"]
SCOUT = {
    **{"model_type": "llama4", "architectures": ["Llama4ForConditionalGeneration"]},
    "text_config": {
        **{"model_type": "llama4_text", "hidden_size": 5120, "num_hidden_layers": 48, "num_attention_heads": 40},
        **{"num_key_value_heads": 8, "head_dim": 128, "attention_chunk_size": 8192, "vocab_size": 202048},
        "max_position_embeddings": 10485760,
    },
}


def bytes_per_token(found: KvLayout) -> float:
    """Where all layers are full attention."""
    (group,) = found.groups
    return group.page_bytes / group.layer.block


@pytest.mark.parametrize(
    ("model", "request_", "expected"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", {}, 128 * KIB),
        ("meta-llama/Llama-3.1-8B-Instruct", {"kv_cache_dtype": "fp8"}, 64 * KIB),
        ("meta-llama/Llama-3.1-8B-Instruct", {"dtype": "float32"}, 256 * KIB),
        ("meta-llama/Llama-3.1-8B-Instruct", {"tensor_parallel_size": 4}, 32 * KIB),
        ("meta-llama/Llama-3.1-8B-Instruct", {"tensor_parallel_size": 16}, 16 * KIB),  # a head on each rank
        ("meta-llama/Llama-2-7b-chat-hf", {}, 512 * KIB),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", {}, 128 * KIB),
        ("Qwen/Qwen2.5-7B-Instruct", {"tensor_parallel_size": 4}, 14 * KIB),
        ("Qwen/Qwen2.5-7B-Instruct", {"tensor_parallel_size": 8}, 14 * KIB),  # 4 KV heads on 8 ranks: copies
        ("WizardLM/WizardCoder-15B-V1.0", {"tensor_parallel_size": 4}, 20 * KIB),  # one head: on every rank
        ("tiiuae/falcon-7b", {}, 8 * KIB),
        ("deepseek-ai/DeepSeek-V2-Lite", {}, 31104),
        ("deepseek-ai/DeepSeek-V2-Lite", {"tensor_parallel_size": 8}, 31104),
        ("deepseek-ai/DeepSeek-V3", {"tensor_parallel_size": 8}, 61 * 576 * 2),
        ("deepseek-ai/DeepSeek-V3", {"kv_cache_dtype": "fp8"}, 61 * 576),
        ("meta-llama/Llama-3.1-8B-Instruct", {"kv_cache_dtype": "int8_per_token_head"}, 32 * 8 * 2 * (128 + 4)),
    ],
)
def test_bytes_per_token(model: str, request_: dict[str, Any], expected: float) -> None:
    assert bytes_per_token(layout(CONFIGS[model], **request_)) == expected


def test_blocks_tokens_and_the_longest_sequence() -> None:
    found = layout(LLAMA, vllm_version="0.32.0")
    memory = 3307 * 2 * 1024**2 + 5

    assert found.bytes_per_block == 2 * 1024**2
    assert found.num_blocks(memory) == 3307
    assert found.blocks_for(8192) == 512
    assert found.tokens(memory, 8192) == 52912
    assert found.max_concurrency(memory, 8192) == pytest.approx(6.459, abs=0.001)
    assert found.largest_len(memory, 131072) == 52896  # one block is the null block
    assert found.largest_len(memory, 4096) == 4096
    assert found.largest_len(-1.0, None) == 0
    assert layout(LLAMA, vllm_version="0.23.0").largest_len(memory, 131072) == 52912  # not yet left out


def test_a_windowed_model_keeps_the_window_and_the_batch() -> None:
    """Mistral v0.1: ceil(min(4095 + 2 * 8192, length) / 16) + 1 blocks since two batches may be in flight."""
    assert layout(MISTRAL, vllm_version="0.32.0").blocks_for(32768) == -(-(4095 + 2 * 8192) // 16) + 1
    assert layout(MISTRAL, vllm_version="0.19.0").blocks_for(32768) == -(-(4095 + 8192) // 16) + 1
    assert layout(MISTRAL).blocks_for(1000) == 63 + 1
    assert layout(MISTRAL, extra_args=("--disable-sliding-window",)).blocks_for(4096) == 256


def test_gemma_2_in_two_groups() -> None:
    found = layout(GEMMA2, vllm_version="0.32.0")

    assert [(group.layer.kind, group.layers) for group in found.groups] == [("window", 21), ("full", 21)]
    assert found.bytes_per_block == 21 * 16 * 8 * 2 * 256 * 2
    assert found.blocks_for(8192) == 513 + 512


def test_gemma_3_in_groups_of_its_full_layers() -> None:
    """48 layers, each sixth full: groups of 8, five of them windowed; a batch of 8192 tokens beside the window."""
    found = layout(GEMMA3, vllm_version="0.19.0")

    assert [group.layer.kind for group in found.groups] == ["window"] * 5 + ["full"]
    assert {group.layers for group in found.groups} == {8}
    assert found.blocks_for(131072) == 8192 + 5 * (-(-(1023 + 8192) // 16) + 1)


def test_layers_that_do_not_come_out_even_are_padded() -> None:
    """Gemma 3 4B: 34 layers, 5 full and 29 windowed, so six windowed groups, the last with a gap."""
    found = layout(PUBLISHED["gemma-3-4b"], vllm_version="0.32.0")

    assert [group.layers for group in found.groups] == [5, 5, 5, 5, 5, 4, 5]
    assert found.bytes_per_block == 5 * 16 * 4 * 2 * 256 * 2


def test_gpt_oss_alternates() -> None:
    found = layout(OSS, vllm_version="0.32.0")

    assert [(group.layer.kind, group.layers) for group in found.groups] == [("window", 12), ("full", 12)]
    assert found.blocks_for(131072) == 8192 + -(-(127 + 2 * 8192) // 16) + 1


def test_before_0_9_and_without_the_hybrid_manager_windows_save_nothing() -> None:
    for found in (
        layout(GEMMA2, vllm_version="0.8.5"),
        layout(GEMMA2, extra_args=("--disable-hybrid-kv-cache-manager",)),
    ):
        (group,) = found.groups
        assert (group.layer.kind, group.layers, found.blocks_for(8192)) == ("full", 42, 512)


def test_llama_4_keeps_chunks_since_0_14() -> None:
    found = layout(SCOUT, vllm_version="0.32.0", max_model_len=131072)

    assert [(group.layer.kind, group.layers) for group in found.groups] == [("chunk", 12)] * 3 + [("full", 12)]
    assert found.blocks_for(131072) == 8192 + 3 * -(-(8192 + 2 * 8192) // 16)
    assert len(layout(SCOUT, vllm_version="0.11.2", max_model_len=131072).groups) == 1


def test_a_page_of_attention_holds_a_state() -> None:
    """Qwen3-Next: 1,097,728 bytes of state and 2,048 a token, so blocks of 544 tokens (of 272 on four ranks)."""
    found = layout(QWEN_NEXT, gpu=H200, vllm_version="0.23.0")
    divided = layout(QWEN_NEXT, gpu=H200, tensor_parallel_size=2, vllm_version="0.23.0")

    assert {group.layer.block for group in found.groups} == {544}
    assert [group.layer.kind for group in found.groups] == ["state"] * 3 + ["full"]
    assert found.bytes_per_block == 12 * 544 * 2048
    assert found.blocks_for(262144) == 3 + -(-262144 // 544)
    assert {group.layer.block for group in divided.groups} == {544}  # both halves are divided
    assert layout(QWEN_NEXT, gpu=H200, vllm_version="0.32.0").blocks_for(544) == 3 * 2 + 1  # prefixes are cached


def test_published_blocks_of_a_hybrid_model() -> None:
    """A 27B model of the Qwen3.5 family, from logs: blocks of 1568 tokens with fp8 (noonghunna/club-3090#1047), and of
    1584 on two ranks with int8_per_token_head and three speculative tokens (#602)."""
    text = {
        **{"model_type": "qwen3_5_text", "hidden_size": 5120, "num_hidden_layers": 64, "num_attention_heads": 24},
        **{"num_key_value_heads": 4, "head_dim": 256, "full_attention_interval": 4, "mamba_ssm_dtype": "float32"},
        **{"linear_num_key_heads": 16, "linear_num_value_heads": 48, "linear_key_head_dim": 128},
        **{"linear_value_head_dim": 128, "linear_conv_kernel_dim": 4, "vocab_size": 248320, "dtype": "bfloat16"},
    }
    draft = ('--speculative-config={"method": "mtp", "num_speculative_tokens": 3}',)
    one = layout(text, kv_cache_dtype="fp8")
    two = layout(text, kv_cache_dtype="int8_per_token_head", tensor_parallel_size=2, extra_args=draft)

    assert {group.layer.block for group in one.groups} == {1568}
    assert {group.layer.block for group in two.groups} == {1584}


def test_jamba_in_groups_of_its_attention() -> None:
    """28 Mamba layers and 4 of attention; a state of 311,296 bytes, 4,096 a token: blocks of 80."""
    found = layout(JAMBA, gpu=H200, vllm_version="0.23.0")

    assert [group.layers for group in found.groups] == [4] * 8
    assert {group.layer.block for group in found.groups} == {80}
    assert found.bytes_per_block == 4 * 80 * 4096


def test_a_model_of_states_alone_takes_one_block_a_sequence() -> None:
    mamba = {
        **{"model_type": "mamba", "hidden_size": 2560, "num_hidden_layers": 64, "intermediate_size": 5120},
        **{"state_size": 16, "conv_kernel": 4, "vocab_size": 50280, "torch_dtype": "bfloat16"},
    }
    found = layout(mamba)

    assert found.bytes_per_block == 64 * 5120 * (3 + 16) * 2
    assert found.blocks_for(1) == found.blocks_for(100_000) == 1


def test_sparse_latent_attention_has_an_index_beside() -> None:
    config = CONFIGS["deepseek-ai/DeepSeek-V3"] | {"index_topk": 2048, "index_head_dim": 128, "index_n_heads": 64}

    assert layout(config).bytes_per_block == 61 * 64 * (576 * 2 + 132)
    assert layout(config, kv_cache_dtype="fp8").bytes_per_block == 61 * 64 * (656 + 132)


def test_shared_and_left_out_layers_cache_nothing() -> None:
    shared = {"model_type": "gemma3n_text", "sliding_window": 512, "num_kv_shared_layers": 2}
    blocks = [{"attention": {"n_heads_in_group": 8}}, {"attention": {"no_op": True}}] * 2
    nas = LLAMA | {"num_hidden_layers": 4, "block_configs": blocks}

    assert layer_kinds(shared, 5) == ["window"] * 3 + ["none"] * 2
    assert layout(nas).groups[0].page_bytes == 2 * 16 * 4 * 2 * 128 * 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ({"hybrid_override_pattern": "M-M*"}, ["state", "none", "state", "full"]),
        ({"layer_types": ["conv", "full_attention"]}, ["state", "full"]),
        ({"layers_block_type": ["mamba", "hybrid"]}, ["state", "both"]),
        ({"attn_type_list": [0, 1]}, ["state", "full"]),
        ({"model_type": "cohere2", "sliding_window": 4096}, ["window"] * 3 + ["full"]),
        ({"sliding_window": 4096, "use_sliding_window": False}, ["full"] * 2),
        ({"sliding_window": 4096, "use_sliding_window": True, "max_window_layers": 1}, ["full", "window"]),
        ({"layer_types": ["sliding_attention"], "sliding_window": None}, ["full"]),
        ({"linear_attn_config": {"full_attn_layers": [2], "kda_layers": [1]}}, ["state", "full"]),
    ],
)
def test_how_families_name_their_layers(text: dict[str, Any], expected: list[str]) -> None:
    assert layer_kinds(text, len(expected)) == expected


def test_pipeline_stages_share_the_layers() -> None:
    """The stage with the most layers decides; what is left over goes to stages in the middle."""
    two = layout(LLAMA, extra_args=("--pipeline-parallel-size=2",))
    three = layout(LLAMA, extra_args=("--pipeline-parallel-size=3",))

    assert two.bytes_per_block == 1024**2
    assert three.bytes_per_block == 11 * 64 * KIB


def test_the_start_check_by_release() -> None:
    """Gemma 3: each layer for itself before 0.14, its first group (windowed) up to 0.18, all groups since."""
    memory, length = 20 * GIB, 131072
    longest = [layout(GEMMA3, vllm_version=version).largest_len(memory, length) for version in ("0.11.2", "0.19.0")]

    assert longest[0] == longest[1] == 131072
    small = 4 * GIB
    assert layout(GEMMA3, vllm_version="0.17.1").fits(small, length)
    assert not layout(GEMMA3, vllm_version="0.32.0").fits(small, length)


def test_tokens_as_older_releases_log_them() -> None:
    """Blocks of one group, before 0.20; since then what fits of max_model_len."""
    memory = 10 * GIB
    blocks = layout(GEMMA2, vllm_version="0.19.0").num_blocks(memory)

    assert layout(GEMMA2, vllm_version="0.19.0").tokens(memory, 8192) == blocks // 2 * 16
    assert layout(GEMMA2, vllm_version="0.32.0").tokens(memory, 8192) == int(blocks / 1025 * 8192)


def test_what_cannot_be_told() -> None:
    assert kv_layout({}, engine({})) is None
    assert kv_layout(LLAMA | {"is_encoder_decoder": True}, engine(LLAMA)) is None
    assert kv_layout(LLAMA | {"layer_types": ["mamba"] * 32}, engine(LLAMA, gpu=H100)) is None
