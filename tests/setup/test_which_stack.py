"""CLUSTER and VLLM choose the stack, its settings and its cluster; what isn't known is refused before anything runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .sandbox import ROOT, Sandbox

CHOICES = [
    ({}, "local|.local/env|make down"),
    ({"CLUSTER": "local"}, "local|.local/env|make down"),
    ({"CLUSTER": "real"}, "real|.local/env-real|make down CLUSTER=real"),
    ({"CLUSTER": "real", "VLLM": "real"}, "real-vllm|.local/env-real|make down CLUSTER=real VLLM=real"),
]
UNKNOWN = [{"CLUSTER": "mine"}, {"VLLM": "real"}, {"CLUSTER": "real", "VLLM": "fake"}]


def sourced(sandbox: Sandbox, env: dict[str, str], then: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A strict shell in this folder that has sourced the script."""
    script = str(ROOT / "scripts" / "which-stack.sh")
    command = ["bash", "-c", f'set -euo pipefail; source "$1"; {then}', "bash", script]
    return subprocess.run(command, cwd=folder, env={**sandbox.env, **env}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("env", "chosen"), CHOICES, ids=str)
def test_what_is_chosen(env: dict[str, str], chosen: str, sandbox: Sandbox, tmp_path: Path) -> None:
    done = sourced(sandbox, env, 'echo "$STACK|$ENV_FILE|$DOWN"', tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{chosen}\n", "")
    stack = chosen.partition("|")[0]
    assert (ROOT / "stacks" / f"Pulumi.{stack}.yaml").exists()


@pytest.mark.parametrize("env", UNKNOWN, ids=str)
def test_what_is_not_known(env: dict[str, str], sandbox: Sandbox, tmp_path: Path) -> None:
    done = sourced(sandbox, env, "echo went on", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"CLUSTER={env.get('CLUSTER', '')} VLLM={env.get('VLLM', '')}: write CLUSTER=local or" in done.stderr


@pytest.mark.parametrize("verb", ["up", "down"])
@pytest.mark.parametrize(
    ("cluster", "said"), [("local", "emulator"), ("real", "control plane -m scripts.real_cluster")]
)
def test_its_cluster(cluster: str, said: str, verb: str, sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.program("local-stack.sh", 'echo emulator "$@"; exit 3', tmp_path / "scripts")
    sandbox.program("python", 'echo control plane "$@"; exit 3', tmp_path / ".venv" / "bin")
    done = sourced(sandbox, {"CLUSTER": cluster}, f"cluster {verb}", tmp_path)
    assert (done.returncode, done.stdout) == (3, f"{said} {verb}\n"), "its exit code, too"
