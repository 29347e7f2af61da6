"""The invariant: a mandatory rule stops the real CLI before anything is written; an advisory one only warns.

Few and long: each call of the CLI costs seconds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import analyzer_pb2_grpc

from emulator import Emulator
from policies.table import FOLDER, RULES
from tests.lifecycle.driver import TINY, PulumiStack

CANARY = "canary-key-0123456789abcdef"
CHAT: dict[str, Any] = {"name": "chat", **TINY, "gpu_memory_utilization": 0.99, "served_model_name": "chat"}
CLUSTER = {"gpu": "H100-80GB"}
CONTENT = {name: "disabled" for name in ("revision", "verdict", "lifetime")}


@pytest.fixture
def stack(tmp_path: Path, emulator: Emulator, cluster_env: dict[str, str]) -> PulumiStack:
    stack = PulumiStack(tmp_path / "project", cluster_env)
    stack.init()
    return stack


def pack(stack: PulumiStack, config: str | Mapping[str, Any]) -> tuple[str, ...]:
    """The options for a file of ours, or for one of this test."""
    path = FOLDER / f"{config}.json" if isinstance(config, str) else stack.folder / "policies.json"
    if not isinstance(config, str):
        path.write_text(json.dumps(config))
    return ("--policy-pack", str(FOLDER / "analyzer"), "--policy-pack-config", str(path))


def test_prod_refuses_before_any_write_and_dev_warns(stack: PulumiStack, emulator: Emulator) -> None:
    """Without a preview, too, and although the first of the models breaks no rule of its own."""
    sound = {**CHAT, "gpu_memory_utilization": 0.9, "replicas": 2, "api_key": CANARY}
    stack.configure([sound, {**CHAT, "name": "writer", "env": {"A_TOKEN": CANARY}}], CLUSTER)
    writes = emulator.cluster.writes
    preview, up = stack.preview(*pack(stack, "prod"), code=1), stack.up(*pack(stack, "prod"), code=1)
    for result in (preview, up):
        assert "[mandatory]  gpu-memory-utilization" in result.text
        assert "writer: gpu_memory_utilization is 0.99; allowed is 0.7 to 0.95" in result.text
        assert "Cure: Set it to 0.95" in result.text
        assert "writer: env (A_TOKEN) holds a token or key in clear" in result.text
        assert "chat: served_model_name is chat, as that of writer" in result.text
        assert "writer: replicas is 1; 2 or more are required" in result.text
        assert "chat: replicas" not in result.text
        assert result.text.count("writer: gpu_memory_utilization") == 1
        assert CANARY not in result.text
        assert "Traceback" not in result.text
    assert emulator.cluster.writes == writes
    assert stack.resources() == []

    warned = stack.preview(*pack(stack, "dev"))
    assert "[advisory]  gpu-memory-utilization" in warned.text
    assert "[mandatory]" not in warned.text
    assert CANARY not in warned.text


def test_what_preview_can_not_know_is_refused_by_up(stack: PulumiStack, emulator: Emulator) -> None:
    """The key is made from an identity that doesn't exist in the first preview."""
    stack.configure([CHAT], CLUSTER)
    config = {"all": "mandatory", **CONTENT, "gpu-memory-utilization": "disabled", "api-key": {"min_length": 60}}
    writes = emulator.cluster.writes
    preview = stack.preview(*pack(stack, config))
    assert "can't run policy 'api-key'" in preview.text
    up = stack.up(*pack(stack, config), code=1)
    assert "chat: api_key has 35 characters; a key of 60 characters or more is required" in up.text
    assert emulator.cluster.writes == writes
    assert stack.resources() == []


def test_a_remedy_changes_what_is_created_and_a_state_can_be_judged(stack: PulumiStack, emulator: Emulator) -> None:
    stack.configure([{**CHAT, "ready_timeout": "3h"}], CLUSTER)
    config = {
        "all": "mandatory",
        **CONTENT,
        "gpu-memory-utilization": {"enforcementLevel": "remediate", "max": 0.8},
        "ready-timeout": "remediate",
    }
    up = stack.up(*pack(stack, config))
    assert "[remediate]  gpu-memory-utilization" in up.text
    (session,) = stack.resources()
    assert session["inputs"]["gpu_memory_utilization"] == 0.8
    assert "--gpu-memory-utilization=0.8" in session["outputs"]["startup_command"]
    (endpoint,) = stack.resources("ModelEndpoint")
    assert endpoint["inputs"]["ready_timeout"] == 7200
    assert not endpoint["inputs"].get("predicted")  # what was predicted is of a session that wasn't made

    state = stack.folder / "state.json"
    state.write_text(json.dumps(stack.export()))
    key = stack.output("api_keys")["chat"]
    writes = emulator.cluster.writes
    for environment, code in (("dev", 0), ("prod", 1)):
        judged = stack.run("policy", "analyze", *pack(stack, environment), "--file", str(state), code=code)
        assert "chat: gpu_memory_utilization" not in judged.text  # the resource counts, not the settings as recorded
        assert "endpoints" not in judged.text
        assert key not in judged.text
    assert "chat: replicas is 1" in judged.text
    assert emulator.cluster.writes == writes


HOSTS = {
    "the executable": [str(FOLDER / "analyzer"), "127.0.0.1:1"],
    "a language host": [sys.executable, "-u", "-m", "pulumi.policy", "127.0.0.1:1", "."],
}


@pytest.fixture(params=list(HOSTS.values()), ids=list(HOSTS))
def port(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    folder = tmp_path if "analyzer" in request.param[0] else FOLDER
    with subprocess.Popen(request.param, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.kill()


def test_the_pack_starts(port: int) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        info = analyzer_pb2_grpc.AnalyzerStub(channel).GetAnalyzerInfo(empty_pb2.Empty())
    assert info.name == "backendai-vllm"
    assert [policy.name for policy in info.policies] == [rule.name for rule in RULES]
    assert info.policies[0].configSchema.properties["max"]["type"] == "number"
