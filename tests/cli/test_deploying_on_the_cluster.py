"""On a real control plane, too, a model is deployed, tested, reached and removed by the command alone."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.cluster.control import Cluster
from tests.lifecycle.driver import TINY, stack_on

from .deploying import Bench

pytestmark = pytest.mark.timeout(600)


def test_deploy_test_connect_chat_and_remove(tmp_path: Path, shared_cluster: Cluster) -> None:
    with stack_on(shared_cluster, tmp_path) as stack:
        stack.configure([])
        bench = Bench(stack)
        before = bench.text
        words = (str(TINY["model"]), "--max-model-len", "512", "-c", "1", "-m", "2g", "-n", "writer")

        refused = bench.run("deploy", *words, "--scaling-group", "nowhere", code=1).stderr
        assert "nowhere" in refused and "Pulumi.test.yaml is as it was." in refused
        assert (bench.text, shared_cluster.session_ids()) == (before, set())

        assert "session writer-0: created" in bench.run("deploy", *words).stdout
        assert bench.entries["writer"]["session_name"] == "writer"
        assert shared_cluster.session_ids() == stack.session_ids()
        assert len(stack.session_ids()) == 1

        told = bench.json("test", "writer")
        assert [step["state"] for step in told["servers"][0]["steps"]] == ["ok"] * 5
        with bench.connected("writer") as url:
            answer = httpx.get(f"{url}/v1/models", headers={"Authorization": f"Bearer {bench.key}"}, trust_env=False)
            assert answer.json()["data"][0]["id"] == TINY["model"]
        assert bench.typed("Hello\n", "chat", "writer").stdout == "You said: Hello\n"

        assert bench.run("remove", "writer", "--yes").stdout.endswith("writer is gone.\n")
        assert bench.text == before
        assert shared_cluster.session_ids() == set()
        assert stack.resources() == []
