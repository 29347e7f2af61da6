"""Makes golden.json with the release that is checked out; a new release gets a new file (test_golden.py)."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from emulator import Emulator

from .driver import ADMIN, PulumiStack
from .test_golden import GOLDEN, MODEL


def main(target: Path) -> None:
    """Ups one model and writes the export with its placeholders."""
    with tempfile.TemporaryDirectory() as folder, Emulator(load_seconds=0.3) as emulator:
        env = {
            "BACKEND_ENDPOINT": emulator.endpoint,
            "BACKEND_ACCESS_KEY": ADMIN[0],
            "BACKEND_SECRET_KEY": ADMIN[1],
            "HF_ENDPOINT": emulator.hub_endpoint,
        }
        stack = PulumiStack(Path(folder) / "project", env)
        stack.init()
        stack.configure([MODEL])
        stack.up()
        (session_id,) = stack.session_ids()
        text = stack.run("stack", "export", "--show-secrets", "--stack", stack.name).stdout
        exported = json.loads(text)
        for resource in exported["deployment"]["resources"]:
            resource.pop("sourcePosition", None)  # paths of this machine
            resource.pop("stackTrace", None)
        text = json.dumps(exported, indent=1)
        text = text.replace(session_id, "@SESSION_ID@").replace(emulator.endpoint, "@ENDPOINT@")
        target.write_text(text + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else GOLDEN)
