"""Entry of the stand-in: run by file, so that it needs neither an installed package nor PYTHONPATH."""

import sys
from pathlib import Path
from types import ModuleType

if not __package__:
    # The package without its __init__: that one serves a whole emulator and is not for this process.
    bare = ModuleType("emulator")
    bare.__path__ = [str(Path(__file__).resolve().parents[1])]
    sys.modules["emulator"] = bare
    del sys.path[0]

from emulator.vllm.engine import main

if __name__ == "__main__":
    main(sys.argv[1:])
