"""The policy pack, as Pulumi starts it.  The rules are in table.py."""

from __future__ import annotations

import sys
from pathlib import Path

# Pulumi starts it from any folder, with this one first on sys.path; what is imported is this clone's.
FOLDER = Path(__file__).resolve().parent
sys.path[:] = [str(FOLDER.parent), *(entry for entry in sys.path if Path(entry).resolve() != FOLDER)]

if __name__ == "__main__":
    from pulumi_policy import PolicyPack

    from policies.pack import policies
    from policies.servicer import install
    from policies.table import RULES

    install()
    PolicyPack("backendai-vllm", policies(RULES))
