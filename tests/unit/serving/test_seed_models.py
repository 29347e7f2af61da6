"""The invariant: the first guide's lines get the verdict that vLLM would give them; what to write instead starts.

Cards by class: 16 GB a T4, 24 GB an A10, 40 GB and 80 GB an A100.  A verdict a card: S starts, W won't, ? at the edge.
A line without tensor_parallel_size runs on one of its GPUs, as that script starts vLLM.
"""

from typing import Any, NamedTuple

import pytest

from serving.fit import Outcome
from serving.gpus import find_gpu
from serving.model_request import ModelRequest
from serving.verdict import Verdict, judge

from .model_configs import CONFIGS
from .test_verdict import facts

CARDS = ("T4", "A10", "A100-40GB", "A100-80GB")
LETTERS = {Outcome.START: "S", Outcome.WONT_START: "W", Outcome.MAYBE: "?"}
LENGTH = 4096  # that script's default
GPT2 = "openai-community/gpt2"
MEDIUM, LARGE = "microsoft/DialoGPT-medium", "microsoft/DialoGPT-large"
L7, L13, L70 = (f"meta-llama/Llama-2-{size}-chat-hf" for size in ("7b", "13b", "70b"))
MISTRAL, VICUNA = "mistralai/Mistral-7B-Instruct-v0.1", "lmsys/vicuna-13b-v1.5"
C13, C34 = (f"codellama/CodeLlama-{size}-Instruct-hf" for size in ("13b", "34b"))
WIZARD = "WizardLM/WizardCoder-15B-V1.0"
L70_AWQ = "TheBloke/Llama-2-70B-Chat-AWQ"


class Line(NamedTuple):
    """`verdicts`: one a card; `rules`: those broken on the largest card; `instead`: other settings, and theirs."""

    repo: str
    asked: dict[str, Any]
    verdicts: str
    rules: tuple[str, ...] = ()
    instead: dict[str, Any] | None = None
    then: str = ""


SEED = [
    Line(GPT2, {}, "WWWW", ("max-model-len",), {"max_model_len": 1024}, "SSSS"),
    Line(MEDIUM, {}, "WWWW", ("max-model-len",), {"max_model_len": 1024}, "SSSS"),
    Line(LARGE, {}, "WWWW", ("max-model-len",), {"max_model_len": 1024}, "SSSS"),
    Line(L7, {}, "WSSS", (), {"quantization": "fp8"}, "SSSS"),
    Line(L13, {"gpus": 2}, "WWSS", (), {"tensor_parallel_size": 2}, "WSSS"),
    Line(MISTRAL, {}, "WSSS", (), {"quantization": "fp8"}, "SSSS"),
    Line(
        L70,
        {"gpus": 4, "tensor_parallel_size": 4, "quantization": "awq"},
        "WWWW",
        ("quantization",),
        {"model": L70_AWQ, "quantization": None},
        "SSSS",
    ),
    Line(
        L70,
        {"gpus": 4, "tensor_parallel_size": 4, "quantization": "awq", "max_model_len": 8192},
        "WWWW",
        ("quantization", "max-model-len"),
        {"model": L70_AWQ, "quantization": None, "max_model_len": 4096},
        "SSSS",
    ),
    Line(
        C34,
        {"gpus": 2, "quantization": "gptq"},
        "WWWW",
        ("quantization",),
        {"tensor_parallel_size": 2, "quantization": "fp8"},
        "WSSS",
    ),
    Line(C13, {"gpus": 2}, "WWSS", (), {"tensor_parallel_size": 2}, "WSSS"),
    Line(VICUNA, {}, "WWSS", (), {"quantization": "fp8"}, "WSSS"),
    Line(WIZARD, {}, "WWSS", (), {"quantization": "fp8"}, "WSSS"),
]


def verdicts(repo: str, asked: dict[str, Any]) -> list[Verdict]:
    settings = {"max_model_len": LENGTH, "model": repo, **asked}
    config = CONFIGS[settings["model"]]
    return [judge(ModelRequest("m", gpu=find_gpu(card), **settings), facts(config)) for card in CARDS]


def letters(found: list[Verdict]) -> str:
    return "".join(LETTERS[verdict.outcome] for verdict in found)


@pytest.mark.parametrize("line", SEED, ids=lambda line: line.repo.rpartition("/")[2])
def test_the_verdict_of_each_line(line: Line) -> None:
    found = verdicts(line.repo, line.asked)
    assert letters(found) == line.verdicts
    assert tuple(rule.rule for rule in found[-1].broken) == line.rules
    for verdict in found:
        assert verdict.outcome is Outcome.START or verdict.broken
        assert verdict.outcome is Outcome.START or verdict.cures


@pytest.mark.parametrize("line", SEED, ids=lambda line: line.repo.rpartition("/")[2])
def test_what_to_write_instead(line: Line) -> None:
    assert line.instead
    assert letters(verdicts(line.repo, {**line.asked, **line.instead})) == line.then
    gained = [before != "S" and after == "S" for before, after in zip(line.verdicts, line.then, strict=True)]
    assert any(gained)


# What can't work on any card: the setting itself is wrong.
NEVER: list[tuple[str, dict[str, Any], str]] = [
    (L70, {"quantization": "awq"}, "quantization"),
    (C34, {"quantization": "gptq"}, "quantization"),
    (L70_AWQ, {"quantization": "gptq"}, "quantization"),
    ("TheBloke/Llama-2-7B-Chat-GPTQ", {"quantization": "awq"}, "quantization"),
    (L70_AWQ, {"quantization": "fp8"}, "quantization"),
    (L7, {"quantization": "bitsandbytes"}, "quantization-method"),
    (L7, {"quantization": "gguf"}, "quantization-method"),
    (GPT2, {"max_model_len": 2048, "env": {"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"}}, "max-model-len"),
    (L7, {"max_model_len": 8192}, "max-model-len"),
    (WIZARD, {"max_model_len": 16384}, "max-model-len"),
]


@pytest.mark.parametrize(("repo", "asked", "rule"), NEVER)
def test_what_can_work_on_no_card(repo: str, asked: dict[str, Any], rule: str) -> None:
    for verdict in verdicts(repo, {"gpus": 8, "tensor_parallel_size": 8, **asked}):
        assert rule in {broken.rule for broken in verdict.broken}


def test_awq_needs_more_than_a_v100() -> None:
    request = ModelRequest("m", L70_AWQ, gpu=find_gpu("V100-32GB"), gpus=4, tensor_parallel_size=4)
    found = judge(request, facts(CONFIGS[L70_AWQ]))
    assert [rule.rule for rule in found.broken] == ["quantization-capability"]


def test_llama_2_70b_does_not_fit_one_80_gb_card() -> None:
    (*_, found) = verdicts(L70, {})
    assert found.outcome is Outcome.WONT_START
    assert {rule.rule for rule in found.broken} == {"loading", "memory"}


def test_wizardcoder_gains_nothing_by_more_gpus() -> None:
    (*_, found) = verdicts(WIZARD, {"gpus": 2, "tensor_parallel_size": 2})
    assert "can't divide this family" in " ".join(rule.message for rule in found.warnings)
