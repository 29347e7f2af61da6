"""The invariant: the tables of rotary embeddings have the rows that vLLM's classes give them."""

from typing import Any

import pytest

from serving.weight_rope import RopeTable, rope_tables

from .engines import engine
from .model_configs import CONFIGS

BASE: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "max_position_embeddings": 1000,
}


@pytest.mark.parametrize(
    ("more", "rows", "dim"),
    [
        ({}, 1000, 128),
        ({"rope_scaling": {"type": "linear", "factor": 4.0}}, 4000, 128),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 125}}, 1000, 128),
        ({"rope_scaling": {"type": "dynamic", "factor": 4.0}}, 1000, 128),
        ({"rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 500}}, 2000, 128),
        ({"rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]}}, 4000, 128),
        ({"rope_scaling": {"type": "longrope", "original_max_position_embeddings": 300}}, 1300, 128),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}, 1000, 128),
        ({"partial_rotary_factor": 0.25}, 1000, 32),
        ({"rotary_pct": 0.5}, 1000, 64),
        ({"head_dim": 64}, 1000, 64),
        ({"rotary_dim": 48}, 1000, 48),
    ],
)
def test_rows_and_width(more: dict[str, Any], rows: int, dim: int) -> None:
    assert rope_tables(BASE | more, engine()) == (RopeTable(rows, dim, 2),)


def test_layers_of_two_kinds_have_two_tables() -> None:
    tables = rope_tables(CONFIGS["google/gemma-3-12b-it"], engine())
    assert tables == (RopeTable(131072 * 8, 256, 2), RopeTable(131072, 256, 2))
    nested = {"full_attention": {"rope_type": "linear", "factor": 2.0}, "sliding_attention": {"rope_type": "default"}}
    assert [table.rows for table in rope_tables(BASE | {"rope_parameters": nested}, engine())] == [2000, 1000]


@pytest.mark.parametrize(
    ("repo", "eager", "release", "table"),
    [
        ("deepseek-ai/DeepSeek-V2-Lite", True, (0, 32), RopeTable(163840, 64, 4)),
        ("deepseek-ai/DeepSeek-V2-Lite", False, (0, 32), RopeTable(163840, 64, 2)),
        ("deepseek-ai/DeepSeek-V2-Lite", True, (0, 8), RopeTable(163840, 64, 2)),
        ("openai/gpt-oss-20b", False, (0, 32), RopeTable(131072, 64, 4)),
    ],
)
def test_some_stay_in_float32(repo: str, eager: bool, release: tuple[int, int], table: RopeTable) -> None:
    assert rope_tables(CONFIGS[repo], engine(enforce_eager=eager, release=release)) == (table,)


@pytest.mark.parametrize(
    "repo", ["openai-community/gpt2", "WizardLM/WizardCoder-15B-V1.0", "ai21labs/AI21-Jamba-1.5-Mini"]
)
def test_some_models_have_none(repo: str) -> None:
    assert rope_tables(CONFIGS[repo], engine()) == ()


def test_alibi_needs_none() -> None:
    assert rope_tables(CONFIGS["tiiuae/falcon-7b"] | {"alibi": True}, engine()) == ()
