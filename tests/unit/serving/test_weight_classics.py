"""The invariant: the older families have the parameters that are published for their models."""

from typing import Any

import pytest

from serving.estimates import GIB
from serving.tensors import Tensors
from serving.weight_families import family_tensors
from serving.weight_parts import part_of
from serving.weights import weights_of

from .engines import engine, facts

OPT: dict[str, Any] = {
    "model_type": "opt",
    "hidden_size": 768,
    "ffn_dim": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "vocab_size": 50272,
    "max_position_embeddings": 2048,
    "word_embed_proj_dim": 768,
    "torch_dtype": "float16",
}
PYTHIA: dict[str, Any] = {
    "model_type": "gpt_neox",
    "hidden_size": 4096,
    "intermediate_size": 16384,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 50432,
    "max_position_embeddings": 2048,
    "rotary_pct": 0.25,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
}
BLOOM: dict[str, Any] = {"model_type": "bloom", "hidden_size": 4096, "n_layer": 30, "n_head": 32, "vocab_size": 250880}
MPT: dict[str, Any] = {"model_type": "mpt", "d_model": 4096, "n_layers": 32, "n_heads": 32, "vocab_size": 50432}
STARCODER2: dict[str, Any] = {
    "model_type": "starcoder2",
    "hidden_size": 4608,
    "intermediate_size": 18432,
    "num_hidden_layers": 32,
    "num_attention_heads": 36,
    "num_key_value_heads": 4,
    "vocab_size": 49152,
}
PHI2: dict[str, Any] = {
    "model_type": "phi",
    "hidden_size": 2560,
    "intermediate_size": 10240,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 51200,
}


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (OPT, 125_239_296),  # facebook/opt-125m
        (PYTHIA, 6_857_302_016),  # EleutherAI/pythia-6.9b
        (BLOOM, 7_069_016_064),  # bigscience/bloom-7b1
        (MPT, 6_649_286_656),  # mosaicml/mpt-7b
        (STARCODER2, 7_173_923_840),  # bigcode/starcoder2-7b
        (PHI2, 2_779_683_840),  # microsoft/phi-2
    ],
    ids=lambda value: value["model_type"] if isinstance(value, dict) else "",
)
def test_parameters_are_the_published_ones(config: dict[str, Any], parameters: int) -> None:
    stored = family_tensors(config)
    assert stored is not None
    assert sum(one.elements * one.number for one in stored) == parameters
    assert all(part_of(one.name, len(one.shape)).known for one in stored)


def test_they_are_divided_like_others() -> None:
    layer = 12 * 4096**2 // 4 + (3 * 4096 + 16384) // 4 + 2 * 4096 + 4 * 4096
    expected = 2 * (32 * layer + 2 * 50432 // 4 * 4096 + 2 * 4096) + 2048 * 32 * 2
    found = weights_of(facts(PYTHIA), engine(dtype="float16", tensor_parallel_size=4))
    assert found is not None and found.per_gpu.low == expected


def test_a_float32_file_of_an_unknown_family_is_halved() -> None:
    tensors = Tensors(total_bytes=4 * GIB, source="files")
    found = weights_of(facts({"model_type": "new", "torch_dtype": "float32"}, tensors), engine())
    assert found is not None and found.per_gpu.gib == pytest.approx(2, rel=0.05)
