"""`bai-vllm` works from any folder, whatever the clone's path, and brings nothing of the folder it is called in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import launcher

NAMES = ["clone", "a clone", 'it\'s a "$HOME" clone', "클론"]


@pytest.fixture(params=NAMES)
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A clone whose command says its arguments and where it was called."""
    root = tmp_path / str(request.param)
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (root / "cli").mkdir()
    (root / "cli" / "main.py").write_text(
        "import os, sys\ndef main():\n    print(sys.argv[1:], os.getcwd())\n    return 3\n"
    )
    return root


def test_from_any_folder(root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "cli").mkdir(parents=True)
    (elsewhere / "cli" / "main.py").write_text("raise SystemExit('the wrong one')")
    command = launcher.write(root)
    done = subprocess.run(
        [str(command), "plan", "a b"], cwd=elsewhere, capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.stdout, done.stderr) == (f"['plan', 'a b'] {elsewhere}\n", "")
    assert done.returncode == 3


def test_through_a_link(root: Path, tmp_path: Path) -> None:
    link = tmp_path / "bai-vllm"
    link.symlink_to(launcher.write(root))
    assert subprocess.run([str(link)], capture_output=True, check=False, timeout=30).returncode == 3


def test_it_is_written_once_and_renewed(root: Path) -> None:
    file = launcher.write(root)
    os.utime(file, (1, 1))
    assert launcher.write(root).stat().st_mtime == 1
    file.write_text("old")
    assert "main()" in launcher.write(root).read_text()
