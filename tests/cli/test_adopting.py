"""A session that was made without the stack comes under it as it is: nothing is restarted, and no key is in clear."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from providers.stack_identity import session_name
from tests.lifecycle.driver import IMAGE, TINY

from .by_hand import KEY, ByHand
from .operated import OTHER_STACK, emulated

OTHER_IMAGE = "cr.backend.ai/stable/vllm:0.11-cuda12.8-ubuntu22.04"
MODELS: list[dict[str, Any]] = [
    {"name": "chat", **TINY, "api_key": KEY, "replicas": 2, "session_name": "by-hand"},
    {"name": "keyless", **TINY},
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ByHand]:
    with emulated(tmp_path_factory.mktemp("adopted"), MODELS) as (stack, emulator):
        yield ByHand(stack, emulator)


@pytest.fixture(scope="module")
def by_hand(bench: ByHand) -> str:
    """The session that shall be chat-0."""
    made = bench.start("by-hand")
    bench.wait_until_it_answers(made)
    return made


class TestRefusals:
    """Before anything is adopted; nothing is written by any of them."""

    @pytest.fixture(autouse=True)
    def nothing_is_written(self, bench: ByHand, by_hand: str) -> Iterator[None]:
        before = bench.text
        yield
        assert bench.text == before
        assert bench.status(by_hand) == "RUNNING"

    def test_a_session_that_does_not_exist(self, bench: ByHand) -> None:
        what, cure = bench.error("adopt", "nobody", "chat", "--yes")
        assert "no session 'nobody'" in what and "session list" in cure

    def test_a_model_that_is_not_declared(self, bench: ByHand) -> None:
        what, cure = bench.error("adopt", "by-hand", "chatt", "--yes")
        assert "declares no 'chatt'" in what and "chat-0, chat-1, keyless-0" in cure
        what, cure = bench.error("adopt", "by-hand", "chat-2", "--yes")
        assert "declares no 'chat-2'" in what and "`replicas` of 'chat'" in cure

    def test_no_key_to_be_had(self, bench: ByHand) -> None:
        what, cure = bench.error("adopt", "by-hand", "keyless", "--yes")
        assert "'keyless' has no api_key" in what
        assert "--api-key-file" in cure and "models[1].api_key" in cure

    def test_another_key(self, bench: ByHand) -> None:
        what, cure = bench.error("adopt", "by-hand", "keyless", "--yes", env={"VLLM_API_KEY": "sk-guessed-at-it"})
        assert "api_key: session by-hand refuses" in what and "401" in what
        assert "sk-guessed-at-it" not in what + cure

    def test_a_key_beside_another_that_is_declared(self, bench: ByHand, tmp_path: Path) -> None:
        file = tmp_path / "key"
        file.write_text("sk-another-one\n")
        what, _ = bench.error("adopt", "by-hand", "chat", "--yes", "--api-key-file", str(file))
        assert what.startswith("--api-key-file: ") and "sk-another-one" not in what

    @pytest.mark.parametrize(
        ("other", "told"),
        [
            (
                {"image": OTHER_IMAGE, "shmem": "128m", "resources": {"cpu": "2", "mem": "2g", "cuda.device": "2"}},
                [
                    f"image: declared {IMAGE}, the session has {OTHER_IMAGE}",
                    "cpu: declared 1, the session has 2",
                    "gpus: declared 1, the session has 2",
                    "memory: declared 1g, the session has 2g",
                    "shmem: declared 64m, the session has 128m",
                ],
            ),
            ({"length": 256}, ["max_model_len: declared 512, the session has 256"]),
        ],
        ids=["as the cluster tells", "as the server tells"],
    )
    def test_what_would_be_replaced(self, bench: ByHand, other: dict[str, Any], told: list[str]) -> None:
        made = bench.start("otherwise", **other)
        bench.wait_until_it_answers(made)
        lines = bench.run("adopt", "otherwise", "chat", "--yes", code=1).stderr.splitlines()
        bench.end_session(made)
        assert [line.removeprefix("  - ") for line in lines[1:-1]] == told
        assert "would replace it" in lines[0] and lines[-1].startswith("cure:  Change Pulumi.test.yaml")

    def test_one_of_another_stack(self, bench: ByHand) -> None:
        theirs = bench.add_session("of-a-colleague")
        what, _ = bench.error("adopt", "of-a-colleague", "chat", "--yes")
        bench.end_session(theirs)
        assert OTHER_STACK in what and "another stack" in what

    def test_one_that_another_stack_has_adopted(self, bench: ByHand) -> None:
        made = bench.start(f"hand{session_name('0123456789ab', '-0')}")
        bench.wait_until_it_answers(made)
        what, cure = bench.error("adopt", made, "chat", "--dry-run")
        assert "a name that a stack gave it" in what and "--forgotten" in cure
        assert "Nothing was written" in bench.run("adopt", made, "chat", "--dry-run", "--forgotten").stdout
        bench.end_session(made)

    def test_a_key_file_that_is_not_there(self, bench: ByHand) -> None:
        what, _ = bench.error("adopt", "by-hand", "keyless", "--yes", "--api-key-file", "/nowhere")
        assert what == "There is no /nowhere."

    def test_one_that_has_ended(self, bench: ByHand) -> None:
        made = bench.start("short-lived")
        bench.end_session(made)
        what, _ = bench.error("adopt", made, "chat", "--yes")
        assert "TERMINATED" in what

    def test_one_that_still_loads(self, bench: ByHand) -> None:
        made = bench.start("slow", environ={"VLLM_STANDIN_LOAD_SECONDS": "600"})
        told = bench.run("adopt", "slow", "chat", "--dry-run").stdout
        bench.end_session(made)
        assert (
            "not compared  api_key, served_model_name and max_model_len" in told
            and "its server doesn't answer yet" in told
        )

    def test_nobody_to_ask_and_a_dry_run(self, bench: ByHand, by_hand: str) -> None:
        assert "--yes" in bench.run("adopt", "by-hand", "chat", code=1).stderr
        told = bench.json("adopt", by_hand, "chat", "--dry-run")
        assert (told["adopted"], told["resource"], told["session_id"]) == (False, "chat-0", by_hand)
        assert told["renamed_to"] is None
        assert bench.stack.export()["deployment"].get("resources", []) == []


class TestAdoption:
    """In this order: adopted, brought up, ended."""

    def test_it_comes_into_the_state_without_a_key_in_clear(self, bench: ByHand, by_hand: str) -> None:
        done = bench.run("adopt", "by-hand", "chat", "--yes")
        assert "by-hand is chat-0" in done.stdout
        assert KEY not in done.stdout + done.stderr + bench.exported
        assert bench.replicas() == {"chat-0": by_hand}
        what, _ = bench.error("adopt", "by-hand", "chat", "--yes")
        assert "chat-0 has a session in stack test already: by-hand" in what

    def test_another_model_with_its_key_from_a_file(
        self, bench: ByHand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made, key = bench.start("old-script", key="sk-of-the-old-script"), tmp_path / "key"
        key.write_text("sk-of-the-old-script\n")
        bench.wait_until_it_answers(made)
        # Another run has the stack: what was written before the state is put back, and no file with secrets stays.
        before, temporary = bench.text, tmp_path / "temporary"
        temporary.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(temporary))
        with bench.locked():
            what, _ = bench.error("adopt", "old-script", "keyless", "--yes", "--api-key-file", str(key))
        assert "locked" in what
        assert bench.text == before
        assert bench.emulator.cluster.sessions[made].name == "old-script"
        assert list(temporary.iterdir()) == []
        told = bench.json("adopt", "old-script", "keyless", "--yes", "--api-key-file", str(key))
        assert told["adopted"] and told["api_key_written"] and told["renamed_to"].startswith("keyless-0-")
        assert bench.entries["keyless"]["api_key"].keys() == {"secure"}
        assert "sk-of-the-old-script" not in bench.text + bench.exported
        assert bench.replicas()["keyless-0"] == made

    def test_a_second_replica(self, bench: ByHand) -> None:
        made = bench.start("by-hand-1")
        bench.wait_until_it_answers(made)
        bench.run("adopt", "by-hand-1", "chat-1", "--yes")
        assert bench.replicas()["chat-1"] == made

    def test_the_next_up_makes_the_endpoints_and_touches_no_session(self, bench: ByHand) -> None:
        before = bench.replicas()
        other = bench.add_session("all-that-is-free", gpus=5)
        bench.stack.up()
        bench.end_session(other)
        assert bench.replicas() == before
        assert bench.living == set(before.values())
        assert {r["name"] for r in bench.stack.output("endpoints")} == before.keys()
        assert bench.stack.output("api_keys") == {"chat": KEY, "keyless": "sk-of-the-old-script"}
        assert KEY not in bench.exported and "sk-of-the-old-script" not in bench.exported
        names = {bench.emulator.cluster.sessions[made].name.rpartition("-")[0] for made in before.values()}
        assert names == {"by", "by-hand", "keyless-0"}  # that of the old script had to change its name
        bench.stack.up("--expect-no-changes")

    def test_destroy_ends_them(self, bench: ByHand) -> None:
        bench.stack.destroy()
        assert bench.living == set()
        assert bench.stack.resources() == []
