"""The invariant: `make demo POLICIES=...` is content when violations were shown as the environment treats them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from policies.table import FOLDER

ROOT = FOLDER.parent
BEGIN = 'set -euo pipefail; step() { printf "=== %s\\n" "$1"; }; QUIET=(--suppress-progress); DOWN="make down"; '
MANDATORY = "- [mandatory]  replicas\n  chat: replicas is 1. Cure: Set replicas to 2."
ADVISORY = MANDATORY.replace("mandatory", "advisory")
CASES = [
    ("prod", MANDATORY, 1, 0),
    ("dev", ADVISORY, 0, 0),
    ("prod", "error: the cluster doesn't answer", 1, 1),
    ("prod", "Resources: + 3 to create", 0, 1),
    ("nowhere", MANDATORY, 1, 1),
]


@pytest.mark.parametrize(("environment", "text", "code", "expected"), CASES)
def test_the_demo(environment: str, text: str, code: int, expected: int, tmp_path: Path) -> None:
    (tmp_path / "text").write_text(text)
    pulumi = tmp_path / "pulumi"
    pulumi.write_text(f'#!/bin/sh\necho "$@"; cat {tmp_path}/text; exit {code}\n')
    pulumi.chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", f"{BEGIN} source scripts/demo_policies.sh"],
        env={**os.environ, "POLICIES": environment, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == expected, done.stderr
    if expected == 0:
        assert f"--policy-pack policies/analyzer --policy-pack-config policies/{environment}.json" in done.stdout
        assert text in done.stdout
    else:
        assert done.stderr.startswith("error: ")
