"""What a provider tells the user beside its answer: on stderr, which the CLI shows under Diagnostics."""

from __future__ import annotations

import sys
from collections.abc import Iterable


def say(name: str, text: str, secrets: Iterable[str | None] = ()) -> None:
    """Each line behind the session's name, without secrets; in one write, because calls run side by side."""
    from backendai import redact

    sys.stderr.write(redact("".join(f"[{name}] {line}\n" for line in text.splitlines()), secrets))
    sys.stderr.flush()
