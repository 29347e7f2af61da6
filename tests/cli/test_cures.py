"""Whatever goes wrong ends in a cause and the command that cures it; the five cases of the old guide, end to end."""

from __future__ import annotations

import inspect
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from backendai import errors as of_cluster
from cli.cures import TABLE, command_for
from serving import causes
from serving import errors as of_serving

from .operated import NOWHERE, Operated, operated

__all__ = ["operated"]

pytestmark = pytest.mark.timeout(120)


def test_every_code_has_one_row() -> None:
    counted = [code for row in TABLE for code in row.codes]
    assert len(counted) == len(set(counted))
    known = {code for _pattern, code, _what, _cure in causes._TABLE}
    known |= {code for code, _what, _cure in causes._BY_EXIT_CODE.values()}
    for module in (of_cluster, of_serving):
        known |= {kind.code for _, kind in inspect.getmembers(module, inspect.isclass) if hasattr(kind, "code")}
    missing = {code for code in known if not command_for(code)}
    assert not missing
    assert all("`" in row.command for row in TABLE)


class TestTheFiveCases:
    def test_authentication(self, operated: Operated) -> None:
        for verb in (["list"], ["logs", "chat"]):
            what, cure = operated.error(*verb, env={"BACKEND_SECRET_KEY": "wrong"})
            assert "doesn't accept the credentials" in what
            assert "`export BACKEND_ACCESS_KEY=... BACKEND_SECRET_KEY=...`" in cure and "`bai-vllm doctor`" in cure

    def test_not_enough_gpus(self, operated: Operated) -> None:
        waiting = operated.add_session("hungry", gpus=8)
        row = next(r for r in operated.json("list")["sessions"] if r["session_id"] == waiting)
        told = operated.json("doctor")
        operated.end_session(waiting)
        assert row["state"] == "queued"
        assert "not enough free: it asks for 8 cuda.device" in row["detail"]
        assert "`bai-vllm kill NAME`" in row["cure"]
        assert next(c for c in told["checks"] if c["check"] == "quota")["what"]

    def test_out_of_memory(self, operated: Operated) -> None:
        row = operated.rows()["greedy-0"]
        assert row["detail"] == "The GPU's memory isn't enough."
        assert "`bai-vllm plan backendai-vllm/tiny-llama --matrix`" in row["cure"]
        told = operated.run("list").stdout
        assert "The GPU's memory isn't enough." in told and "cure: " in told

    @pytest.mark.parametrize(
        ("model", "said"),
        [("acme/no-such-model", "has no model acme/no-such-model"), ("meta-llama/Llama-2-7b-chat-hf", "is gated")],
    )
    def test_repository_not_found_or_private(self, operated: Operated, model: str, said: str) -> None:
        with operated.one_more_model("unseen", model):
            told = operated.json("doctor", code=1)
        check = next(c for c in told["checks"] if c["check"] == "model" and c["what"].startswith("unseen: "))
        assert check["level"] == "fail" and said in check["what"]
        assert f"`bai-vllm plan {model}`" in check["cure"]
        assert "`pulumi config set --secret backendai-vllm:hf_token`" in check["cure"]

    def test_repository_not_found_said_by_the_session(self, operated: Operated) -> None:
        said = "OSError: acme/secret is not a local folder and is not a valid model identifier listed on the Hub"
        ended = operated.add_session("blind", command=f"sleep 1; echo '{said}'; exit 1")
        done = operated.run("logs", ended, "-f", "--interval", "0.2")
        assert "There is no model acme/secret on the Hub" in done.stderr
        assert "`pulumi config set --secret backendai-vllm:hf_token`" in done.stderr

    def test_session_does_not_start(self, operated: Operated) -> None:
        row = operated.rows()["stillborn-0"]
        assert (row["state"], row["detail"]) == ("ended", "Its container couldn't be created (failed-to-create).")
        assert "`bai-vllm logs stillborn`" in row["cure"] and "`bai-vllm doctor`" in row["cure"]


class TestBadInput:
    """One clear line and a cure each."""

    def test_an_unknown_name(self, operated: Operated) -> None:
        for verb in ("logs", "kill"):
            what, cure = operated.error(verb, "chta")
            assert "'chta'" in what and "chat" in cure

    def test_an_ambiguous_name(self, operated: Operated) -> None:
        what, cure = operated.error("logs", "writer")
        assert "writer-0, writer-1" in what and "writer-0" in cure
        theirs = [operated.add_session(f"twin-{i}") for i in range(2)]
        what, _ = operated.error("logs", "twin")
        assert "twin-0" in what and "twin-1" in what
        for session in theirs:
            operated.end_session(session)

    def test_a_dead_endpoint(self, operated: Operated) -> None:
        what, cure = operated.error("list", env={"BACKEND_ENDPOINT": NOWHERE})
        assert what == f"Nothing answers at {NOWHERE}."
        assert "`bai-vllm doctor`" in cure

    def test_no_credentials(self, operated: Operated) -> None:
        what, cure = operated.error("list", env={"BACKEND_ACCESS_KEY": "", "BACKEND_SECRET_KEY": ""})
        assert "credentials are missing" in what and "pulumi config set --secret" in cure

    def test_no_stack_selected(self, operated: Operated) -> None:
        what, cure = operated.error("list", env={"PULUMI_STACK": ""})
        assert what == "No stack is selected."
        assert "pulumi stack select" in cure and "test" in cure

    def test_no_such_stack(self, operated: Operated) -> None:
        what, cure = operated.error("list", "--stack", "nope")
        assert "no stack 'nope'" in what and "pulumi stack ls" in cure

    def test_no_backend(self, operated: Operated) -> None:
        what, cure = operated.error("list", env={"PULUMI_BACKEND_URL": "file:///nowhere/at/all"})
        assert "can't be opened" in what and "PULUMI_BACKEND_URL" in cure

    def test_a_cli_was_killed_while_it_wrote(self, operated: Operated) -> None:
        folder = Path(urlsplit(operated.stack.env["PULUMI_BACKEND_URL"]).path)
        (state,) = folder.glob(".pulumi/stacks/*/test.json")
        cut_off = state.with_name(state.name + ".attrs")
        cut_off.touch()
        try:
            what, cure = operated.error("list")
        finally:
            cut_off.unlink()
        assert "The state itself is whole" in what and "-name '*.attrs' -delete" in cure

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("config: {{{\n", "isn't sound YAML at line 2"),
            ("- a\n- b\n", "isn't a mapping"),
            ("config: 5\n", "mapping"),
        ],
    )
    def test_a_corrupt_stack_file(self, operated: Operated, content: str, said: str) -> None:
        with operated.file_with(content):
            for verb in (["list"], ["logs", "chat"]):
                what, cure = operated.error(*verb)
                assert said in what and "git checkout" in cure

    def test_it_works_in_a_folder_below_the_project(self, operated: Operated) -> None:
        below = operated.stack.folder / "stacks"
        assert "chat" in operated.run("list", folder=below).stdout

    def test_elsewhere_it_works_on_its_own_clone(self, operated: Operated, tmp_path: Path) -> None:
        what, _ = operated.error("list", env={"PULUMI_STACK": ""}, folder=tmp_path)
        assert what == "No stack is selected."
