"""The invariant: a checkpoint's tensors are counted to the byte, by few records, from headers read whole or in part."""

import json

import pytest

from serving.tensors import Stored, bytes_of, is_prediction, pattern, read_head, summary

from .hub_double import safetensors

LAYERS = {
    "model.embed_tokens.weight": ("BF16", [320, 8]),
    **{f"model.layers.{n}.mlp.up_proj.weight": ("BF16", [16, 8]) for n in range(3)},
    **{f"model.layers.{n}.mlp.experts.{e}.w1.weight": ("F8_E4M3", [4, 8]) for n in range(3) for e in range(5)},
}


@pytest.mark.parametrize(
    ("name", "expected", "layer"),
    [
        ("model.layers.11.self_attn.q_proj.weight", "model.layers.*.self_attn.q_proj.weight", 11),
        ("model.layers.3.mlp.experts.127.up_proj.weight", "model.layers.*.mlp.experts.*.up_proj.weight", 3),
        ("h.0.attn.bias", "h.*.attn.bias", 0),
        ("lm_head.weight", "lm_head.weight", None),
        ("model.layers.28.eh_proj.weight", "nextn.model.layers.*.eh_proj.weight", 28),
        ("vision_tower.encoder.layers.40.fc1.weight", "vision_tower.encoder.layers.*.fc1.weight", 40),
    ],
)
def test_numbers_of_a_name_become_stars(name: str, expected: str, layer: int | None) -> None:
    assert pattern(name, 28) == (expected, layer)


def test_what_is_beyond_the_last_layer_is_for_prediction() -> None:
    assert is_prediction(pattern("model.layers.61.embed_tokens.weight", 61)[0])
    assert is_prediction("mtp.layers.*.fc.weight")
    assert not is_prediction(pattern("model.layers.60.mlp.gate.weight", 61)[0])


def test_a_header_is_read_to_the_last_tensor() -> None:
    head = read_head(safetensors(LAYERS) + b"\0" * 100)
    assert head is not None
    assert len(head.tensors) == len(LAYERS)
    assert head.tensors["model.embed_tokens.weight"] == ("BF16", (320, 8))


def test_a_header_that_was_cut_gives_what_was_in_reach() -> None:
    content = safetensors(LAYERS)
    head = read_head(content[: len(content) // 2])
    assert head is not None
    assert head.needs == len(content)
    assert 0 < len(head.tensors) < len(LAYERS)
    assert set(head.tensors) < set(LAYERS)


@pytest.mark.parametrize(
    "content", [b"", b"null", b"version https://git-lfs.github.com/spec/v1", b"\x02" + b"\0" * 7 + b"[]"]
)
def test_what_is_no_header_is_none(content: bytes) -> None:
    assert read_head(content) is None


def test_tensors_are_summed_up_by_pattern() -> None:
    seen = {name: (dtype, tuple(shape)) for name, (dtype, shape) in LAYERS.items()}
    stored = summary(LAYERS, seen)
    assert stored == (
        Stored("model.embed_tokens.weight", "BF16", (320, 8)),
        Stored("model.layers.*.mlp.up_proj.weight", "BF16", (16, 8), 3, 3),
        Stored("model.layers.*.mlp.experts.*.w1.weight", "F8_E4M3", (4, 8), 15, 3),
    )
    assert sum(one.size for one in stored) == 320 * 8 * 2 + 3 * 16 * 8 * 2 + 15 * 4 * 8


def test_shapes_follow_from_those_that_were_seen() -> None:
    one_layer = {name: (dtype, tuple(shape)) for name, (dtype, shape) in LAYERS.items() if ".1." in name}
    stored = {one.name: one for one in summary(LAYERS, one_layer)}
    assert stored["model.layers.*.mlp.up_proj.weight"].shape == (16, 8)
    assert stored["model.layers.*.mlp.up_proj.weight"].number == 3
    assert stored["model.embed_tokens.weight"].dtype == ""


def test_a_name_with_two_shapes_is_shared_out() -> None:
    names = [f"model.layers.{n}.o_proj.weight" for n in range(6)]
    seen = {names[0]: ("F16", (4, 4)), names[1]: ("F16", (4, 8)), names[2]: ("F16", (4, 4))}
    assert sorted((one.shape, one.number, one.layers) for one in summary(names, seen)) == [
        ((4, 4), 4, 4),
        ((4, 8), 2, 2),
    ]


def test_packed_words_are_counted_as_words() -> None:
    # Llama-2-70B-Chat-AWQ: 9.68e9 elements to the Hub (AlexsJones/llmfit#1045), 36.6 GB.
    parameters = {"I32": 8_623_226_880, "F16": 1_060_380_672}
    assert sum(parameters.values()) == pytest.approx(9.68e9, rel=1e-3)
    assert bytes_of(parameters) == pytest.approx(36.6e9, rel=1e-3)
    assert bytes_of({"F8_E4M3": 10, "BF16": 10, "NEW": 5}) == 30


def test_the_records_of_a_large_model_are_few() -> None:
    names = [f"model.layers.{n}.mlp.experts.{e}.w{k}.weight" for n in range(60) for e in range(256) for k in range(3)]
    assert len(json.dumps(summary(names, {}))) < 500
