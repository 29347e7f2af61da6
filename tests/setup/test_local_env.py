""".local/env works in every shell, from every folder, twice, and nothing of the user's own gets through."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import local_env

PRINT = f"{sys.executable} -I -c 'import json, os; print(json.dumps(dict(os.environ)))'"
USERS_OWN = {
    "PATH": "/usr/bin:/bin",
    "PULUMI_CONFIG_PASSPHRASE": "the user's",
    "PULUMI_BACKEND_URL": "https://the-users.example.com",
    "PULUMI_STACK": "prod",
    "HF_HUB_CACHE": "/home/user/models",
    "HF_TOKEN": "hf_the_users",
    "BACKEND_SECRET_KEY": "the user's",
    "no_proxy": "intranet.example.com",
}


@pytest.fixture(params=["clone", "a clone, with [odd] $HOME 'quotes'"])
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> local_env.LocalStack:
    root = tmp_path / request.param
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / "cli").mkdir()
    return local_env.prepare(root / "cli", root)


def sourced(stack: local_env.LocalStack, shell: str, times: int = 1, file: str = "env") -> dict[str, str]:
    """The environment of a strict shell in another folder that has sourced a file of .local/."""
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} on this machine")
    script = "set -eu\n" + '. "$1"\n' * times + PRINT
    command = [shell, "-c", script, shell, str(stack.folder / file)]
    done = subprocess.run(command, cwd="/", env=USERS_OWN, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    environ: dict[str, str] = json.loads(done.stdout)
    return environ


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "zsh"])
def test_every_shell(stack: local_env.LocalStack, shell: str) -> None:
    environ = sourced(stack, shell)
    assert {name: environ[name] for name in stack.variables()} == dict(stack.variables())
    assert environ["PATH"] == f"{stack.root}/.venv/bin:{stack.root}/cli:/usr/bin:/bin"
    assert environ["NO_PROXY"] == environ["no_proxy"] == "127.0.0.1,localhost,intranet.example.com"
    assert environ.keys().isdisjoint(local_env.UNSET)
    assert "the user's" not in environ.values() and "hf_the_users" not in environ.values()


def test_twice_is_as_once(stack: local_env.LocalStack) -> None:
    assert sourced(stack, "bash", times=2)["PATH"] == sourced(stack, "bash")["PATH"]


def test_for_a_real_cluster_there_is_the_path_alone(stack: local_env.LocalStack) -> None:
    environ = sourced(stack, "sh", file="path")
    assert environ.pop("PATH") == f"{stack.root}/.venv/bin:{stack.root}/cli:/usr/bin:/bin"
    assert environ.pop("VIRTUAL_ENV") == f"{stack.root}/.venv"
    assert {name: environ.get(name) for name in USERS_OWN if name != "PATH"} == {
        name: value for name, value in USERS_OWN.items() if name != "PATH"
    }


def test_all_state_is_in_the_clone(stack: local_env.LocalStack) -> None:
    variables = stack.variables()
    for name in ("PULUMI_HOME", "PULUMI_CONFIG_PASSPHRASE_FILE", "HF_HOME"):
        assert Path(variables[name]).is_relative_to(stack.root / ".local")
    assert variables["PULUMI_BACKEND_URL"] == f"file://{stack.root}/.local/pulumi/state?metadata=skip"
    assert Path(variables["PULUMI_CONFIG_PASSPHRASE_FILE"]).read_text() == local_env.PASSPHRASE


def test_a_second_set_up_changes_nothing(stack: local_env.LocalStack) -> None:
    file = stack.folder / "env"
    before = file.stat().st_mtime_ns, file.read_text()
    assert local_env.prepare(stack.root / "cli", stack.root) == stack
    assert (file.stat().st_mtime_ns, file.read_text()) == before


def test_another_cli_is_linked(stack: local_env.LocalStack) -> None:
    other = stack.root / "other cli"
    other.mkdir()
    local_env.prepare(other, stack.root)
    assert (stack.folder / "pulumi" / "bin").resolve() == other.resolve()
    assert str(other) in sourced(stack, "bash")["PATH"]


def test_ports_in_use_are_avoided_once_and_kept_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as someone, socket.create_server(("0.0.0.0", 0)) as another:
        taken = {someone.getsockname()[1], another.getsockname()[1]}
        monkeypatch.setattr(local_env, "CLUSTER_PORT", min(taken))
        monkeypatch.setattr(local_env, "HUB_PORT", max(taken))
        stack = local_env.prepare(tmp_path, tmp_path)
    assert {stack.cluster_port, stack.hub_port}.isdisjoint(taken)
    assert stack.cluster_port != stack.hub_port
    assert local_env.prepare(tmp_path, tmp_path) == stack, "free again, but shells have sourced the others"


def test_before_the_first_set_up(tmp_path: Path) -> None:
    assert local_env.remembered(tmp_path) is None


def test_an_env_file_that_was_cut_is_made_again(stack: local_env.LocalStack) -> None:
    file = stack.folder / "env"
    whole = file.read_text()
    file.write_text(whole[:40])
    local_env.prepare(stack.root / "cli", stack.root)
    assert local_env.remembered(stack.root) is not None
    assert file.read_text().splitlines()[-1] == whole.splitlines()[-1]
