"""`.venv/bin/bai-vllm`: the operator's command, from any folder.

The clone isn't installed as a package (that would need a build), so the launcher says where it is.
Run as `python -m scripts.launcher` it writes the launcher.  It needs no package.
"""

from __future__ import annotations

import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# A shell reads the second line and ends there; Python reads the second and third as one text.  The path of an
# interpreter may be too long for `#!`, or have blanks in it.
LAUNCHER = """\
#!/bin/sh
'''exec' {python} "$0" "$@"
' '''
import sys

sys.path[0] = {root!r}
from cli.main import main

sys.exit(main())
"""


def write(root: Path = ROOT) -> Path:
    """Make or renew the launcher of the clone at `root`."""
    file = root / ".venv" / "bin" / "bai-vllm"
    text = LAUNCHER.format(python=shlex.quote(str(root / ".venv" / "bin" / "python")), root=str(root))
    if not file.exists() or file.read_text() != text:
        file.write_text(text)
        file.chmod(0o755)
    return file


if __name__ == "__main__":
    print(f"  command {write().relative_to(ROOT)} --help")
