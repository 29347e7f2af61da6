"""`deploy`, `remove`, `test`, `chat`, `connect` and `menu` of one stack: its file holds what was asked for and nothing
else, what was refused leaves no trace, and a token is nowhere in clear.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cluster.processes import wait_until
from tests.lifecycle.driver import TINY

from .deploying import Bench
from .operated import emulated

pytestmark = pytest.mark.timeout(300)

TOKEN = "hf_standin_approved"
GPT2 = ("openai-community/gpt2", "--max-model-len", "512", "-m", "2g", "-c", "1")
MODELS: list[dict[str, Any]] = [
    {"name": "chat", **TINY},
    {"name": "writer", **TINY, "replicas": 2},
    {"name": "slow", **TINY, "env": {"VLLM_STANDIN_SLOW": "2"}},
]


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with emulated(tmp_path_factory.mktemp("deploying"), MODELS) as (stack, emulator):
        made = Bench(stack, emulator)
        made.file.write_text("# ours\n" + made.text.replace("  - name: writer", "\n  # two of them\n  - name: writer"))
        stack.up()
        yield made


@pytest.fixture
def bench(operated: Bench) -> Bench:
    return operated


@pytest.fixture
def unchanged(bench: Bench) -> Iterator[None]:
    """What this test does leaves neither in the file nor on the cluster a trace."""
    text, living = bench.file.read_bytes(), bench.living
    yield
    assert bench.file.read_bytes() == text
    assert bench.living == living
    assert list(bench.file.parent.glob(".*")) == []


@pytest.mark.usefixtures("unchanged")
class TestTest:
    def test_a_model_that_does_all(self, bench: Bench) -> None:
        lines = bench.run("test", "chat").stdout.splitlines()
        assert re.fullmatch(r"chat-0 \(session [0-9a-f-]{36}\)", lines[0])
        assert [line.split()[:2] for line in lines[1:]] == [
            [name, "ok"] for name in ("health", "models", "completion", "chat", "stream")
        ]
        assert re.search(r"first token after \d+ ms, then [\d,.]+ tokens/s \(\d+ tokens\)$", lines[-1])

    def test_every_replica_is_asked(self, bench: Bench) -> None:
        told = bench.json("test", "writer")
        assert (told["ok"], [server["server"] for server in told["servers"]]) == (True, ["writer-0", "writer-1"])
        stream = told["servers"][1]["steps"][-1]
        assert (stream["name"], stream["state"]) == ("stream", "ok")
        assert 0 < stream["time_to_first_token"] < stream["seconds"] and stream["tokens"] > 1

    def test_an_answer_that_takes_too_long(self, bench: Bench) -> None:
        told = bench.json("test", "slow", "--timeout", "0.5", code=1)
        states = {step["name"]: step for step in told["servers"][0]["steps"]}
        assert [states[name]["state"] for name in ("health", "models", "completion")] == ["ok", "ok", "failed"]
        assert "vLLM is at:" in states["completion"]["detail"]
        assert "`bai-vllm logs slow-0`" in states["completion"]["cure"]

    def test_an_address_where_nothing_is(self, bench: Bench) -> None:
        told = bench.run("test", "http://127.0.0.1:9/v1", code=1).stdout
        assert "health      failed   nothing can be reached there (Connection refused)" in told
        assert "cure:    Check the address" in told and told.count("skipped") == 4

    def test_a_key_that_is_not_there(self, bench: Bench) -> None:
        what, cure = bench.error("test", "http://127.0.0.1:9", "--api-key-env", "NO_SUCH_KEY")
        assert (what, cure) == ("--api-key-env: NO_SUCH_KEY isn't set.", "`export NO_SUCH_KEY=...` sets it.")

    def test_a_name_that_is_not_there(self, bench: Bench) -> None:
        what, cure = bench.error("test", "chta")
        assert what == "There is no model 'chta' in stack test." and "Did you mean chat?" in cure


@pytest.mark.usefixtures("unchanged")
class TestChat:
    def test_a_conversation(self, bench: Bench) -> None:
        done = bench.typed("Hello there\n/reset\n/help\nAgain\n/exit\nnever\n", "chat", "chat")
        assert done.stdout == "You said: Hello there\nYou said: Again\n"
        assert "(forgotten)" in done.stderr and done.stderr.count("/exit or Ctrl-D leaves") == 2

    def test_the_end_of_stdin_ends_it(self, bench: Bench) -> None:
        assert bench.typed("Hello", "chat", "writer-1").stdout == "You said: Hello\n"

    def test_ctrl_c_stops_the_answer_and_not_the_chat(self, bench: Bench) -> None:
        process = bench.begin("chat", "slow")
        assert process.stdin and process.stderr
        assert "slow-0" in process.stderr.readline()
        process.stdin.write("Hello\n")
        process.stdin.flush()
        time.sleep(0.7)  # the answer is waited for
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == " (stopped)\n"
        out, err = process.communicate("/exit\n", timeout=60)
        assert (process.returncode, err) == (0, "")
        assert "You said: Hello".startswith(out.strip()) and len(out.strip()) < len("You said: Hello")


class TestConnect:
    @pytest.mark.usefixtures("unchanged")
    def test_a_port_that_leads_to_a_model(self, bench: Bench) -> None:
        with bench.connected("chat") as url:
            assert httpx.get(f"{url}/health", trust_env=False).status_code == 200
            assert httpx.get(f"{url}/v1/models", trust_env=False).status_code == 401
            port = url.rpartition(":")[2]
            what, cure = bench.error("connect", "chat", "--port", port)
            assert what.startswith(f"--port: {port} can't be listened on") and "--port" in cure
            assert "ok" in bench.run("test", url, "--timeout", "5", env={"VLLM_API_KEY": "wrong"}, code=1).stdout

    @pytest.mark.usefixtures("unchanged")
    def test_the_command_that_gets_the_key(self, bench: Bench) -> None:
        with bench.connected("writer") as url:
            process = bench.begin("connect", "writer-0")
            assert process.stdout
            line = next(line for line in process.stdout if "export VLLM_API_KEY" in line)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
            shell = f'{line.strip()}; printf %s "$VLLM_API_KEY"'
            got = subprocess.run(
                ["bash", "-c", shell], env=bench.environment(), cwd=bench.stack.folder, capture_output=True, check=True
            )
            assert got.stdout.decode() == bench.key
            told = bench.json("test", url, "--api-key-env", "A_KEY", env={"A_KEY": bench.key})
            assert told["servers"][0]["model"] == TINY["model"]

    def test_replicas_share_the_requests_and_a_dead_one_costs_none(self, bench: Bench) -> None:
        headers = {"Authorization": f"Bearer {bench.key}"}
        body = {"model": TINY["model"], "prompt": "Hi", "max_tokens": 2}

        def ask(url: str) -> None:
            answer = httpx.post(f"{url}/v1/completions", json=body, headers=headers, trust_env=False, timeout=20)
            assert answer.status_code == 200, answer.text

        found = {row["urn"].rpartition("::")[2]: row for row in bench.stack.resources()}
        rows = [found["writer-0"], found["writer-1"]]
        victim = bench.emulator.cluster.sessions[rows[0]["id"]]
        with bench.connected("writer") as url:
            for _ in range(4):
                ask(url)
            logs = [bench.emulator.cluster.sessions[row["id"]].log.decode() for row in rows]
            assert all(log.count("POST /v1/completions") >= 2 for log in logs)
            bench.end_session(str(victim.id))
            for _ in range(4):
                ask(url)
        told = bench.run("connect", "writer-0", code=1).stderr
        assert told.startswith("error: writer-0 can't be reached: its session has ended (TERMINATED)")
        assert "`pulumi up` starts it again" in told
        failed = bench.json("test", "writer", code=1)
        assert [server["ok"] for server in failed["servers"]] == [False, True]
        assert "its session has ended" in failed["servers"][0]["steps"][0]["detail"]
        refused = bench.typed("", "chat", "writer-0", code=1)
        assert refused.stderr.startswith("error: writer-0 doesn't answer: its session has ended")


REFUSED: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    (
        (*GPT2, "-m", "2", "-c", "0", "-n", "a b", "-p", "2000"),
        ("--memory: 2 is no size", "--cpu-count: 0", "--session-name: 'a b' is no session name", "--port: 2000"),
    ),
    ((str(TINY["model"]),), (f"{TINY['model']} is in Pulumi.test.yaml already, as 'chat'.", "`bai-vllm remove chat`")),
    ((*GPT2, "-n", "writer"), ("The name 'writer' is taken in Pulumi.test.yaml, by backendai-vllm/tiny-llama.", "-n")),
    (("not a model",), ("not a model",)),
    ((*GPT2, "--huggingface-token", " "), ("--huggingface-token: is no token.",)),
    ((*GPT2, "--stack", "nowhere"), ("nowhere",)),
]


@pytest.mark.usefixtures("unchanged")
class TestRefusedDeploy:
    @pytest.mark.parametrize(("words", "told"), REFUSED, ids=[told[0][:30] for _, told in REFUSED])
    def test_before_anything_is_asked(self, bench: Bench, words: tuple[str, ...], told: tuple[str, ...]) -> None:
        said = bench.run("deploy", *words, code=1).stderr
        assert all(part in said for part in told), said

    def test_dry_run_shows_verdict_and_changes(self, bench: Bench) -> None:
        told = bench.run("deploy", *GPT2, "--dry-run").stdout
        assert re.search(r"^gpt2 .*(START|MAYBE)", told, re.MULTILINE)
        assert "would create session gpt2-0" in told and "chat-0" not in told
        assert told.splitlines()[-1].startswith("Nothing was written.")

    def test_what_will_not_start_is_put_back(self, bench: Bench) -> None:
        done = bench.run("deploy", *GPT2, "--max-model-len", "50k", code=1)
        assert "WON'T START" in done.stdout
        assert "1024" in done.stderr
        assert "No session was touched, and Pulumi.test.yaml is as it was." in done.stderr

    def test_what_has_no_room_is_put_back(self, bench: Bench) -> None:
        done = bench.run("deploy", *GPT2, "-g", "900", "--tensor-parallel-size", "1", code=1)
        assert "The cluster can't start what was asked for" in done.stderr
        assert "Pulumi.test.yaml is as it was." in done.stderr

    def test_a_corrupt_stack_file(self, bench: Bench) -> None:
        text = bench.text
        try:
            bench.file.write_text(text + "\n : [\n")
            what, cure = bench.error("deploy", *GPT2)
        finally:
            bench.file.write_text(text)
        assert "isn't sound YAML at line" in what and cure.startswith("Correct it")


def command_lines(folder: Path, stop: threading.Event, seen: set[str]) -> None:
    """What others can see by `ps` of all that runs for the stack in this folder, until `stop`."""
    while not stop.is_set():
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if str(folder).encode() in (process / "environ").read_bytes():
                    seen.add((process / "cmdline").read_text(errors="replace"))
        time.sleep(0.02)


class TestDeployAndRemove:
    """What the first two leave behind, the first run of the third one takes away: a run costs seconds."""

    def test_what_fails_after_it_has_begun_stays(self, bench: Bench) -> None:
        fault = bench.emulator.faults.add(method="POST", path=r"^/session$", action="status", status=403, times=-1)
        try:
            with bench.file_with(bench.text):
                done = bench.run("deploy", *GPT2, "-n", "never", "--no-wait", code=1)
                assert bench.entries["never"]["wait"] is False
        finally:
            bench.emulator.faults.clear()
        assert fault.taken
        assert "'never' stays in Pulumi.test.yaml" in done.stderr and "`bai-vllm remove never`" in done.stderr

    def test_ctrl_c_leaves_what_is_in_the_state_in_the_file(self, bench: Bench) -> None:
        bench.emulator.cluster.settings.load_seconds = 60
        try:
            with bench.file_with(bench.text):
                process = bench.begin("deploy", *GPT2, "-n", "pause")
                assert wait_until(lambda: any(s.name == "pause" for s in bench.emulator.cluster.living()), 60)
                time.sleep(1)  # the id is in the state, and the model loads
                for _ in range(2):
                    os.killpg(process.pid, signal.SIGINT)
                    time.sleep(0.5)
                _, err = process.communicate(timeout=60)
                assert "pause" in bench.entries
        finally:
            bench.emulator.cluster.settings.load_seconds = 0.2
        assert process.returncode == 130, err
        assert "Traceback" not in err and "'pause' stays in Pulumi.test.yaml" in err

    def test_a_model_comes_and_goes(self, bench: Bench) -> None:
        before, living, stop, seen = bench.text, bench.living, threading.Event(), set[str]()
        watching = threading.Thread(target=command_lines, args=(bench.stack.folder, stop, seen))
        watching.start()
        try:
            done = bench.typed(f"{TOKEN}\n", "deploy", *GPT2, "-n", "Its.Name", "--huggingface-token", "-", "--verbose")
        finally:
            stop.set()
            watching.join()
        assert any("--config-file" in line for line in seen) or not Path("/proc").exists()
        texts = [
            done.stdout,
            done.stderr,
            bench.text,
            *seen,
            *(p.read_text() for p in bench.stack.folder.glob("*.log")),
        ]
        assert not any(TOKEN in text for text in texts)
        entry = bench.entries["gpt2"]
        secret = entry.pop("hf_token")
        assert entry == {
            "name": "gpt2",
            "model": "openai-community/gpt2",
            "cpu": 1,
            "memory": "2g",
            "max_model_len": 512,
            "session_name": "Its.Name",
        }
        assert secret.keys() == {"secure"} and secret["secure"].startswith("v1:")
        kept = iter(bench.text.splitlines())
        assert all(line in kept for line in before.splitlines())
        (new,) = [s for s in bench.emulator.cluster.living() if str(s.id) not in living and s.name == "Its.Name"]
        assert new.environ["HF_TOKEN"] == TOKEN
        assert "`bai-vllm chat gpt2`" in done.stdout

        chat = next(s for s in bench.json("test", "gpt2")["servers"][0]["steps"] if s["name"] == "chat")
        assert (chat["state"], "no chat template" in chat["detail"]) == ("warning", True)
        plain = bench.typed("Hello\nAgain\n", "chat", "gpt2")
        assert plain.stderr.count("no chat template") == 1 and len(plain.stdout.splitlines()) == 2

        text = bench.text
        told = bench.run("remove", "gpt2", "--dry-run").stdout
        assert "would end session gpt2-0" in told and "WON'T START" not in told and bench.text == text
        what, cure = bench.error("remove", "gpt2")
        assert "Nobody can be asked" in what and "--yes" in cure
        what, cure = bench.error("remove", "gp", "--yes")
        assert "only the beginning" in what and "gpt2" in cure
        told = bench.run("remove", "Its.Name", "--yes").stdout
        assert "session gpt2-0: ended" in told and told.endswith("gpt2 is gone.\n")
        assert bench.text == before
        assert str(new.id) not in bench.living
        assert bench.error("remove", "gpt2", "--yes")[0] == "There is no model 'gpt2' in stack test."


class TestMenu:
    def test_every_choice_is_a_verb(self) -> None:
        from typer.main import get_command

        from cli.main import app
        from cli.menu import CHOICES

        known = set(get_command(app).commands)  # type: ignore[attr-defined]
        assert {choice.verb for choice in CHOICES} | {"menu"} == known
        for choice in CHOICES:
            options = {name for p in get_command(app).commands[choice.verb].params for name in p.opts}  # type: ignore[attr-defined]
            assert {q.option for q in choice.questions if q.option} <= options
            assert not choice.stack or "--stack" in options

    @pytest.mark.usefixtures("unchanged")
    def test_choices_are_run_as_commands(self, bench: Bench) -> None:
        typed = "99\n4\n\nchat\nplan\nopenai-community/gpt2\nT4\ntest\nnobody\n0\n"
        done = bench.typed(typed, "menu", "--stack", "test")
        assert "'99' is none of them" in done.stdout
        assert "$ bai-vllm test chat --stack test\nchat-0 (session " in done.stdout
        assert "$ bai-vllm plan openai-community/gpt2 --gpu T4\n" in done.stdout
        assert "There is no model 'nobody'" in done.stderr and "(exit code 1)" in done.stdout

    @pytest.mark.usefixtures("unchanged")
    def test_the_end_of_stdin_leaves(self, bench: Bench) -> None:
        bench.typed("3\n", "menu")
