"""`up` ends with both ports answering, `down` with nothing left, whatever happened between.

Most tests put a small program in the emulator's place, because they need one that misbehaves.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from scripts import local_env, local_stack
from scripts.local_stack import Emulator, LocalStackError

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
    import argparse, http.server, os, signal, subprocess, sys, threading, time
    parser = argparse.ArgumentParser()
    for option in ("--port", "--hub-port"):
        parser.add_argument(option, type=int)
    for option in ("--load-seconds", "--log"):
        parser.add_argument(option)
    arguments = parser.parse_args()
    mood = os.environ.get("EMULATOR_MOOD", "")
    print("secret of the user:", os.environ.get("BACKEND_SECRET_KEY"))
    if mood == "broken":
        sys.exit("no such module: nonsense")
    if mood == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # A session: in a process session of its own, and with an environment that knows nothing of the mark.
    environ = dict(os.environ) if mood == "marked" else {}
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    subprocess.Popen(sleeper, env=environ, start_new_session=True)
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(401)
        def log_message(self, *args):
            pass
    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
    for port in (arguments.port, arguments.hub_port):
        if not (mood == "half" and port == arguments.hub_port):
            threading.Thread(target=Server(("127.0.0.1", port), Handler).serve_forever).start()
    signal.pause() if mood == "deaf" else time.sleep(600)
"""


@pytest.fixture
def emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worker_id: str) -> Iterator[Emulator]:
    """A clone with PROGRAM as its emulator, on ports of this worker's own."""
    port = 18290 + 2 * int(worker_id.removeprefix("gw") if worker_id != "master" else 0)
    (tmp_path / "emulator").mkdir()
    (tmp_path / "emulator" / "__main__.py").write_text(textwrap.dedent(PROGRAM))
    monkeypatch.setattr(local_env, "CLUSTER_PORT", port)
    monkeypatch.setattr(local_env, "HUB_PORT", port + 1)
    monkeypatch.setattr(local_stack, "STOP_SECONDS", 1.5)
    monkeypatch.setenv("BACKEND_SECRET_KEY", "the user's own")
    monkeypatch.delenv("EMULATOR_MOOD", raising=False)
    emulator = Emulator(local_env.prepare(tmp_path, tmp_path))
    yield emulator
    with contextlib.suppress(LocalStackError):
        local_stack.down(emulator)


def assert_nothing_left(emulator: Emulator, processes: list[psutil.Process]) -> None:
    assert [p for p in processes if local_stack.is_alive(p)] == []
    assert emulator.family() == []
    assert emulator.taken_ports() == []
    assert not emulator.pid_file.exists()


def test_up_twice_and_down(emulator: Emulator) -> None:
    assert not local_stack.status(emulator)[1]
    assert local_stack.up(emulator).startswith("started: Backend.AI at http://127.0.0.1:")
    first = emulator.process()
    assert local_stack.up(emulator).startswith("already running")
    assert emulator.process() == first
    assert local_stack.status(emulator) == (
        f"running (pid {first.pid if first else 0}, 1 child processes)",
        True,
    )
    family = emulator.family()
    assert len(family) == 2, "the emulator and its session"
    assert "no process is left" in local_stack.down(emulator)
    assert_nothing_left(emulator, family)
    assert local_stack.down(emulator) == "not running: no process of it is left"


def test_it_outlives_the_one_who_started_it(emulator: Emulator) -> None:
    local_stack.up(emulator)
    process = emulator.process()
    assert process is not None
    assert os.getsid(process.pid) == process.pid, "Ctrl-C or a closed terminal must not end it"


def test_no_credential_of_the_user_gets_in(emulator: Emulator) -> None:
    local_stack.up(emulator)
    assert emulator.output.read_text() == "secret of the user: None\n"


def test_one_that_ignores_sigterm_is_killed(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMULATOR_MOOD", "deaf")
    local_stack.up(emulator)
    family = emulator.family()
    local_stack.down(emulator)
    assert_nothing_left(emulator, family)


@pytest.fixture
def left(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> list[psutil.Process]:
    """What there was before the emulator was killed; its session lives on."""
    monkeypatch.setenv("EMULATOR_MOOD", "marked")
    local_stack.up(emulator)
    family = emulator.family()
    leader = emulator.process()
    assert leader is not None
    leader.send_signal(signal.SIGKILL)
    os.waitpid(leader.pid, 0)
    return family


def test_what_a_killed_one_left_is_found(emulator: Emulator, left: list[psutil.Process]) -> None:
    said, good = local_stack.status(emulator)
    assert (said, good) == ("not running, but 1 processes of it are left: make down", False)
    local_stack.down(emulator)
    assert_nothing_left(emulator, left)


def test_up_clears_what_is_left_and_starts_anew(emulator: Emulator, left: list[psutil.Process]) -> None:
    assert local_stack.up(emulator).startswith("started")
    assert [process for process in left if local_stack.is_alive(process)] == []


def test_one_that_ends_at_once_is_quoted(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMULATOR_MOOD", "broken")
    with pytest.raises(
        LocalStackError, match=r"ended with exit code 1\. Its last words:\n.*\nno such module: nonsense"
    ):
        local_stack.up(emulator)
    assert_nothing_left(emulator, [])


def test_one_of_which_half_answers_is_stopped(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMULATOR_MOOD", "half")
    monkeypatch.setattr(local_stack, "START_SECONDS", 1.0)
    with pytest.raises(LocalStackError, match="doesn't answer after 1 s"):
        local_stack.up(emulator)
    assert_nothing_left(emulator, [])


def test_a_port_of_somebody_else(emulator: Emulator) -> None:
    port = emulator.stack.hub_port
    with socket.create_server(("127.0.0.1", port)), pytest.raises(LocalStackError) as problem:
        local_stack.up(emulator)
    assert f"Port {port} of 127.0.0.1 is in use by another program" in str(problem.value)
    assert "rm .local/env && make env" in str(problem.value)


def test_a_pid_that_is_another_program_by_now(emulator: Emulator) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as innocent:
        emulator.pid_file.write_text(f"{innocent.pid} {time.time() - 5000}\n")
        assert emulator.process() is None
        local_stack.down(emulator)
        assert innocent.poll() is None
        innocent.kill()


def test_the_wrapper_before_the_first_set_up(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "local-stack.sh").write_text((ROOT / "scripts" / "local-stack.sh").read_text())
    done = subprocess.run(
        ["bash", "scripts/local-stack.sh", "up"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "error: this clone isn't set up yet. Run: make setup\n"


def test_the_real_emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "emulator").symlink_to(ROOT / "emulator")
    monkeypatch.setattr(local_env, "CLUSTER_PORT", 18390)
    monkeypatch.setattr(local_env, "HUB_PORT", 18391)
    emulator = Emulator(local_env.prepare(tmp_path, tmp_path))
    local_stack.up(emulator)
    family = emulator.family()
    local_stack.down(emulator)
    assert_nothing_left(emulator, family)
