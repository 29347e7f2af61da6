"""The invariant: what vLLM couldn't start is said in preview, with numbers, causes and cures; nothing is created."""

from __future__ import annotations

from typing import Any

from emulator import Emulator

from .driver import TINY, PulumiStack

CHAT: dict[str, Any] = {"name": "chat", **TINY}
CARD = {"gpu": "A100-40GB"}
IMPOSSIBLE: list[tuple[dict[str, Any], list[str]]] = [
    ({"name": "longer", "model": "openai-community/gpt2", "max_model_len": 4096}, ["1024", "Set max_model_len"]),
    (
        {"name": "larger", "preset": "70b", "gpus": 1, "tensor_parallel_size": 1},
        ["the weights take", "What would do: Use"],
    ),
    (
        {"name": "other", "model": "Qwen/Qwen2.5-7B-Instruct", "quantization": "awq"},
        ["aren't quantized", "What would do: Leave quantization out"],
    ),
]


def problems_in(text: str) -> str:
    """The error that ends the program."""
    return text.rpartition("nothing was changed:")[2]


def test_three_impossible_models_are_all_named_and_nothing_is_written(stack: PulumiStack, emulator: Emulator) -> None:
    stack.configure([model for model, _ in IMPOSSIBLE], CARD)
    writes = emulator.cluster.writes
    for command in (stack.preview, stack.up):
        failed = command(code=None)
        assert failed.code != 0
        for model, words in IMPOSSIBLE:
            for word in (f"({model['name']})", *words):
                assert word in problems_in(failed.text), f"{word!r} in {failed.text}"
        assert failed.text.count("WON'T START") >= 3
        assert "Traceback" not in failed.text
    assert emulator.cluster.writes == writes
    assert stack.resources("StackIdentity") == []


def test_a_stack_has_one_table_and_exports_what_is_predicted_and_measured(
    stack: PulumiStack, emulator: Emulator
) -> None:
    stack.configure([CHAT, {"name": "writer", **TINY, "gpu_memory_gib": 24, "compute_capability": 8.9}], CARD)
    table = stack.preview().text.partition("Diagnostics:")[2]
    assert table.count("Will it start?\n") == 1
    assert "A100-40GB" in table
    assert "24 GiB" in table

    stack.up()
    verdicts = stack.output("verdicts")
    assert {name: verdict["outcome"] for name, verdict in verdicts.items()} == {"chat": "START", "writer": "START"}
    assert verdicts["chat"]["kv_cache_tokens"] > verdicts["writer"]["kv_cache_tokens"] > 0
    for entry in stack.output("endpoints"):
        figures = {"weights_gib", "kv_cache_gib", "kv_cache_tokens", "max_concurrency"}
        assert set(entry["predicted"]) == set(entry["measured"]) == figures

    stack.configure([CHAT, {"name": "writer", **TINY}], {"gpu": "L4"})  # what the verdict goes by is recorded only
    before = stack.session_ids()
    stack.up()
    assert stack.session_ids() == before
    stack.up("--expect-no-changes")


def test_what_is_misjudged_can_be_served_all_the_same(stack: PulumiStack, emulator: Emulator) -> None:
    model = {**CHAT, "gpu_memory_gib": 0.1, "wait": False}
    stack.configure([model])
    failed = stack.preview(code=None)
    assert failed.code != 0
    stack.configure([{**model, "allow_unverified": True}])
    up = stack.up()
    assert "WON'T START, and it is created all the same (allow_unverified)" in up.text
    assert len(stack.session_ids()) == 1


def test_a_hub_that_does_not_answer_is_a_warning_that_says_what_was_not_checked(
    stack: PulumiStack, emulator: Emulator
) -> None:
    stack.configure([{**CHAT, "wait": False}], CARD)
    up = stack.up(env={"HF_ENDPOINT": "http://127.0.0.1:9"})
    assert "chat: not checked: " in up.text
    assert "memory" in up.text
    assert len(stack.session_ids()) == 1


def test_the_card_has_a_name_that_is_known(stack: PulumiStack, emulator: Emulator) -> None:
    stack.configure([CHAT], {"gpu": "H100-80BG"})
    failed = stack.preview(code=None)
    assert failed.code != 0
    assert "models[0].gpu" in failed.text
    assert "H100-80GB" in failed.text


def test_the_model_cache_arrives_in_the_session(stack: PulumiStack, emulator: Emulator) -> None:
    stack.configure([CHAT, {"name": "writer", **TINY, "model_cache": "none"}], {"model_cache": "hf-cache"})
    stack.up()
    by_name = {session.name.rpartition("-")[0]: session for session in emulator.cluster.living()}
    folder = "/home/work/.cache/huggingface"
    assert by_name["chat-0"].mounts == {"hf-cache": folder}
    assert by_name["chat-0"].environ["HF_HOME"] == folder
    assert by_name["writer-0"].mounts == {}
    assert "HF_HOME" not in by_name["writer-0"].environ
