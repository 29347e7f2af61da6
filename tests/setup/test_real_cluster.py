"""`up` leads a shell to the real control plane, `down` leaves nothing of it, but never takes it from a test run.

Everything that would start or stop something is replaced: these tests are about what is done when.
"""

from __future__ import annotations

import contextlib
import fcntl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts import real_cluster
from scripts.local_env import LocalStack
from scripts.local_stack import Emulator, LocalStackError
from tests.cluster import bring_up, ports
from tests.cluster.places import Places
from tests.cluster.problems import CannotRun

from .sandbox import Sandbox

QUIET = {"manager": "doesn't run", "API": "doesn't answer"}


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch, places: Places, tmp_path: Path) -> list[str]:
    """What was done to the cluster and the Hub, in its order."""
    done: list[str] = []

    def noting(what: str, result: Any) -> Callable[..., Any]:
        def note(*_args: object, **_options: object) -> Any:
            done.append(what)
            return result

        return note

    monkeypatch.delenv("VLLM", raising=False)
    monkeypatch.setattr(real_cluster, "turn", contextlib.nullcontext)  # the real one is the cluster's tests'
    monkeypatch.setattr(real_cluster, "find_places", lambda: places)
    monkeypatch.setattr(real_cluster, "ADDRESSES", LocalStack(tmp_path, 1, 2))
    monkeypatch.setattr(real_cluster, "up", noting("hub up", "started"))
    monkeypatch.setattr(real_cluster, "down", noting("hub down", "stopped"))
    monkeypatch.setattr(bring_up, "up", noting("cluster up", places))
    monkeypatch.setattr(bring_up, "down", noting("cluster down", None))
    monkeypatch.setattr(bring_up, "status", lambda _places: QUIET)
    monkeypatch.setattr(ports, "listeners", lambda _ports: {})
    return done


@pytest.fixture
def places(tmp_path: Path) -> Places:
    (tmp_path / ".local").mkdir()
    return Places(tmp_path / "cluster")


@pytest.fixture
def made(places: Places) -> Places:
    places.make()
    return places


@pytest.fixture
def a_test_run(made: Places) -> Iterator[None]:
    """Another process that uses the cluster."""
    with made.lease.open("w") as lease:
        fcntl.flock(lease, fcntl.LOCK_SH)
        yield


def test_up_leads_a_shell_there(done: list[str], made: Places, tmp_path: Path, sandbox: Sandbox) -> None:
    made.begun_by_tests.touch()
    (tmp_path / ".local" / "env").write_text("export BACKEND_ENDPOINT=emulator HF_ENDPOINT=emulator HF_TOKEN=kept\n")
    assert real_cluster.main(["up"]) == 0
    assert done == ["cluster up", "hub up"]
    assert not made.begun_by_tests.exists(), "or the next test run would end it"
    text = f'. "{tmp_path}/.local/env-real"; echo "$BACKEND_ENDPOINT $HF_ENDPOINT $HF_TOKEN"'
    shell = subprocess.run(["sh", "-euc", text], env=sandbox.env, capture_output=True, text=True, check=True)
    assert shell.stdout == "http://127.0.0.1:1 http://127.0.0.1:2 kept\n"


def test_down_of_what_never_was(done: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert real_cluster.main(["down"]) == 0
    assert done == ["hub down"]
    assert "nothing to stop" in capsys.readouterr().out


@pytest.mark.usefixtures("made")
def test_down(done: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert real_cluster.main(["down"]) == 0
    assert done == ["hub down", "cluster down"]
    assert "no process is left" in capsys.readouterr().out


@pytest.mark.usefixtures("a_test_run")
def test_down_while_a_test_run_uses_it(done: list[str], made: Places, capsys: pytest.CaptureFixture[str]) -> None:
    assert real_cluster.main(["down"]) == 0
    assert done == ["hub down"]
    assert made.begun_by_tests.exists(), "the test run ends it"
    assert "a test run uses it" in capsys.readouterr().out


LEFT: list[tuple[dict[str, str], dict[int, int], str]] = [
    ({"manager": "runs, pid 7"}, {}, "manager (runs, pid 7)"),
    (QUIET, {18081: 8}, "port 18081 (pid 8)"),
]


@pytest.mark.usefixtures("done", "made")
@pytest.mark.parametrize(("status", "listeners", "words"), LEFT, ids=[words for *_, words in LEFT])
def test_down_says_what_is_left(
    status: dict[str, str],
    listeners: dict[int, int],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(bring_up, "status", lambda _places: status)
    monkeypatch.setattr(ports, "listeners", lambda _ports: listeners)
    assert real_cluster.main(["down"]) == 1
    assert f"error: the real cluster: it was stopped, but this is left: {words}." in capsys.readouterr().err


PROBLEMS = [CannotRun("no room"), LocalStackError("no room"), subprocess.CalledProcessError(1, "install")]


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: type(problem).__name__)
def test_up_ends_with_the_cause(
    problem: Exception, done: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_emulator: Emulator) -> str:
        raise problem

    monkeypatch.setattr(real_cluster, "up", fail)
    assert real_cluster.main(["up"]) == 1
    assert f"error: the real cluster: {problem}" in capsys.readouterr().err
    assert done == ["cluster up"]
