"""`list`, `monitor`, `logs`, `orphans`, `doctor` and `kill` of one stack: what they show is what is, and what is wrong
costs no more than its own line.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from typing import Any

import pytest

from .operated import NOWHERE, OTHER_STACK, Operated, operated

__all__ = ["operated"]

pytestmark = pytest.mark.timeout(120)


class TestList:
    def test_what_serves_and_what_does_not(self, operated: Operated) -> None:
        told = operated.spawn("list", "--output", "json").stdout
        rows = {str(row["session_name"]).rpartition("-")[0]: row for row in json.loads(told)["sessions"]}
        assert {name: row["state"] for name, row in rows.items()} == {
            "chat-0": "serving",
            "writer-0": "serving",
            "writer-1": "serving",
            "greedy-0": "ended",
            "stillborn-0": "ended",
        }
        chat = rows["chat-0"]
        assert (chat["requests_running"], chat["requests_waiting"], chat["kv_cache_use"]) == (0, 0, 0.0)
        assert (chat["model"], chat["gpus"], chat["via"], chat["in_stack"]) == ("chat", 1.0, "tunnel", True)
        assert chat["age_seconds"] >= 0
        assert {row["session_id"] for row in rows.values()} == operated.stack.session_ids()

    def test_watching_until_ctrl_c(self, operated: Operated) -> None:
        begun = subprocess.Popen(
            operated.words("list", "--watch", "--interval", "0.2", "--output", "json"),
            env=operated.environment(),
            cwd=operated.stack.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert begun.stdout and begun.stderr
        first, second = (json.loads(begun.stdout.readline()) for _ in range(2))
        begun.send_signal(signal.SIGINT)
        assert begun.stderr.read() == ""
        assert begun.wait(10) == 130
        begun.stdout.close()
        begun.stderr.close()
        assert [row["state"] for row in first["sessions"]] == [row["state"] for row in second["sessions"]]

    @pytest.mark.parametrize("columns", [60, 80, 140])
    def test_it_keeps_to_the_terminal(self, operated: Operated, columns: int) -> None:
        told = operated.run("list", env={"COLUMNS": str(columns)}).stdout
        assert max(map(len, told.splitlines())) <= columns
        assert "writer-0" in told and "writer-1" in told

    def test_a_session_of_another_stack_is_listed_apart(self, operated: Operated) -> None:
        theirs = operated.add_session("theirs")
        try:
            row = next(r for r in operated.json("list")["sessions"] if r["session_id"] == theirs)
            assert (row["in_stack"], row["stack_id"], row["url"]) == (False, OTHER_STACK, None)
            assert "of other stacks" in operated.run("list").stdout
        finally:
            operated.end_session(theirs)

    def test_a_server_that_hangs_costs_its_own_line_only(self, operated: Operated) -> None:
        chat = next(row["id"] for row in operated.stack.resources() if "::chat-0" in row["urn"])
        began = time.monotonic()
        operated.emulator.faults.add(path=f"{chat}/tcpproxy", action="timeout", delay=20, times=1)
        rows = operated.rows()
        operated.emulator.faults.clear()
        assert time.monotonic() - began < 15
        assert rows["chat-0"]["state"] == "not answering"
        assert "bai-vllm kill chat" in rows["chat-0"]["cure"]
        assert rows["writer-0"]["state"] == "serving"

    def test_a_model_that_is_not_deployed_is_shown(self, operated: Operated) -> None:
        with operated.one_more_model("later", "openai-community/gpt2"):
            row = next(r for r in operated.json("list")["sessions"] if r["model"] == "later")
        assert (row["model"], row["state"]) == ("later", "not deployed")
        assert "pulumi up" in row["cure"]


class TestMonitor:
    @pytest.mark.parametrize("columns", [80, 140])
    def test_one_frame(self, operated: Operated, columns: int) -> None:
        told = operated.spawn("monitor", "--once", env={"COLUMNS": str(columns)}).stdout
        assert max(map(len, told.splitlines())) <= columns
        for words in ("chat", "writer-1", "RESOURCE GROUP", "cuda.device", "of 8", "LAST EVENTS", "created"):
            assert words in told

    def test_ctrl_c_ends_it_quietly(self, operated: Operated) -> None:
        process = subprocess.Popen(
            operated.words("monitor", "--interval", "0.3"),
            env=operated.environment(),
            cwd=operated.stack.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout and process.stderr
        while "LAST EVENTS" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert process.stderr.read() == ""
        process.stdout.close()
        process.stderr.close()


class TestLogs:
    def test_all_and_the_last_lines(self, operated: Operated) -> None:
        whole = operated.run("logs", "chat").stdout.splitlines()
        assert any("Application startup complete" in line for line in whole)
        last = operated.run("logs", "chat", "--tail", "2").stdout.splitlines()
        assert len(last) == 2
        assert last[0] in operated.run("logs", "chat").stdout

    def test_following_misses_and_repeats_nothing(self, operated: Operated) -> None:
        count = 40
        command = f"sleep 0.5; for i in $(seq {count}); do echo line-$i; sleep 0.03; done; sleep 1; printf end"
        theirs = operated.add_session("counter", command=command)
        done = operated.spawn("logs", theirs, "-f", "--interval", "0.1")
        lines = [line for line in done.stdout.splitlines() if line.startswith(("line-", "end"))]
        assert lines == [*(f"line-{i + 1}" for i in range(count)), "end"]
        assert "counter has ended" in done.stderr

    def test_following_survives_a_moment_without_the_cluster(self, operated: Operated) -> None:
        theirs = operated.add_session("shaky", command="sleep 0.5; echo one; sleep 1.5; echo two; sleep 1")
        operated.emulator.faults.add(path=f"/v2/sessions/{theirs}/logs", action="status", status=502, times=3, skip=3)
        done = operated.run("logs", theirs, "-f", "--interval", "0.1")
        operated.emulator.faults.clear()
        assert done.stdout.split() == ["one", "two"]

    def test_of_a_session_that_has_ended(self, operated: Operated) -> None:
        greedy = operated.rows()["greedy-0"]["session_id"]
        for name in ("greedy", greedy):
            done = operated.run("logs", name)
            assert "CUDA out of memory" in done.stdout
            assert "has ended: The GPU's memory isn't enough." in done.stderr

    def test_of_one_that_never_ran(self, operated: Operated) -> None:
        done = operated.run("logs", "stillborn")
        assert done.stdout == ""
        assert "failed-to-create" in done.stderr


class TestOrphans:
    def test_own_ones_are_deleted_and_those_of_others_only_by_name(self, operated: Operated) -> None:
        assert operated.json("orphans")["orphans"] == []
        own = operated.add_session("left-behind", stack_id=operated.stack_id)
        theirs = operated.add_session("of-a-colleague")
        told = operated.json("orphans")
        assert [row["session_id"] for row in told["orphans"]] == [own]
        assert [row["session_id"] for row in told["other_stacks"]] == [theirs]
        assert "of-a-colleague" in operated.run("orphans").stdout

        what, cure = operated.error("orphans", "--delete", "--yes", "nobody")
        assert "nobody" in what and "of-a-colleague" in cure
        assert operated.status(own) == "RUNNING"

        assert operated.json("orphans", "--delete", "--yes")["deleted"] == [own]
        assert operated.status(own) == "TERMINATED"
        assert operated.status(theirs) == "RUNNING"
        assert all(operated.status(row) == "RUNNING" for row in operated.serving())

        operated.run("orphans", "--delete", "--yes", "of-a-colleague")
        assert operated.status(theirs) == "TERMINATED"
        assert operated.json("orphans") | {"stack_id": "", "stack": ""} == {
            "stack": "",
            "stack_id": "",
            "orphans": [],
            "other_stacks": [],
            "deleted": [],
        }

    def test_nothing_is_deleted_without_a_yes(self, operated: Operated) -> None:
        own = operated.add_session("asked-for", stack_id=operated.stack_id)
        done = operated.run("orphans", "--delete", code=1)
        assert "--yes" in done.stderr
        assert operated.status(own) not in ("TERMINATING", "TERMINATED", "CANCELLED")
        operated.end_session(own)


def levels(told: dict[str, Any]) -> dict[str, str]:
    return {check["check"]: check["level"] for check in told["checks"]}


class TestDoctor:
    def test_all_that_is_well(self, operated: Operated) -> None:
        began = time.monotonic()
        told = json.loads(operated.spawn("doctor", "--output", "json", env={"HF_TOKEN": "hf_standin_approved"}).stdout)
        assert time.monotonic() - began < 15  # it promises 10; the machine may be busy
        assert told["ok"] is True
        found = levels(told)
        assert {"python", "pulumi", "stack", "stack file", "credentials", "endpoint", "version"} <= found.keys()
        assert {"clock", "key pair", "quota", "image", "vllm", "hub", "hub token"} <= found.keys()
        assert found["hub token"] == "ok"
        assert "fail" not in found.values()

    def test_without_a_stack_it_checks_what_it_can(self, operated: Operated) -> None:
        told = operated.json("doctor", env={"PULUMI_STACK": ""})
        assert levels(told)["stack"] == "warn"
        assert levels(told)["key pair"] == "ok"

    @pytest.mark.parametrize(
        ("env", "check", "cure"),
        [
            ({"BACKEND_ENDPOINT": NOWHERE}, "endpoint", "BACKEND_ENDPOINT"),
            ({"BACKEND_SECRET_KEY": "wrong"}, "key pair", "BACKEND_SECRET_KEY"),
            ({"BACKEND_ACCESS_KEY": ""}, "credentials", "BACKEND_ACCESS_KEY"),
            ({"HF_ENDPOINT": NOWHERE}, "hub", "HF_ENDPOINT"),
            ({"HF_TOKEN": "hf_no_token_of_anybody"}, "hub token", "HF_TOKEN"),
            ({"PULUMI_STACK": "nope"}, "stack", "pulumi stack init nope"),
            ({"PULUMI_CONFIG_PASSPHRASE": "wrong"}, "stack file", "PULUMI_CONFIG_PASSPHRASE"),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
    )
    def test_what_is_wrong_fails_with_its_cure(
        self, operated: Operated, env: dict[str, str], check: str, cure: str
    ) -> None:
        began = time.monotonic()
        told = operated.json("doctor", env=env, code=1)
        assert time.monotonic() - began < 15  # it promises 10; the machine may be busy
        found = next(row for row in told["checks"] if row["check"] == check)
        assert found["level"] == "fail"
        assert cure in found["cure"]
        assert levels(told)["python"] == "ok"

    def test_a_clock_that_is_off(self, operated: Operated) -> None:
        operated.emulator.cluster.faults.clock_skew = 3600
        told = operated.json("doctor", code=1)
        operated.emulator.cluster.faults.clock_skew = 0
        found = next(row for row in told["checks"] if row["check"] == "key pair")
        assert "clock" in found["cure"]

    def test_a_silent_cluster_does_not_hold_it_up(self, operated: Operated) -> None:
        operated.emulator.faults.add(action="timeout", delay=12, times=-1, path="^/(v2|resource|admin)")
        began = time.monotonic()
        done = operated.run("doctor", code=1)
        operated.emulator.faults.clear()
        assert time.monotonic() - began < 14
        assert "fail" in done.stdout


class TestKill:
    """Last: it changes the stack."""

    def test_it_says_what_depends_and_asks(self, operated: Operated) -> None:
        done = operated.run("kill", "writer-1", code=1)
        for words in ("writer of stack test", "writer-0: they stay", "0 requests running", "tcpproxy"):
            assert words in done.stdout
        assert "--yes" in done.stderr
        assert operated.rows()["writer-1"]["state"] == "serving"

    def test_it_ends_the_session_and_says_how_it_comes_back(self, operated: Operated) -> None:
        before = operated.rows()["writer-1"]["session_id"]
        done = operated.spawn("kill", "writer-1", "--yes")
        assert operated.status(before) == "TERMINATED"
        assert "pulumi up" in done.stdout
        row = operated.rows()["writer-1"]
        assert (row["state"], row["session_id"]) == ("ended", before)
        assert "Somebody has ended it" in row["detail"]
        what, cure = operated.error("kill", "writer-1", "--yes")
        assert "doesn't run" in what and "pulumi up" in cure

    def test_one_of_another_stack(self, operated: Operated) -> None:
        theirs = operated.add_session("stranger")
        done = operated.run("kill", "stranger", "--yes")
        assert f"another stack ({OTHER_STACK})" in done.stdout
        assert operated.status(theirs) == "TERMINATED"
