"""Start, stop and ask after the emulator: `python -m scripts.local_stack up|down|status`.

The emulator runs detached, in a process session of its own.  It and all that it starts carry the environment
variable MARK with the path of this clone, by which `down` finds what is left even after a crash.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from scripts.local_env import LocalStack, is_taken, remembered

MARK = "BACKENDAI_VLLM_LOCAL_STACK"
START_SECONDS = 60.0  # until both ports answer; a cold start on a busy machine took 5
STOP_SECONDS = 15.0  # until the emulator has ended its sessions
LOAD_SECONDS = 6.0  # that a model takes to load: long enough to see the progress lines
# What the emulator gets of the caller's environment, besides its own EMULATOR_*: no credential of the user's.
PASSED_ON = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ")


class LocalStackError(Exception):
    """The emulator can't be started or stopped; str() is cause and cure."""


@dataclass
class Emulator:
    """The one emulator of a clone, or another one under a `name` of its own.

    `started` is its process if this program has started it.
    """

    stack: LocalStack
    name: str = "emulator"
    started: subprocess.Popen[bytes] | None = None

    @property
    def pid_file(self) -> Path:
        return self.stack.folder / f"{self.name}.pid"

    @property
    def log(self) -> Path:
        return self.stack.folder / f"{self.name}.log"

    @property
    def output(self) -> Path:
        return self.stack.folder / f"{self.name}.out"

    @property
    def mark(self) -> str:
        return str(self.stack.root) + ("" if self.name == "emulator" else f":{self.name}")

    def process(self) -> psutil.Process | None:
        """The running emulator.  The pid file has its start time, too: pids are used again."""
        try:
            pid, started = self.pid_file.read_text().split()
            process = psutil.Process(int(pid))
            alive = abs(process.create_time() - float(started)) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except (FileNotFoundError, ValueError, psutil.Error):
            return None
        return process if alive else None

    def family(self) -> list[psutil.Process]:
        """Every living process that the emulator started, itself included."""
        found = {}
        leader = self.process()
        if leader is not None:
            found = {p.pid: p for p in (leader, *leader.children(recursive=True))}
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark:
                    found[process.pid] = process
            except (psutil.Error, OSError):
                continue  # not ours: another user's, or it has just ended
        return [p for p in found.values() if is_alive(p)]

    def taken_ports(self) -> list[int]:
        return [port for port in (self.stack.cluster_port, self.stack.hub_port) if is_taken(port)]


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def kill(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL to those that live, and wait for their end."""
    living = [process for process in processes if is_alive(process)]
    for process in living:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(living, timeout=5)


def answers(url: str) -> bool:
    """Whether an HTTP server is there, whatever it says."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def last_lines(file: Path, count: int = 15) -> str:
    return "\n".join(file.read_text(errors="replace").splitlines()[-count:]) if file.exists() else ""


def up(emulator: Emulator) -> str:
    """Start the emulator unless it runs; returns what there is to say.  Raises LocalStackError."""
    stack = emulator.stack
    where = f"Backend.AI at {stack.cluster_url}, Hugging Face Hub at {stack.hub_url}"
    running = emulator.process()
    if running is not None and answers(stack.cluster_url) and answers(stack.hub_url):
        return f"already running: {where} (pid {running.pid})"
    if emulator.family():
        down(emulator)  # half of it is left: it would be in the way
    if taken := emulator.taken_ports():
        raise LocalStackError(
            f"Port {taken[0]} of 127.0.0.1 is in use by another program. Stop that one, or let this clone "
            f"choose other ports: rm .local/env && make env (then source .local/env again)."
        )
    process = emulator.started = launch(emulator)
    wait_until_up(emulator, process)
    return f"started: {where} (pid {process.pid}, log {emulator.log.relative_to(stack.root)})"


def launch(emulator: Emulator) -> subprocess.Popen[bytes]:
    """Start the emulator detached and remember its pid."""
    stack = emulator.stack
    environ = {name: value for name, value in os.environ.items() if name in PASSED_ON or name.startswith("EMULATOR_")}
    environ |= {MARK: emulator.mark, "EMULATOR_PYTHON": sys.executable, "PYTHONUNBUFFERED": "1"}
    options = {
        "--port": stack.cluster_port,
        "--hub-port": stack.hub_port,
        "--load-seconds": LOAD_SECONDS,
        "--log": emulator.log,
    }
    command = [sys.executable, "-m", "emulator", *(str(word) for pair in options.items() for word in pair)]
    with emulator.output.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=stack.root,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    emulator.pid_file.write_text(f"{process.pid} {psutil.Process(process.pid).create_time()}\n")
    return process


def wait_until_up(emulator: Emulator, process: subprocess.Popen[bytes]) -> None:
    """Return when both ports answer; raise LocalStackError with the emulator's last words when they don't."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            what = f"The emulator ended with exit code {process.returncode}"
            break
        if answers(emulator.stack.cluster_url) and answers(emulator.stack.hub_url):
            return
        time.sleep(0.1)
    else:
        what = f"The emulator doesn't answer after {START_SECONDS:.0f} s"
    words = last_lines(emulator.output) or last_lines(emulator.log) or "(it said nothing)"
    down(emulator)
    raise LocalStackError(f"{what}. Its last words:\n{words}")


def down(emulator: Emulator) -> str:
    """Stop the emulator and prove that nothing of it is left; returns what there is to say.

    Raises LocalStackError, with the names of what is left.
    """
    leader = emulator.process()
    family = emulator.family()
    if leader is not None:
        leader.terminate()  # it ends its sessions itself
        psutil.wait_procs([leader], timeout=STOP_SECONDS)
        kill([leader])
    # The emulator's own reaper ends what a killed emulator left, unless it is killed first.
    psutil.wait_procs(family, timeout=STOP_SECONDS)
    kill([*family, *emulator.family()])
    if emulator.started is not None:
        emulator.started.poll()  # or it would stay as a zombie
    if still := emulator.family():
        names = ", ".join(f"{p.pid} ({p.name()})" for p in still)
        raise LocalStackError(f"These processes of the local stack can't be ended: {names}. End them by hand.")
    emulator.pid_file.unlink(missing_ok=True)
    if leader is None and not family:
        return "not running: no process of it is left"
    if taken := emulator.taken_ports():
        raise LocalStackError(f"The emulator has ended, but something listens on port {taken[0]} of 127.0.0.1.")
    stack = emulator.stack
    return f"stopped: no process is left, ports {stack.cluster_port} and {stack.hub_port} are free"


def status(emulator: Emulator) -> tuple[str, bool]:
    """What there is to say, and whether the local stack can be worked with."""
    leader = emulator.process()
    if leader is None:
        left = emulator.family()
        return (f"not running, but {len(left)} processes of it are left: make down" if left else "not running"), False
    ready = answers(emulator.stack.cluster_url) and answers(emulator.stack.hub_url)
    said = "running" if ready else "running, but not answering"
    return f"{said} (pid {leader.pid}, {len(emulator.family()) - 1} child processes)", ready


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: done, or for status: running."""
    parser = argparse.ArgumentParser(prog="scripts/local-stack.sh", description="The emulator of the local stack.")
    parser.add_argument("verb", choices=("up", "down", "status"))
    verb = parser.parse_args(arguments).verb
    stack = remembered()
    if stack is None:
        print("error: .local/env isn't there or isn't whole. Run: make setup", file=sys.stderr)
        return 1
    emulator, good = Emulator(stack), True
    try:
        if verb == "status":
            said, good = status(emulator)
        else:
            said = up(emulator) if verb == "up" else down(emulator)
    except LocalStackError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    print(f"  emulator {said}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
