"""`bai-vllm` as somebody has it who changes a stack: its file as text, verbs with a stdin, verbs that last."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import yaml

from .inside import Ended
from .operated import Operated


class Bench(Operated):
    """The stack, with its file as text."""

    @property
    def text(self) -> str:
        return self.file.read_text()

    @property
    def entries(self) -> dict[str, dict[str, Any]]:
        return {entry["name"]: entry for entry in yaml.safe_load(self.text)["config"]["backendai-vllm:models"]}

    @property
    def living(self) -> set[str]:
        return {str(session.id) for session in self.emulator.cluster.living()}

    def typed(self, text: str, *words: str, code: int = 0) -> Ended:
        """The command with `text` on its stdin."""
        done = subprocess.run(
            self.words(*words),
            env=self.environment(),
            cwd=self.stack.folder,
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        return done

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """The command in a process group of its own, as a shell starts it."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self.words(*words),
            env=self.environment(),
            cwd=self.stack.folder,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
            start_new_session=True,
        )

    @contextlib.contextmanager
    def connected(self, *words: str) -> Iterator[str]:
        """The URL that `connect` tells; it ends by Ctrl-C, with 0 and without a word."""
        process = self.begin("connect", *words)
        assert process.stdout and process.stderr
        told = ""
        try:
            while not told.endswith("Ctrl-C ends it.\n"):
                line = process.stdout.readline()
                assert line, process.stderr.read()
                told += line
            (url,) = re.findall(r"^http://127\.0\.0\.1:\d+$", told, re.MULTILINE)
            yield url
        finally:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        assert "from openai import OpenAI" in told and f'base_url="{url}/v1"' in told
        assert self.key not in told

    @property
    def key(self) -> str:
        return str(self.stack.output("api_keys")["writer"])
