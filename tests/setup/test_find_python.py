"""find-python.sh prints a CPython 3.13 that runs, or says what it found and what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .sandbox import Sandbox

BASE = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
# A shim as pyenv puts it on PATH for a version that isn't active.
SHIM = "echo 'pyenv: python3.13: command not found' >&2; exit 127"
OLD = 'echo "is cpython 3.11.7" >&2; exit 1'


def real(sandbox: Sandbox, file: Path) -> Path:
    """This test's own Python, at another place."""
    return sandbox.program(file.name, f'exec {BASE} "$@"', file.parent)


@pytest.mark.parametrize("name", ["python3.13", "python3", "python"])
def test_on_path(sandbox: Sandbox, name: str) -> None:
    real(sandbox, sandbox.bin / name)
    done = sandbox.run("find-python.sh")
    assert (done.returncode, Path(done.stdout.strip()).resolve()) == (0, BASE)


@pytest.mark.parametrize(
    "place",
    [
        ".pyenv/versions/3.13.7/bin",
        ".local/share/uv/python/cpython-3.13.7-linux-x86_64-gnu/bin",
        ".asdf/installs/python/3.13.7/bin",
        ".local/share/mise/installs/python/3.13.7/bin",
        "miniconda3/envs/serving/bin",
        ".local/bin",
    ],
)
def test_installed_but_not_on_path(sandbox: Sandbox, place: str) -> None:
    sandbox.program("python3.13", SHIM)
    sandbox.program("python3", OLD)
    real(sandbox, sandbox.home / place / "python3.13")
    done = sandbox.run("find-python.sh")
    assert (done.returncode, Path(done.stdout.strip()).resolve()) == (0, BASE)


def test_a_second_one_on_path_is_found_behind_a_shim(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.program("python3.13", SHIM)
    real(sandbox, tmp_path / "other" / "python3.13")
    done = sandbox.run("find-python.sh", env={"PATH": f"{sandbox.env['PATH']}:{tmp_path / 'other'}"})
    assert (done.returncode, Path(done.stdout.strip()).resolve()) == (0, BASE)


def test_a_virtual_environment_leads_to_its_interpreter(sandbox: Sandbox) -> None:
    assert sys.prefix != sys.base_prefix, "the tests run in the clone's virtual environment"
    (sandbox.bin / "python3.13").symlink_to(sys.executable)
    done = sandbox.run("find-python.sh", env={"PATH": f"{Path(sys.executable).parent}:{sandbox.env['PATH']}"})
    assert Path(done.stdout.strip()).resolve() == BASE
    assert not Path(done.stdout.strip()).is_relative_to(sys.prefix)


@pytest.mark.parametrize("name", ["python3.13", "/usr/bin/false"])
def test_asked_for_one_that_will_not_do(sandbox: Sandbox, name: str) -> None:
    sandbox.program("python3.13", OLD)
    real(sandbox, sandbox.home / ".local" / "bin" / "python3.13")
    done = sandbox.run("find-python.sh", env={"PYTHON": name})
    assert done.returncode == 1 and done.stdout == ""
    assert f"PYTHON={name} is not a suitable Python 3.13" in done.stderr
    assert "Unset PYTHON" in done.stderr


def test_asked_for_one_that_is_not_there(sandbox: Sandbox) -> None:
    done = sandbox.run("find-python.sh", env={"PYTHON": "/opt/nowhere/python3.13"})
    assert done.returncode == 1
    assert "there is no such program" in done.stderr


def test_without_venv_module_the_package_is_named(sandbox: Sandbox) -> None:
    sandbox.program(
        "python3.13",
        'echo "is 3.13.5 without its module ensurepip (apt install python3.13-venv)" >&2; exit 1',
    )
    done = sandbox.run("find-python.sh", env={"PYTHON": "python3.13"})
    assert "apt install python3.13-venv" in done.stderr


def test_what_was_found_is_named(sandbox: Sandbox) -> None:
    sandbox.program("python3", OLD)
    sandbox.program("python3.13", SHIM)
    done = sandbox.run("find-python.sh", env={"PYTHON": "python3.13"})
    assert f"{sandbox.bin / 'python3.13'} pyenv: python3.13: command not found" in done.stderr


def test_none_at_all(sandbox: Sandbox) -> None:
    sandbox.program("python3", OLD)
    done = sandbox.run("find-python.sh")
    if done.returncode == 0:
        pytest.skip(f"this machine has a system Python 3.13 ({done.stdout.strip()}), which a test can't hide")
    assert done.stdout == ""
    assert f"{sandbox.bin / 'python3'} is cpython 3.11.7" in done.stderr
    for cure in ("uv python install 3.13", "apt install python3.13", "PYTHON=/path/to/python3.13 make setup"):
        assert cure in done.stderr
