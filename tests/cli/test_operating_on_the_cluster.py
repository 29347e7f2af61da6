"""On a real control plane, too, an operator sees what is, ends what was named and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.control import Cluster
from tests.cluster.processes import wait_until
from tests.lifecycle.driver import TINY, stack_on

from .by_hand import KEY, ByHand
from .operated import OTHER_STACK

pytestmark = pytest.mark.timeout(600)


def test_adopt_list_logs_orphans_doctor_and_kill(tmp_path: Path, shared_cluster: Cluster) -> None:
    with stack_on(shared_cluster, tmp_path) as stack:
        stack.configure([{"name": "chat", **TINY, "api_key": KEY}])
        operator = ByHand(stack)
        made = operator.start("by-hand")
        operator.wait_until_it_answers(made)
        assert "by-hand" in operator.run("adopt", "by-hand", "chat", "--yes").stdout
        stack.up()
        assert shared_cluster.session_ids() == stack.session_ids() == {made}

        row = operator.rows()["chat-0"]
        assert (row["state"], row["status"], row["gpus"]) == ("serving", "RUNNING", 1.0)
        assert (row["requests_running"], row["requests_waiting"], row["kv_cache_use"]) == (0, 0, 0.0)
        assert row["hub_model"] == TINY["model"]
        frame = operator.run("monitor", "--once").stdout
        assert "chat" in frame and "cuda.device" in frame and "created" in frame and "not known" not in frame

        told = operator.json("doctor")
        assert {check["level"] for check in told["checks"]} <= {"ok", "warn"}
        levels = {check["check"]: check["level"] for check in told["checks"]}
        assert [levels[c] for c in ("endpoint", "version", "clock", "key pair", "quota", "image")] == ["ok"] * 6

        assert "Application startup complete" in operator.run("logs", "chat").stdout
        counter = operator.add_session("counter", command="sleep 2; for i in 1 2 3; do echo line-$i; sleep 0.2; done")
        done = operator.run("logs", counter, "-f", "--interval", "0.2")
        assert [line for line in done.stdout.splitlines() if line.startswith("line-")] == ["line-1", "line-2", "line-3"]
        assert "counter has ended" in done.stderr
        assert "line-3" in operator.run("logs", counter).stdout

        own = operator.add_session("left-behind", stack_id=operator.stack_id)
        theirs = operator.add_session("of-a-colleague")
        orphans = operator.json("orphans", "--delete", "--yes")
        assert orphans["deleted"] == [own]
        others = [one["session_id"] for one in orphans["other_stacks"] if one["stack_id"] == OTHER_STACK]
        assert others == [theirs]  # other tests run on this cluster, too
        assert wait_until(lambda: shared_cluster.session_ids() == {row["session_id"], theirs}, 30)
        operator.run("kill", "of-a-colleague", "--yes")

        done = operator.run("kill", "chat", "--yes")
        assert "0 requests running" in done.stdout
        assert wait_until(lambda: shared_cluster.session_ids() == set(), 30)
        row = operator.rows()["chat-0"]
        assert (row["state"], row["detail"].partition(" (")[0]) == ("ended", "Somebody has ended it")
        assert "startup complete" in operator.run("logs", "chat").stdout
        stack.up()
        assert operator.rows()["chat-0"]["state"] == "serving"
        stack.destroy()
