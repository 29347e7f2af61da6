"""The invariant: many threads that load the SDK for the first time at once all get the whole of it, without `.env`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
from concurrent.futures import ThreadPoolExecutor
from backendai.api import load_sdk
with ThreadPoolExecutor(24) as pool:
    list(pool.map(lambda _: load_sdk(), range(24)))
import ai.backend.client.config as config
assert config.load_dotenv() is False
"""


def test_many_threads_at_once() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, check=True, timeout=120)


def test_a_preview_loads_no_sdk_client() -> None:
    """It costs more than a second; what asks the cluster before a create signs its requests without it."""
    program = (
        "import sys; from components import program; from backendai import Connection, Reader; "
        "Reader(Connection('http://x', 'a', 'b')).headers('GET', '/'); "
        "assert not {'ai', 'aiohttp', 'yarl'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=120)
