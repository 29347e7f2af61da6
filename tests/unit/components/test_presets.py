"""The invariant: every preset starts on every card it names, and holds what its model needs to load."""

import pytest

from components.presets import PRESETS, Preset
from serving.fit import Outcome
from serving.gpus import find_gpu
from serving.hub_facts import Access, HubFacts, contents_of
from serving.model_request import ModelRequest
from serving.proven import PROVEN
from serving.verdict import Verdict, judge
from tests.unit.serving.model_configs import CONFIGS

GIB = 1024**3
RELEASES = ("0.11", "0.20", None)
EVERY = [(size, kind, preset) for (size, kind), preset in PRESETS.items()]
IDS = [f"{size}-{kind}" for size, kind, _ in EVERY]


def facts(repo: str) -> HubFacts:
    names = ["config.json", "model.safetensors", "tokenizer_config.json"]
    access = Access(repo_id=repo, sha="0" * 40, gated=False, private=False, disabled=False)
    return HubFacts(access=access, contents=contents_of(names, CONFIGS[repo], {"chat_template": "x"}))


def verdict(preset: Preset, card: str, release: str | None) -> Verdict:
    request = ModelRequest(
        "m",
        preset.model,
        max_model_len=preset.max_model_len,
        tensor_parallel_size=preset.tensor_parallel_size,
        vllm_version=release,
        gpu=find_gpu(card),
        gpus=preset.gpus,
        host_memory=int(preset.memory[:-1]) * GIB,
        shmem=int(preset.shmem[:-1]) * GIB,
    )
    return judge(request, facts(preset.model))


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(("size", "kind", "preset"), EVERY, ids=IDS)
def test_every_preset_starts_on_every_card_it_names(size: str, kind: str, preset: Preset, release: str | None) -> None:
    for card in preset.cards:
        found = verdict(preset, card, release)
        assert found.outcome is Outcome.START, (card, found.kv_cache, found.rules)
        assert all(rule.ok for rule in found.rules), (card, [rule for rule in found.rules if not rule.ok])


@pytest.mark.parametrize(("size", "kind", "preset"), EVERY, ids=IDS)
def test_a_quantized_preset_has_a_repo_that_carries_it(size: str, kind: str, preset: Preset) -> None:
    carried = facts(preset.model).quantization
    assert (carried.method if carried else "none") == kind


def test_sizes_are_the_same_for_all_quantizations_and_lengths_are_worth_serving() -> None:
    assert {kind for _, kind in PRESETS} == {"none", "awq", "gptq"}
    assert all(preset.max_model_len == 8192 for preset in PRESETS.values())
    assert all(preset.gpus == preset.tensor_parallel_size for preset in PRESETS.values())


def test_no_row_is_there_without_a_preset() -> None:
    assert {row.model for row in PROVEN} == {preset.model for preset in PRESETS.values()}
