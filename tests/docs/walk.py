"""A reader who types every command of the guide, page by page, on an emulated cluster.

One stack lasts for all pages.  Each page begins in a new shell, as after `source .local/env`, with the stack file as
it is in a clone; what was opened in the background ends with it.

A block runs as it stands, but for the placeholders that a reader fills in.  The note above it says what else to do:

    not run: REASON       it isn't run here, and its commands are only looked up
    typed: A | B          on a terminal, with these lines typed as it asks for them
    until Ctrl-C          it lasts: Ctrl-C after its first words
    background: PORT      it lasts until the page ends; the port answers
    exit code N           it ends with that
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from emulator import Emulator
from scripts import launcher
from tests.lifecycle.driver import ADMIN, PulumiStack, pulumi_folder

from .pages import ROOT, Block

TOKEN = "hf_standin_approved"
STACK_FILES = ("local", "dev", "prod")
SECONDS = 180.0  # for one block; on a quiet machine the longest takes 12
_QUIET = 0.4  # seconds without a word: it waits for an answer
_WHERE_IS_THE_CURSOR = b"\x1b[6n"  # Pulumi's prompt asks a terminal, and waits for the answer
_SHOWN = 1500  # characters of an output in a failure
# Takes stdin for its controlling terminal, as a login shell has one; prompts for secrets ask that.
_ON_THIS_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp("bash", ["bash", "-c", sys.argv[1]])
"""
_PORTS = ("9000", "9001", "9002")


class Failed(AssertionError):
    """A block that didn't end as its page says."""

    def __init__(self, block: Block, what: str, told: str) -> None:
        super().__init__(f"{block.where}: {what}\n{block.text}---\n{told[-_SHOWN:]}")


@dataclass
class Walk:
    """`environment`: of the shell that is open; `told`: what the last block has printed."""

    stack: PulumiStack
    emulator: Emulator
    environment: dict[str, str] = field(default_factory=dict)
    told: str = ""
    background: list[tuple[Block, subprocess.Popen[bytes]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        self._files = {file: file.read_bytes() for file in (self.stack.folder / "stacks").iterdir()}
        self._saved = self.stack.folder / "environment"

    @contextlib.contextmanager
    def page(self) -> Iterator[None]:
        """A new shell, the stack files as they were, the local stack selected."""
        for file, content in self._files.items():
            file.write_bytes(content)
        self.environment = self._new_shell()
        self._sh("source .local/env; pulumi stack select local")
        try:
            yield
        finally:
            self._end_background()

    def do(self, block: Block) -> None:
        """Runs one block; raises Failed."""
        text = self._filled_in(block.text)
        if block.language == "python":
            self._ended(block, self._python(text), 0)
        elif (lines := block.noted("typed")) is not None:
            self._ended(block, self._typed(text, lines.split(" | ")), 0)
        elif block.noted("until Ctrl-C") is not None:
            self._interrupted(block, text)
        elif (port := block.noted("background")) is not None:
            self._opened(block, text, int(self._ports[port]))
        else:
            self._ended(block, self._sh(text), int(block.noted("exit code") or 0))

    # --- how a block is run

    def _sh(self, text: str) -> int:
        script = f"set -eo pipefail\n{text}\nenv -0 >{self._saved}\n"
        done = self._run(["bash", "-c", script])
        if done == 0:
            entries = self._saved.read_text().rstrip("\0").split("\0")
            self.environment = dict(entry.split("=", 1) for entry in entries)
        return done

    def _python(self, text: str) -> int:
        folder = os.environ.get("OPENAI_PACKAGE") or str(Path(__file__).parent / "client")
        return self._run(["python3", "-c", text], PYTHONPATH=folder)

    def _run(self, words: list[str], **more: str) -> int:
        process = subprocess.Popen(
            words,
            cwd=self.stack.folder,
            env={**self.environment, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            self.told, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            self.told, _ = process.communicate()
        return process.returncode

    def _typed(self, text: str, lines: list[str]) -> int:
        """On a terminal of its own.  A line is typed when something was said and no more comes."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-c", _ON_THIS_TERMINAL, text],
            cwd=self.stack.folder,
            env={**self.environment, "TERM": "xterm"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        said, fresh, end = b"", False, time.monotonic() + SECONDS
        try:
            while time.monotonic() < end:
                ready, _, _ = select.select([ours], [], [], _QUIET)
                if ready:
                    try:
                        said += (got := os.read(ours, 65536))
                    except OSError:  # the last one that had the terminal open is gone
                        break
                    fresh = fresh or bool(got.strip())
                    if _WHERE_IS_THE_CURSOR in got:
                        os.write(ours, b"\x1b[1;1R")
                elif fresh and lines:
                    os.write(ours, lines.pop(0).encode() + b"\r")  # the key Enter
                    fresh = False
        finally:
            os.close(ours)
            with contextlib.suppress(ProcessLookupError):
                if process.poll() is None and time.monotonic() >= end:
                    os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
        self.told = said.decode(errors="replace")
        return process.returncode if not lines else -1

    def _started(self, text: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["bash", "-c", f"exec {text}"],
            cwd=self.stack.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _interrupted(self, block: Block, text: str) -> None:
        process = self._started(text)
        assert process.stdout
        first = process.stdout.readline()
        time.sleep(0.5)
        self._end(block, process, first)

    def _opened(self, block: Block, text: str, port: int) -> None:
        process, end = self._started(text), time.monotonic() + SECONDS
        self.background.append((block, process))
        while time.monotonic() < end and process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
            time.sleep(0.1)
        raise Failed(block, f"nothing listens at port {port}", "")

    def _end_background(self) -> None:
        while self.background:
            self._end(*self.background.pop())

    def _end(self, block: Block, process: subprocess.Popen[bytes], said: bytes = b"") -> None:
        """By Ctrl-C, which is no failure."""
        os.killpg(process.pid, signal.SIGINT)
        try:
            rest, _ = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            rest, _ = process.communicate()
        self.told = (said + rest).decode(errors="replace")
        if process.returncode not in (0, 1, 130, -signal.SIGINT) or "Traceback" in self.told or not self.told:
            raise Failed(block, f"Ctrl-C ended it with {process.returncode}", self.told)

    def _ended(self, block: Block, code: int, expected: int) -> None:
        if code != expected:
            raise Failed(block, f"ended with {code}, not {expected}", self.told)
        if "Traceback" in self.told:
            raise Failed(block, "a traceback reached the reader", self.told)

    def _filled_in(self, text: str) -> str:
        filled: Mapping[str, str] = {
            "https://manager.example.com": self.emulator.endpoint,
            "BACKEND_ACCESS_KEY=...": f"BACKEND_ACCESS_KEY={ADMIN[0]}",
            "BACKEND_SECRET_KEY=...": f"BACKEND_SECRET_KEY={ADMIN[1]}",
            "HF_TOKEN=...": f"HF_TOKEN={TOKEN}",
            **self._ports,
        }
        for placeholder, value in filled.items():
            text = text.replace(placeholder, value)
        return text

    def _new_shell(self) -> dict[str, str]:
        """What a shell has before anything is sourced, and nobody there to be asked by Pulumi."""
        kept = ("LANG", "LC_ALL", "USER", "TMPDIR")
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "PATH": os.environ["PATH"],
            "HOME": str(self.stack.folder / "home"),
            "COLUMNS": "80",
            "PULUMI_SKIP_CONFIRMATIONS": "true",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }


@contextlib.contextmanager
def clone(folder: Path) -> Iterator[Walk]:
    """Something like a clone after `make setup`, with a cluster of its own that has an app-proxy."""
    launcher.write()
    with Emulator(load_seconds=0.1, start_seconds=0.1, app_proxy=True) as emulator:
        env = {"HF_ENDPOINT": emulator.hub_endpoint, "HF_TOKEN": TOKEN, "BACKEND_ENDPOINT": emulator.endpoint}
        env |= {"BACKEND_ACCESS_KEY": ADMIN[0], "BACKEND_SECRET_KEY": ADMIN[1]}
        stack = PulumiStack(folder, env, "local")
        (folder / "policies").symlink_to(ROOT / "policies")
        for name in STACK_FILES:  # its salt belongs to the passphrase of `make demo`
            lines = (ROOT / "stacks" / f"Pulumi.{name}.yaml").read_text().splitlines(keepends=True)
            kept = (line for line in lines if not line.startswith("encryptionsalt"))
            (folder / "stacks" / f"Pulumi.{name}.yaml").write_text("".join(kept))
        _set_up(stack)
        stack.init()
        yield Walk(stack, emulator)


def _set_up(stack: PulumiStack) -> None:
    """`.local/env` and `.local/path`; a home in which curl takes an HTTP error for a failure."""
    local, home = stack.folder / ".local", stack.folder / "home"
    local.mkdir()
    home.mkdir()
    (home / ".curlrc").write_text("fail\nsilent\nshow-error\nmax-time = 30\n")
    own = ("BACKEND_", "HF_", "PULUMI_", "XDG_")
    exports = [f"export {name}='{value}'" for name, value in stack.env.items() if name.startswith(own)]
    (local / "env").write_text("\n".join([". .local/path", *exports]) + "\n")
    path = os.pathsep.join([str(Path(sys.executable).parent), pulumi_folder()])
    (local / "path").write_text(f'export PATH="{path}:$PATH"\n')


def free_ports(count: int) -> list[str]:
    """Ports that nobody had a moment ago."""
    with contextlib.ExitStack() as open_:
        sockets = [open_.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [str(each.getsockname()[1]) for each in sockets]


def has_curl() -> bool:
    return shutil.which("curl") is not None
