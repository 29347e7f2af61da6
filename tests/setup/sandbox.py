"""A machine of its own for a script: an empty home, and nothing on PATH but what a test puts there."""

from __future__ import annotations

import shutil
import subprocess
import textwrap
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What every Unix has, and no more: no curl, no go, no python, no uv.
TOOLS = (
    "awk",
    "basename",
    "bash",
    "cat",
    "chmod",
    "cp",
    "cut",
    "dirname",
    "env",
    "find",
    "flock",
    "grep",
    "gzip",
    "head",
    "id",
    "install",
    "ln",
    "ls",
    "mkdir",
    "mktemp",
    "mv",
    "readlink",
    "rm",
    "sed",
    "sh",
    "sha256sum",
    "shasum",
    "sleep",
    "sort",
    "tail",
    "tar",
    "touch",
    "tr",
    "uname",
    "wc",
)


class Sandbox:
    """`sandbox.program("go", "..."); sandbox.run("install-pulumi.sh")`."""

    def __init__(self, folder: Path) -> None:
        self.home, self.bin, self.tools = folder / "home", folder / "bin", folder / "tools"
        for part in (self.home, self.bin, self.tools):
            part.mkdir(parents=True)
        for tool in TOOLS:
            if found := shutil.which(tool):
                (self.tools / tool).symlink_to(found)

    @property
    def env(self) -> dict[str, str]:
        return {"HOME": str(self.home), "PATH": f"{self.bin}:{self.tools}", "LC_ALL": "C"}

    def program(self, name: str, text: str, folder: Path | None = None) -> Path:
        """A shell script of this name, by default on PATH."""
        file = (folder or self.bin) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("#!/bin/bash\n" + textwrap.dedent(text))
        file.chmod(0o755)
        return file

    def link(self, tool: str) -> None:
        """A program of the real machine on PATH."""
        found = shutil.which(tool)
        assert found, f"{tool} isn't on this machine"
        (self.bin / tool).symlink_to(found)

    def run(
        self, script: str | Path, *args: str, env: Mapping[str, str] | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """The script's end; one that leaves a background process holding its output runs into the timeout."""
        return subprocess.run(
            ["bash", str(ROOT / "scripts" / script), *args],
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
