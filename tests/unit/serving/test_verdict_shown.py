"""The invariant: the JSON has exactly its keys, the table fits its width, and both say what is wrong and its cure."""

import json
from typing import Any

import pytest

from serving.fit import Outcome
from serving.gpus import find_gpu
from serving.model_request import ModelRequest
from serving.verdict import Verdict, judge
from serving.verdict_json import verdict_json
from serving.verdict_table import verdict_markdown, verdict_table

from .hub_double import LLAMA
from .model_configs import CONFIGS
from .test_verdict import facts

KEYS = [
    *("model", "revision", "verdict", "gpu", "per_gpu_gib", "kv_cache_tokens", "max_concurrency", "max_model_len"),
    *("largest_max_model_len", "rules", "cures"),
]
PER_GPU = ["budget", "weights", "kv_cache", "activation", "cuda_graphs", "non_torch"]


def judged(name: str, config: dict[str, Any], gpu: str | None = "A100-80GB", **asked: Any) -> Verdict:
    card = find_gpu(gpu) if gpu else None
    return judge(ModelRequest(name, "org/it", gpu=card, **asked), facts(config))


STARTS = judged("llama", CONFIGS["meta-llama/Llama-3.1-8B-Instruct"])
FAILS = judged("too-big", CONFIGS["meta-llama/Llama-2-70b-chat-hf"], "A10", quantization="awq", max_model_len=8192)
UNKNOWN = judged("no-gpu", LLAMA, None)
WARNED = judged("warned", LLAMA, gpus=2)
ALL = [STARTS, FAILS, UNKNOWN, WARNED]


@pytest.mark.parametrize("verdict", ALL, ids=lambda verdict: verdict.name)
def test_the_json_has_exactly_its_keys(verdict: Verdict) -> None:
    found = json.loads(json.dumps(verdict_json(verdict)))
    assert list(found) == KEYS
    assert found["verdict"] in ("START", "MAYBE", "WONT_START")
    assert list(found["gpu"]) == ["name", "memory_gib", "compute_capability", "count"]
    assert list(found["per_gpu_gib"]) == PER_GPU
    assert all(list(rule) == ["rule", "ok", "message", "cure"] for rule in found["rules"])
    assert found["rules"]


def test_the_parts_of_the_budget_add_up() -> None:
    found = verdict_json(STARTS)["per_gpu_gib"]
    rest = found["budget"] - sum(found[key] for key in PER_GPU if key != "budget")
    assert rest == pytest.approx(0, abs=0.001)


def test_the_json_of_a_start() -> None:
    found = verdict_json(STARTS)
    gpu = {"name": "A100-80GB", "memory_gib": 79.15, "compute_capability": "8.0", "count": 1}
    assert (found["verdict"], found["gpu"]) == ("START", gpu)
    assert all(rule["ok"] for rule in found["rules"])


def test_what_is_not_known_is_null() -> None:
    found = verdict_json(UNKNOWN)
    assert set(found["per_gpu_gib"].values()) == {None}
    assert (found["gpu"]["name"], found["kv_cache_tokens"], found["max_model_len"]) == (None, None, None)


def test_a_warning_is_called_one() -> None:
    (rule,) = [rule for rule in verdict_json(WARNED)["rules"] if not rule["ok"]]
    assert rule["message"].startswith("Warning: ")


def test_a_share_counts_as_one() -> None:
    half = judge(ModelRequest("m", "a/b", gpu=find_gpu("A100-80GB").shared(0.5), gpus=0.5), facts(LLAMA))
    gpu = verdict_json(half)["gpu"]
    assert (gpu["count"], gpu["memory_gib"]) == (0.5, 39.575)
    assert "A100-80GB 0.5" in verdict_table([half])


@pytest.mark.parametrize("width", [40, 80, 100, 120, 200])
def test_the_table_fits_its_width(width: int) -> None:
    long = judged("a-model-with-a-very-long-name-that-goes-on", CONFIGS["Qwen/Qwen2.5-72B-Instruct"], "RTX PRO 6000")
    lines = verdict_table([*ALL, long], width).splitlines()
    assert max(map(len, lines)) <= max(80, width)
    assert not any(line.endswith(" ") for line in lines)


def test_the_table_has_a_row_for_each_and_causes_below() -> None:
    text = verdict_table(ALL, 160)
    head, _, *rows = text.split("\n\n")[0].splitlines()
    assert head.split()[:3] == ["model", "GPU", "verdict"]
    assert [row.split()[0] for row in rows] == [verdict.name for verdict in ALL]
    assert "WON'T START" in rows[1] and "START" in rows[0]
    assert "too-big: WON'T START" in text
    assert "aren't quantized" in text and "[quantization]" in text
    assert "Cure: " in text
    assert "Not checked: memory: no GPU is known." in text
    assert "Warning: Of 2 GPUs, 1 would stand idle" in text
    assert "\nllama: " not in text  # nothing to say of what starts


def test_lengths_are_exact_at_every_width() -> None:
    assert all("131072" in verdict_table([STARTS], width) for width in (80, 160))


def test_no_more_requests_than_max_num_seqs() -> None:
    few = judged("few", CONFIGS["meta-llama/Llama-3.1-8B-Instruct"], max_num_seqs=2, max_model_len=1024)
    assert verdict_table([few], 160).splitlines()[2].split()[-2] == "2.0"
    assert verdict_json(few)["max_concurrency"] > 100


def test_what_is_missing_is_no_number() -> None:
    row = verdict_table([judged("big", CONFIGS["meta-llama/Llama-2-70b-chat-hf"], "A10")], 160).splitlines()[2]
    assert "–/20.3" in row and "-" not in row


def test_dividing_is_said_in_one_sentence() -> None:
    three = judged("three", LLAMA, gpus=3, tensor_parallel_size=3)
    text = verdict_table([three], 160)
    assert text.count("can't be divided among 3 GPUs") == 1 and "[tensor-parallel]" in text
    assert "32 attention heads" in text and "intermediate size is 11008" in text
    assert sum("can't be divided" in rule["message"] for rule in verdict_json(three)["rules"]) > 1


def test_the_markdown_is_a_table_and_lists() -> None:
    text = verdict_markdown(ALL)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(ALL)
    assert len({row.count("|") for row in rows}) == 1
    assert "**WON'T START**" in text
    assert "- Cure: " in text or "- Or: " in text or not FAILS.cures


def test_an_empty_stack_is_an_empty_table() -> None:
    assert verdict_table([], 160).splitlines()[0].startswith("model")


def test_outcomes_as_people_read_them() -> None:
    assert [outcome.shown for outcome in Outcome] == ["START", "MAYBE", "WON'T START"]
