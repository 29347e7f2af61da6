"""`bai-vllm` in the process of the tests, which spares most of the time that one of its own takes."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from cli import boundary, main

Ended = subprocess.CompletedProcess[str]


def inside(words: Sequence[str], env: Mapping[str, str], folder: Path) -> Ended:
    """What it writes and its exit code, with that environment, in that folder."""
    out, told = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(env)
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(told):
            code = boundary.run(main.app, words)
    finally:
        os.environ.clear()
        os.environ.update(before)
    return subprocess.CompletedProcess(list(words), code, *(_text(stream) for stream in (out, told)))


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()
