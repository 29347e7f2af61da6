"""`make` tells of every target, and CI is `make test`: same commands, exit code passed on, nothing read."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from .sandbox import ROOT, Sandbox


def phony() -> set[str]:
    line = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith(".PHONY:"))
    return set(line.split()[1:])


def test_help_names_every_target() -> None:
    done = subprocess.run(["make", "-C", str(ROOT), "--no-print-directory"], capture_output=True, text=True, check=True)
    assert set(re.findall(r"^  make (\S+) +\S", done.stdout, re.M)) == phony()


def test_every_target_can_be_planned() -> None:
    for target in sorted(phony()):
        subprocess.run(["make", "-C", str(ROOT), "-n", target], capture_output=True, check=True)


def ci(sandbox: Sandbox, tmp_path: Path, code: int) -> subprocess.CompletedProcess[str]:
    (tmp_path / ".ci").mkdir(exist_ok=True)
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    sandbox.program("make", f'echo "$PWD $*"; cat; echo "2 passed in 0.1s"; exit {code}')
    command = ["bash", str(tmp_path / ".ci" / "run")]
    env = {**sandbox.env, "CI": "true"}
    return subprocess.run(command, env=env, input="typed", capture_output=True, text=True, check=False, cwd="/")


def test_ci_is_make_test(sandbox: Sandbox, tmp_path: Path) -> None:
    done = ci(sandbox, tmp_path, 0)
    assert done.returncode == 0
    assert done.stdout == f"{tmp_path} --no-print-directory test\n2 passed in 0.1s\n"


def test_ci_passes_a_failure_on(sandbox: Sandbox, tmp_path: Path) -> None:
    assert ci(sandbox, tmp_path, 2).returncode == 2
