"""The invariant: what the cluster can't hold is said before anything is created or ended, and what lives stays."""

from __future__ import annotations

from typing import Any

from emulator import Emulator
from emulator.cluster import fixtures

from .driver import TINY, PulumiStack

CHAT: dict[str, Any] = {"name": "chat", **TINY}
HALF: dict[str, Any] = {**TINY, "tensor_parallel_size": 1}


def living(emulator: Emulator) -> set[str]:
    return {str(session.id) for session in emulator.cluster.living()}


TYPO = "cr.backend.ai/stable/vllm:0.32.0-typo"
# Beside a model that runs, all at once: what can't start, and what is said of it.
CANNOT_START: list[tuple[dict[str, Any], list[str]]] = [
    ({"gpus": 100, "tensor_parallel_size": 1}, ["m0-0: It asks for 100 cuda.device", "no node of 'default'"]),
    ({"replicas": 9}, ["m1-0, m1-1", "7 cuda.device free", "9 cuda.device are needed"]),
    ({"image": TYPO, "vllm_version": "0.32.0"}, ["m2-0: The cluster doesn't know the image", "backend.ai image list"]),
    (
        {"resource_group": "nope"},
        ["m3-0: Resource group 'nope' doesn't exist", "Set resource_group to one of: default"],
    ),
    ({"model_cache": "nope"}, ["m4-0: There is no folder 'nope'", "hf-cache, llm-model"]),
]


def test_what_cannot_start_is_a_warning_in_preview_and_the_end_of_an_up(stack: PulumiStack, emulator: Emulator) -> None:
    stack.configure([CHAT])
    stack.up()
    before, writes = living(emulator), emulator.cluster.writes
    stack.configure([CHAT, *({**CHAT, "name": f"m{n}", **change} for n, (change, _) in enumerate(CANNOT_START))])
    preview = stack.preview()
    failed = stack.up(code=None)
    assert failed.code != 0
    assert "no session was created or ended" in failed.text
    assert "Traceback" not in failed.text
    for word in (word for _, words in CANNOT_START for word in words):
        assert word in preview.text
        assert word in failed.text

    stack.configure([CHAT], {"image": TYPO})  # what runs would be ended before the new one is asked for
    failed = stack.up(code=None)
    assert failed.code != 0
    assert "chat-0: The cluster doesn't know the image" in failed.text
    assert living(emulator) == before == stack.session_ids()
    assert emulator.cluster.writes == writes


def test_a_full_cluster_hinders_neither_what_runs_nor_what_takes_its_own_place(
    stack: PulumiStack, emulator: Emulator
) -> None:
    stack.configure([{**HALF, "name": "chat", "gpus": 4}, {"name": "writer", **HALF, "gpus": 4}])
    stack.up()
    before = living(emulator)
    unchanged = stack.up("--expect-no-changes")
    assert "are needed" not in unchanged.text

    stack.configure([{**HALF, "name": "chat", "gpus": 4, "max_model_len": 256}, {"name": "writer", **HALF, "gpus": 4}])
    stack.up()
    assert len(living(emulator)) == 2
    assert len(living(emulator) & before) == 1

    stack.configure([{"name": "other", **HALF, "gpus": 4}, {"name": "writer", **HALF, "gpus": 4}])
    failed = stack.up(code=None)
    assert failed.code != 0
    assert "will only end after the others have started" in failed.text
    assert living(emulator) == stack.session_ids()

    stack.configure(
        [{**HALF, "name": "chat", "gpus": 5}, {"name": "writer", **HALF, "gpus": 3}]
    )  # one gives what the other takes
    stack.up()
    assert len(living(emulator)) == 2


def test_the_quota_counts_and_queueing_can_be_allowed(stack: PulumiStack, emulator: Emulator) -> None:
    stack.env |= {
        "BACKEND_ACCESS_KEY": fixtures.LIMITED.access_key,
        "BACKEND_SECRET_KEY": fixtures.LIMITED.secret_key,
    }
    small = {**TINY, "memory": "512m", "gpus": 1}
    models = [{"name": "chat", **small}, {"name": "writer", **small, "wait": False}]
    stack.configure(models)
    failed = stack.up(code=None)
    assert failed.code != 0
    assert "quota has 1 cuda.device left, and 2 cuda.device are needed" in failed.text
    assert "allow_queueing" in failed.text
    assert living(emulator) == set()

    stack.configure(models[:1])
    stack.up()
    stack.configure(models, {"allow_queueing": True})
    queued = stack.up()
    assert "quota has 0 cuda.device left" in queued.text
    assert {session.status for session in emulator.cluster.living()} == {"RUNNING", "PENDING"}


def test_a_cluster_that_does_not_tell_hinders_nobody(stack: PulumiStack, emulator: Emulator) -> None:
    stack.configure([{**CHAT, "wait": False}])
    for path in ("^/resource/check-presets$", "^/admin/gql$", "^/v2/domains/", "/compute-schedule$"):
        emulator.faults.add(path=path, action="status", status=403, times=-1)
    up = stack.up()
    assert "Not checked on the cluster: " in up.text
    assert living(emulator) == stack.session_ids()
