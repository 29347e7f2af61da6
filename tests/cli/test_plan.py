"""`bai-vllm plan` answers from the Hub alone: the verdict, in three forms, and an exit code that says the same."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulator import Emulator
from emulator.hub.models import APPROVED, UNAPPROVED, hub

from .conftest import Run
from .inside import Ended

SMALL = "openai-community/gpt2"
PLAIN, AWQ = "Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-7B-Instruct-AWQ"
GATED = "meta-llama/Llama-2-7b-chat-hf"
LARGE = "Qwen/Qwen2.5-72B-Instruct"
CODES = {"START": 0, "MAYBE": 3, "WONT_START": 4}


@pytest.fixture(autouse=True)
def _the_hub_as_it_was() -> Iterator[None]:
    hub.reset()
    yield
    hub.reset()


def verdict(done: Ended) -> dict[str, Any]:
    """The JSON, which is all of stdout; its verdict and the exit code agree."""
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == CODES[found["verdict"]], done.stderr
    return found


# --- the verdict


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ([SMALL, "--gpu", "T4"], "START"),
        ([AWQ, "--gpu", "L4", "--max-model-len", "8k"], "START"),
        ([PLAIN, "--gpu", "T4", "--max-model-len", "4096"], "WONT_START"),
        ([PLAIN, "--gpu", "L4", "--quantization", "awq"], "WONT_START"),
        ([SMALL, "--gpu", "T4", "--max-model-len", "4096"], "WONT_START"),
        ([LARGE, "--gpu", "A100-80GB"], "WONT_START"),
        ([LARGE, "--gpu", "A100-80GB", "--tp", "4", "--max-model-len", "8192"], "START"),
        ([LARGE, "--gpu", "A100-80GB", "--gpus", "4", "--max-model-len", "8192"], "START"),
        ([PLAIN, "--gpu", "A100-80GB", "--tensor-parallel-size", "3"], "WONT_START"),
        ([PLAIN, "--gpu", "A100-80GB", "--gpu-share", "0.1"], "WONT_START"),
        ([PLAIN, "--gpu", "A100-80GB", "--gpu-share", "0.5", "--max-model-len", "8192"], "START"),
        ([PLAIN, "--gpu-memory-gib", "39.4", "--compute-capability", "8.0"], "START"),
        ([PLAIN, "--gpu-memory-gib", "39.4", "--compute-capability", "7.5", "--dtype", "bfloat16"], "WONT_START"),
        ([PLAIN, "--gpu", "A100-80GB", "--gpu-memory-gib", "14"], "WONT_START"),
    ],
    ids=" ".join,
)
def test_the_answer_and_the_exit_code(bai_vllm: Run, words: list[str], answer: str) -> None:
    assert verdict(bai_vllm("plan", *words, "--output", "json"))["verdict"] == answer


def test_maybe_lies_between(bai_vllm: Run) -> None:
    """A card on the edge: found by halving, between one that is too small and one that will do."""
    low, high = 14.0, 24.0
    for _ in range(12):
        card = (low + high) / 2
        done = bai_vllm("plan", PLAIN, "--gpu-memory-gib", f"{card}", "--max-model-len", "4096", "--output", "json")
        answer = verdict(done)["verdict"]
        if answer == "MAYBE":
            return
        low, high = (card, high) if answer == "WONT_START" else (low, card)
    pytest.fail(f"no MAYBE down to {low} to {high} GiB")


def test_the_json_has_these_keys_and_types(bai_vllm: Run) -> None:
    found = verdict(bai_vllm("plan", AWQ, "--gpu", "L4", "--max-model-len", "8192", "--output", "json"))
    number = (int, float)
    kinds: dict[str, Any] = {
        **{"model": str, "revision": str, "verdict": str, "gpu": dict, "per_gpu_gib": dict},
        **{"kv_cache_tokens": int, "max_concurrency": number, "max_model_len": int, "largest_max_model_len": int},
        **{"rules": list, "cures": list},
    }
    assert list(found) == list(kinds)
    assert all(isinstance(found[key], kind) for key, kind in kinds.items())
    assert (found["model"], found["revision"]) == (AWQ, hub.repos[AWQ].sha)
    assert list(found["gpu"]) == ["name", "memory_gib", "compute_capability", "count"]
    assert (found["gpu"]["name"], found["gpu"]["compute_capability"], found["gpu"]["count"]) == ("L4", "8.9", 1)
    parts = ["budget", "weights", "kv_cache", "activation", "cuda_graphs", "non_torch"]
    assert list(found["per_gpu_gib"]) == parts
    assert all(isinstance(found["per_gpu_gib"][part], number) for part in parts)
    budget, *rest = (found["per_gpu_gib"][part] for part in parts)
    assert sum(rest) == pytest.approx(budget, abs=0.01)
    for rule in found["rules"]:
        assert list(rule) == ["rule", "ok", "message", "cure"]
        assert [type(value) for value in rule.values()] == [str, bool, str, str]
    assert all(isinstance(cure, str) for cure in found["cures"])
    assert found["max_model_len"] == 8192 <= found["largest_max_model_len"]


def test_a_card_given_by_numbers_is_told_by_them(bai_vllm: Run) -> None:
    done = bai_vllm("plan", SMALL, "--gpu-memory-gib", "24", "--compute-capability", "sm_86", "--output", "json")
    assert verdict(done)["gpu"] == {"name": "24 GiB", "memory_gib": 24.0, "compute_capability": "8.6", "count": 1}


@pytest.mark.parametrize("length", ["auto", "-1", "32k", "1K", None])
def test_lengths_as_vllm_reads_them(bai_vllm: Run, length: str | None) -> None:
    words = ["--max-model-len", length] if length else []
    found = verdict(bai_vllm("plan", AWQ, "--gpu", "L4", *words, "--output", "json"))
    assert found["max_model_len"] == {"32k": 32000, "1K": 1024}.get(length or "", 32768)


@pytest.mark.parametrize(
    ("words", "smaller"),
    [
        (["--kv-cache-dtype", "fp8"], False),
        (["--gpu-memory-utilization", "0.5"], True),
        (["--max-num-seqs", "512"], True),
        (["--max-num-batched-tokens", "16k"], True),
        (["--enforce-eager"], False),
        (["--extra-args=--enforce-eager"], False),
        (["--vllm-version", "0.11"], None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_every_option_counts(bai_vllm: Run, words: list[str], smaller: bool | None) -> None:
    base = ["plan", AWQ, "--gpu", "L40S", "--max-model-len", "4096", "--output", "json"]
    before, after = (verdict(bai_vllm(*base, *more))["kv_cache_tokens"] for more in ([], words))
    assert before != after
    assert smaller is None or (after < before) == smaller


# --- what models there are


def test_a_closed_repo_needs_a_token_with_access(bai_vllm: Run) -> None:
    base = ["plan", GATED, "--gpu", "A100-80GB", "--output", "json"]
    for env, reason in (({}, "no Hub token"), ({"HF_TOKEN": UNAPPROVED}, "no access")):
        closed = verdict(bai_vllm(*base, env=env))
        assert closed["verdict"] == "WONT_START"
        assert any(reason in rule["message"] and "HF_TOKEN" in str(rule) for rule in closed["rules"])
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        assert verdict(bai_vllm(*base, env={name: APPROVED}))["verdict"] == "START"


def test_an_address_and_a_revision(bai_vllm: Run) -> None:
    sha = hub.repos[AWQ].sha
    for words in ([f"https://huggingface.co/{AWQ}/tree/{sha}"], [AWQ, "--revision", sha]):
        found = verdict(bai_vllm("plan", *words, "--gpu", "L40S", "--output", "json"))
        assert (found["model"], found["revision"]) == (AWQ, sha)


def test_several_models_and_cards(bai_vllm: Run) -> None:
    done = bai_vllm("plan", SMALL, PLAIN, "--gpu", "T4", "--gpu", "L40S", "--output", "json")
    found = [(each["model"], each["gpu"]["name"], each["verdict"]) for each in json.loads(done.stdout)]
    assert [(model, card) for model, card, _ in found] == [
        *((SMALL, "T4"), (SMALL, "L40S")),
        *((PLAIN, "T4"), (PLAIN, "L40S")),
    ]
    assert done.returncode == max(CODES[answer] for *_, answer in found) == 4


def test_one_that_cannot_be_read_keeps_none_of_the_others_back(bai_vllm: Run) -> None:
    done = bai_vllm("plan", SMALL, "nobody/nothing", "--gpu", "T4", "--output", "json")
    first, second = json.loads(done.stdout)
    assert (done.returncode, first["verdict"]) == (1, "START")
    assert second["model"] == "nobody/nothing" and "has no model" in second["error"] and second["cure"]
    assert "has no model nobody/nothing" in done.stderr


def test_the_cards_are_listed(bai_vllm: Run) -> None:
    done = bai_vllm("plan", "--gpu", "help")
    assert done.returncode == 0 and "A100-80GB" in done.stdout and "MI300X" in done.stdout


def test_a_step_that_holds_too_little_is_a_verdict(bai_vllm: Run) -> None:
    words = ["--gpu", "T4", "--max-num-batched-tokens", "128", "--max-num-seqs", "256"]
    assert bai_vllm("plan", SMALL, *words).returncode == 4


def test_without_a_card_the_smallest_that_starts(bai_vllm: Run) -> None:
    done = bai_vllm("plan", SMALL, PLAIN, LARGE, "--max-model-len", "1024", "--output", "json")
    assert done.returncode == 0
    small, plain, large = (each["gpu"] for each in json.loads(done.stdout))
    assert small["name"] == "T4" and small["count"] == 1
    assert small["memory_gib"] < plain["memory_gib"] < 40
    assert large["memory_gib"] * large["count"] > 140
    told = bai_vllm("plan", SMALL).stdout
    assert "No --gpu: this is the smallest" in told


def test_without_a_card_and_nothing_starts_it(bai_vllm: Run) -> None:
    done = bai_vllm("plan", SMALL, "--max-model-len", "4096")
    assert done.returncode == 4
    assert "none of the usual cards" in done.stdout and "1024" in done.stdout.replace(",", "")


# --- what goes wrong


@pytest.mark.parametrize(
    ("words", "told", "cure"),
    [
        (["--gpu", "H1OO"], "--gpu: No GPU is known as 'H1OO'", "H100"),
        (["--gpu", "L4", "--gpu-share", "1.5"], "--gpu-share: 1.5", "up to 1"),
        (["--gpu", "L4", "--gpu-share", "0.5", "--tp", "2"], "--gpu-share", "whole cards"),
        (["--gpu-memory-gib", "0"], "--gpu-memory-gib", "GiB"),
        (["--gpu-memory-gib", "nan"], "--gpu-memory-gib", "GiB"),
        (["--gpu-memory-gib", "24", "--compute-capability", "ampere"], "--compute-capability: 'ampere'", "8.0"),
        (["--compute-capability", "8.0"], "--compute-capability", "--gpu-memory-gib"),
        (["--gpu", "L4", "--tp", "0"], "--tensor-parallel-size", "--help"),
        (["--gpu", "L4", "--tp", "x"], "--tensor-parallel-size", "--help"),
        (["--gpu", "L4", "--max-model-len", "3q"], "--max-model-len: '3q'", "8192"),
        (["--gpu", "L4", "--max-num-seqs", "0"], "--max-num-seqs: '0'", "256"),
        (["--gpu", "L4", "--max-num-batched-tokens", "many"], "--max-num-batched-tokens: 'many'", "256"),
        (["--gpu", "L4", "--gpu-memory-utilization", "1.5"], "--gpu-memory-utilization: 1.5", "0.9"),
        (["--gpu", "L4", "--gpu-memory-utilization", "nan"], "--gpu-memory-utilization: nan", "0.9"),
        (["--gpu", "L4", "--dtype", "bf16"], "--dtype: vLLM has no dtype 'bf16'", "bfloat16"),
        (["--gpu", "L4", "--kv-cache-dtype", "fp7"], "--kv-cache-dtype", "fp8"),
        (["--gpu", "L4", "--quantization", "int3"], "--quantization", ""),
        (["--gpu", "L4", "--vllm-version", "latest"], "--vllm-version: 'latest'", "0.32"),
        (["--gpu", "L4", "--extra-args", "'"], "--extra-args", "quotation mark"),
        (["--gpu", "L4", "--extra-args", "--blok-size=32"], "--blok-size", "--block-size"),
        (["--gpu", "L4", "--output", "yaml"], "'yaml' is not one of", "--help"),
        (["--gpus"], "--gpus", "--help"),
        (["--gpuz", "L4"], "No such option: --gpuz", "--gpu"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_bad_value_is_named_with_its_option_and_a_cure(bai_vllm: Run, words: list[str], told: str, cure: str) -> None:
    done = bai_vllm("plan", SMALL, *words)
    assert (done.returncode, done.stdout) == (1, "")
    what, cured = done.stderr.splitlines()
    assert what.startswith("error: ") and told in what
    assert cured.startswith("cure:  ") and cure in cured
    assert not hub.requests, "nothing is asked before the options are understood"


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("nobody/nothing", "has no model nobody/nothing"),
        ("/models/mine", "is a folder"),
        ("s3://bucket/model", "isn't on the Hugging Face Hub"),
        ("datasets/a/b", "is a dataset"),
        ("model.gguf", "gguf"),
    ],
)
def test_what_is_no_model_is_an_error(bai_vllm: Run, model: str, told: str) -> None:
    done = bai_vllm("plan", model, "--gpu", "L4", "--output", "json")
    assert (done.returncode, done.stdout) == (1, "")
    assert told.lower() in done.stderr.lower() and "\ncure:  " in done.stderr


@pytest.mark.parametrize(
    ("words", "env", "told"),
    [
        ([SMALL, "--revision", "nope"], {}, "no branch, tag or commit 'nope'"),
        ([SMALL], {"HF_TOKEN": "hf_wrongwrongwrong"}, "doesn't know this token"),
        ([SMALL], {"HF_ENDPOINT": "http://127.0.0.1:9"}, "no connection"),
        ([SMALL], {"HF_ENDPOINT": "foo"}, "no http(s) address"),
    ],
    ids=["revision", "token", "no Hub", "no address"],
)
def test_a_hub_that_gives_nothing_is_an_error(bai_vllm: Run, words: list[str], env: dict[str, str], told: str) -> None:
    done = bai_vllm("plan", *words, "--gpu", "L4", "--output", "json", env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr and "\ncure:  " in done.stderr
    assert "wrongwrong" not in done.stderr


@pytest.mark.parametrize("models", [[SMALL], [SMALL, PLAIN]], ids=["one", "several"])
def test_ctrl_c_while_the_hub_is_slow(
    command: Path, user_env: dict[str, str], tmp_path: Path, models: list[str]
) -> None:
    hub.rate_limited = 15
    words = [str(command), "plan", *models, "--gpu", "L4"]
    with subprocess.Popen(
        words, env=user_env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while not hub.requests:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, told = process.communicate(timeout=8)
    assert (process.returncode, out, told) == (130, "", "")


def test_a_reader_that_has_enough(command: Path, user_env: dict[str, str], tmp_path: Path) -> None:
    words = [str(command), "plan", SMALL, "--gpu", "L4"]
    with subprocess.Popen(
        words, env=user_env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        process.stdout.close()
        process.stdout = None
        assert process.communicate(timeout=30)[1] == ""
    assert process.returncode == 141


# --- how often the Hub is asked


def test_four_requests_cold_and_none_warm(bai_vllm: Run, emulator: Emulator) -> None:
    words = ["plan", PLAIN, "--gpu", "L4"]
    bai_vllm(*words)
    assert 0 < sum(hub.requests.values()) <= 4
    hub.requests = Counter()
    bai_vllm(*words, "--max-model-len", "2048")
    bai_vllm("plan", PLAIN)
    assert not hub.requests
