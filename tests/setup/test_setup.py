"""setup.sh makes .venv once, again when it must, and never from a file that isn't the pinned one."""

from __future__ import annotations

import copy
import hashlib
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from .sandbox import ROOT, Sandbox

SCRIPTS = ("setup.sh", "local_env.py", "launcher.py")
PACKAGES = ("setuptools", "tiny")  # setuptools is installed before the others, to build those without a wheel


def wheel(folder: Path, name: str) -> str:
    """A wheel of one module; the entry for it in a requirements file."""
    file = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{name}.py", "ANSWER = 42\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return f"{name}==1.0 \\\n    --hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}\n"


class Clone:
    """A clone whose requirements are two small wheels, and whose CLI is there already."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder, self.sandbox = folder, sandbox
        (folder / "scripts").mkdir(parents=True)
        for script in SCRIPTS:
            shutil.copy(ROOT / "scripts" / script, folder / "scripts")
        cli = folder / "cli"
        cli.mkdir()
        sandbox.program("install-pulumi.sh", f"echo '{cli}'", folder / "scripts")
        sandbox.program(
            "find-python.sh", f"echo {getattr(sys, '_base_executable', sys.executable)}", folder / "scripts"
        )
        self.wheels = folder / "wheels"
        self.wheels.mkdir()
        self.requirements = folder / "requirements-dev.txt"
        self.requirements.write_text("".join(wheel(self.wheels, name) for name in PACKAGES))

    def at(self, folder: Path) -> Clone:
        other = copy.copy(self)
        other.folder, other.wheels = folder, folder / "wheels"
        return other

    def replace(self, script: str, text: str) -> None:
        self.sandbox.program(script, text, self.folder / "scripts")

    def set_up(self) -> subprocess.CompletedProcess[str]:
        offline = {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": self.wheels.as_uri(),
            "PIP_CONFIG_FILE": "/dev/null",
        }
        return self.sandbox.run(self.folder / "scripts" / "setup.sh", env=offline, timeout=120)

    def answer(self) -> str:
        python = self.folder / ".venv" / "bin" / "python"
        command = [str(python), "-c", "import tiny; print(tiny.ANSWER)"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def clone(tmp_path: Path, sandbox: Sandbox) -> Clone:
    return Clone(tmp_path / "a clone", sandbox)


def test_once_then_quickly_then_again_when_the_requirements_change(clone: Clone) -> None:
    first = clone.set_up()
    assert first.returncode == 0, first.stderr
    assert ".venv with the 2 packages" in first.stderr
    assert clone.answer() == "42"
    assert (clone.folder / ".local" / "env").exists()

    start = time.monotonic()
    second = clone.set_up()
    assert second.returncode == 0
    assert ".venv is up to date" in second.stderr
    assert time.monotonic() - start < 3, "0.2 s on an idle machine"

    clone.requirements.write_text(clone.requirements.read_text().split("tiny==")[0])
    third = clone.set_up()
    assert third.returncode == 0
    assert ".venv with the 1 packages" in third.stderr
    with pytest.raises(subprocess.CalledProcessError):
        clone.answer()  # what isn't asked for any more is gone


def test_a_venv_that_will_not_do_is_made_anew(clone: Clone, tmp_path: Path) -> None:
    assert clone.set_up().returncode == 0
    clone.replace("find-python.sh", "echo 'asked for a Python' >&2; exit 1")
    assert clone.set_up().returncode == 0, "it isn't asked for without need"

    moved = tmp_path / "moved"
    clone.folder.rename(moved)
    assert clone.at(moved).set_up().stderr == "asked for a Python\n", "scripts in .venv/bin carry its path"
    moved.rename(clone.folder)
    assert clone.set_up().returncode == 0

    (clone.folder / ".venv" / "bin" / "python").unlink()
    assert clone.set_up().stderr == "asked for a Python\n", "its interpreter may have been uninstalled"


def test_no_cli_stops_it(clone: Clone) -> None:
    assert clone.set_up().returncode == 0
    clone.replace("install-pulumi.sh", "echo 'error: no CLI' >&2; exit 1")
    done = clone.set_up()
    assert done.returncode == 1
    assert done.stderr.endswith("error: no CLI\n")


def test_a_file_that_is_not_the_pinned_one_is_refused(clone: Clone) -> None:
    tampered = clone.wheels / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(tampered, "a") as archive:
        archive.writestr("evil.py", "")
    done = clone.set_up()
    assert done.returncode == 1
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert "If a hash differs" in done.stderr
    assert not (clone.folder / ".venv" / ".made-from").exists(), "a half-made .venv must not pass as made"
    assert not (clone.folder / ".local").exists()


def test_without_the_index_the_cause_and_the_cure_are_named(clone: Clone) -> None:
    shutil.rmtree(clone.wheels)
    done = clone.set_up()
    assert done.returncode == 1
    assert "If the package index can't be reached" in done.stderr


def test_uv_is_preferred_and_pip_is_there_when_it_fails(clone: Clone) -> None:
    clone.sandbox.program("uv", 'echo "$*" >>"$HOME/uv.calls"; echo "error: no index" >&2; exit 2')
    done = clone.set_up()
    assert done.returncode == 0, done.stderr
    assert "uv can't install them (error: no index): trying pip" in done.stderr
    calls = (clone.sandbox.home / "uv.calls").read_text()
    assert calls.count("--require-hashes") == calls.count("\n") == 2
    assert clone.answer() == "42"
