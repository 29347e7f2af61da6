"""The invariant: a card is found however people write it, sees less than its name says, and nothing is guessed."""

import pytest

from serving.errors import InvalidArgument, UnknownGpu
from serving.gpus import CATALOGUE, capability_of, find_gpu, gpu_of_numbers
from serving.rules_hardware import ruled_out

NAMES = [
    ("T4", "T4"),
    ("Tesla T4", "T4"),
    ("nvidia l40s", "L40S"),
    ("NVIDIA GeForce RTX 4090", "RTX 4090"),
    ("4090", "RTX 4090"),
    ("rtx-3090", "RTX 3090"),
    ("RTX6000 Ada", "RTX 6000 Ada"),
    ("a100_80gb", "A100-80GB"),
    ("A100-SXM4-80GB", "A100-80GB"),
    ("NVIDIA A100 80GB PCIe", "A100-80GB"),
    ("A100", "A100-40GB"),
    ("v100", "V100-16GB"),
    ("H100", "H100-80GB"),
    ("NVIDIA H100 80GB HBM3", "H100-80GB"),
    ("H100 PCIe", "H100 PCIe"),
    ("h100nvl", "H100 NVL"),
    ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX PRO 6000"),
    ("AMD Instinct MI300X", "MI300X"),
    ("a10g", "A10G"),
    ("A10", "A10"),
]


@pytest.mark.parametrize(("written", "name"), NAMES)
def test_a_card_is_found_however_it_is_written(written: str, name: str) -> None:
    assert find_gpu(written).name == name


def test_every_card_is_found_by_its_own_name_and_none_twice() -> None:
    names = [gpu.name for gpu in CATALOGUE]
    assert len(set(names)) == len(names)
    assert [find_gpu(name).name for name in names] == names


# Seen in public logs: "total capacity of X GiB", "(free/total GiB)", "total_gpu_memory".
SEEN = [
    ("H100-80GB", 79.10, 79.22),
    ("A100-40GB", 39.38, 39.59),
    ("A10", 22.06, 22.20),
    ("L4", 22.03, 22.17),
    ("RTX 3090", 23.57, 23.69),
    ("RTX 4090", 23.52, 23.65),
    ("T4", 14.56, 14.75),
    ("L40S", 44.39, 44.42),
    ("H200", 139.72, 139.81),
]


@pytest.mark.parametrize(("name", "low", "high"), SEEN)
def test_memory_is_as_torch_reports_it(name: str, low: float, high: float) -> None:
    assert low <= find_gpu(name).memory_gib <= high


@pytest.mark.parametrize("gpu", CATALOGUE, ids=lambda gpu: gpu.name)
def test_no_card_has_more_than_its_name_says(gpu: object) -> None:
    name, gib = gpu.name, gpu.memory_gib  # type: ignore[attr-defined]
    said = [int(size) for size in (16, 32, 40, 80, 144) if f"{size}GB" in name]
    assert 0 < gib < (said[0] if said else 300)


def test_an_unknown_card_is_told_what_is_near() -> None:
    with pytest.raises(UnknownGpu) as error:
        find_gpu("A101")
    assert error.value.key == "gpu"
    assert "A100-40GB" in error.value.cure
    with pytest.raises(UnknownGpu, match="by its memory"):
        find_gpu("")


def test_a_share_of_a_card_sees_that_share() -> None:
    half = find_gpu("A100-80GB").shared(0.5)
    assert half.visible_gib == pytest.approx(find_gpu("A100-80GB").memory_gib / 2)
    assert half.name == "A100-80GB"


def test_a_card_by_numbers() -> None:
    gpu = gpu_of_numbers(24, (8, 6))
    assert (gpu.name, gpu.memory_gib, gpu.capability_text, gpu.compute) == ("24 GiB", 24, "8.6", 86)
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InvalidArgument):
            gpu_of_numbers(wrong)


def test_a_compute_capability_is_read() -> None:
    assert (capability_of("8.0"), capability_of("12.1")) == ((8, 0), (12, 1))
    for wrong in ("80", "eight", "8.", "8.0.1", "99.9", "0.0"):
        with pytest.raises(InvalidArgument):
            capability_of(wrong)


@pytest.mark.parametrize(
    ("name", "out"),
    [
        ("V100", ("bfloat16", "awq", "fp8", "mxfp4", "fp8 KV cache")),
        ("T4", ("bfloat16", "mxfp4", "fp8 KV cache")),
        ("A100-80GB", ()),
        ("H100", ()),
        ("MI300X", ()),
    ],
)
def test_what_a_card_rules_out(name: str, out: tuple[str, ...]) -> None:
    assert ruled_out(find_gpu(name), (0, 32)) == out
