"""The invariant: sizes and the derived length of a config.json are those that vLLM computes from it."""

from typing import Any

import pytest

from serving.model_config import Length, derived_max_model_len, is_moe, padded_vocab, shape

QWEN = {"hidden_size": 3584, "num_attention_heads": 28, "num_key_value_heads": 4, "intermediate_size": 18944}
GPT2 = {
    "model_type": "gpt2",
    "n_embd": 768,
    "n_head": 12,
    "n_positions": 1024,
    "n_inner": None,
    "vocab_size": 50257,
}
BIG_CODE = {"model_type": "gpt_bigcode", "n_embd": 6144, "n_head": 48, "n_inner": 24576, "multi_query": True}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (QWEN | {"vocab_size": 152064}, (28, 4, 128, 18944, 152064)),
        (GPT2, (12, 12, 64, 3072, 50257)),
        (BIG_CODE, (48, 1, 128, 24576, None)),
        (QWEN | {"head_dim": 64}, (28, 4, 64, 18944, None)),
        ({"text_config": QWEN, "vision_config": {"num_attention_heads": 16}}, (28, 4, 128, 18944, None)),
        (
            {"num_attention_heads": 16, "kv_lora_rank": 512, "num_key_value_heads": 16},
            (16, None, None, None, None),
        ),
        ({}, (None, None, None, None, None)),
    ],
)
def test_sizes_under_the_names_of_each_family(config: dict[str, Any], expected: tuple[int | None, ...]) -> None:
    assert shape(config) == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"max_position_embeddings": 4096}, Length(4096, "max_position_embeddings")),
        (GPT2, Length(1024, "n_positions")),
        ({"max_position_embeddings": 4096, "seq_length": 2048}, Length(2048, "seq_length")),
        ({"max_position_embeddings": 8192, "model_max_length": 131072}, Length(131072, "model_max_length")),
        ({"text_config": {"max_position_embeddings": 512}}, Length(512, "max_position_embeddings")),
        (
            {"max_position_embeddings": 4096, "rope_scaling": {"type": "linear", "factor": 4.0}},
            Length(16384, "rope_scaling"),
        ),
        (
            {"max_position_embeddings": 4096, "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}},
            Length(8192, "rope_scaling"),
        ),
        (
            {
                "max_position_embeddings": 131072,
                "rope_scaling": {
                    "rope_type": "yarn",
                    "factor": 4.0,
                    "original_max_position_embeddings": 32768,
                },
            },
            Length(131072, "rope_scaling"),
        ),
        (
            {"max_position_embeddings": 131072, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}},
            Length(131072, "max_position_embeddings"),
        ),
        (
            {"max_position_embeddings": 131072, "rope_scaling": {"type": "longrope", "factor": 8.0}},
            Length(131072, "max_position_embeddings"),
        ),
        (
            {
                "max_position_embeddings": 32768,
                "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
            },
            Length(32768, "max_position_embeddings"),
        ),
        (
            {
                "max_position_embeddings": 100,
                "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 2}},
            },
            Length(200, "rope_scaling"),
        ),
        (
            {
                "model_type": "gemma3_text",
                "max_position_embeddings": 131072,
                "rope_scaling": {"type": "linear", "factor": 8},
            },
            Length(131072, "max_position_embeddings"),
        ),
        ({}, None),
    ],
)
def test_derived_length(config: dict[str, Any], expected: Length | None) -> None:
    assert derived_max_model_len(config) == expected


def test_without_its_window_a_model_ends_at_it() -> None:
    config = {"max_position_embeddings": 32768, "sliding_window": 4096}
    assert derived_max_model_len(config) == (32768, "max_position_embeddings")
    assert derived_max_model_len(config, disable_sliding_window=True) == (4096, "sliding_window")


def test_the_vocabulary_is_padded_to_64() -> None:
    assert [padded_vocab(n) for n in (50257, 32000, 32016, 1)] == [50304, 32000, 32064, 64]


def test_mixtures_of_experts() -> None:
    assert is_moe({"num_local_experts": 8})
    assert not is_moe({"num_experts": 1})
