"""Working on the local stack leaves stacks/Pulumi.local.yaml as git has it: its salt is there, and ours.

Without that, the first `make demo` would write a salt into it, and that salt, once in git, would lock out all
other clones.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from scripts import local_env
from tests.lifecycle.driver import pulumi_folder

from .sandbox import ROOT


def test_the_local_stack_file_stays_as_it_is(tmp_path: Path) -> None:
    cli = Path(pulumi_folder())
    stack = local_env.prepare(cli, tmp_path)
    shutil.copy(ROOT / "Pulumi.yaml", tmp_path)
    shutil.copytree(ROOT / "stacks", tmp_path / "stacks")
    env = {"PATH": f"{cli}:{os.environ['PATH']}", "HOME": str(tmp_path / "home"), **stack.variables()}

    def pulumi(*words: str) -> str:
        command = ["pulumi", *words, "--stack", "local", "--non-interactive"]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    subprocess.run(["pulumi", "stack", "init", "local", "--non-interactive"], cwd=tmp_path, env=env, check=True)
    before = (ROOT / "stacks" / "Pulumi.local.yaml").read_text()
    assert (tmp_path / "stacks" / "Pulumi.local.yaml").read_text() == before
    pulumi("config", "set", "--secret", "backendai-vllm:probe", "a secret")  # decrypts the salt's proof
    assert pulumi("config", "get", "backendai-vllm:probe") == "a secret\n"
    assert not (tmp_path / "home" / ".pulumi").exists(), "the user's own login"
