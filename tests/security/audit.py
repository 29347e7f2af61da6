"""`python -m tests.security.audit`: asks whether a flaw is known in one of the pinned packages, with pip-audit.

Not a test: what is known changes from day to day, and it needs a network.  Where it can't ask, it says so and ends
with 2; with 1 when something is found, 0 when not.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PIP_AUDIT = "pip-audit==2.10.1"
FILES = ("requirements.txt", "requirements-dev.txt")
UNANSWERED = "could not be audited"  # a mirror that has packages only; pip-audit ends with 0 then, as if all were well
FOUND = "known vulnerabilit"
UNASKED = 2


def program() -> Path | None:
    """pip-audit, in an environment of its own; None where it can't be had."""
    folder = ROOT / ".local" / "audit"
    found = folder / "bin" / "pip-audit"
    if not found.exists():
        venv.create(folder, with_pip=True, clear=True)
        install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", PIP_AUDIT]
        if subprocess.run(install, check=False).returncode:
            return None
    return found


def asked(command: Path, name: str) -> tuple[int, str]:
    """The exit code for one file, and what to say."""
    words = [
        str(command),
        "--requirement",
        str(ROOT / name),
        "--require-hashes",
        "--disable-pip",
        "--progress-spinner=off",
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return judged(name, done.returncode, done.stdout + done.stderr)


def judged(name: str, code: int, said: str) -> tuple[int, str]:
    """What pip-audit's answer comes to."""
    if unanswered := said.count(UNANSWERED):
        return UNASKED, f"NOT AUDITED: {name}: nothing is known of {unanswered} packages where pip-audit can ask."
    if code and FOUND not in said.lower():
        return UNASKED, f"NOT AUDITED: {name}: {said.strip()[-400:]}"
    return code, f"{name}: {said.strip()}"


def main() -> int:
    """Says what is known of each file."""
    command, worst = program(), 0
    if command is None:
        print(f"NOT AUDITED: {PIP_AUDIT} can't be installed here.", file=sys.stderr)
        return UNASKED
    for name in FILES:
        code, said = asked(command, name)
        print(said, flush=True)
        worst = max(worst, code)
    return worst


if __name__ == "__main__":
    sys.exit(main())
