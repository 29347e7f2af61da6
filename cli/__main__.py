"""`python -m cli`: what the launcher `.venv/bin/bai-vllm` runs."""

import sys

from cli.main import main

if __name__ == "__main__":
    sys.exit(main())
