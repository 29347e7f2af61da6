"""What `bai-vllm --version` says."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def versions() -> str:
    """The commit of this clone, and the release of vLLM that is assumed when none is named."""
    from serving.flags import table

    return f"bai-vllm {_commit()} (vLLM {table().version} unless told otherwise)"


def _commit() -> str:
    """Of the clone: there are no releases; "unknown" without git or outside a clone."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--tags"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"
