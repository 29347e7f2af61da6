"""How text reaches a terminal, a pipe or a file: colours only where they are wanted, never wider than it is."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

NO_TERMINAL_WIDTH = 100  # columns where nobody says how wide it is
_PLAIN = str.maketrans(
    {**dict(zip("█▓▒░▚·▲×✗–…", "#=+:%.^xx-~", strict=True)), "≤": "<=", "÷": "/"},
)
_BLANKS = re.compile(r" +$", re.MULTILINE)


def console() -> Console:
    """On stdout.  NO_COLOR, FORCE_COLOR and COLUMNS are honoured."""
    import os

    from rich.console import Console

    known = sys.stdout.isatty() or os.environ.get("COLUMNS")
    return Console(width=None if known else NO_TERMINAL_WIDTH, highlight=False, markup=False, emoji=False)


def show(made: Callable[[int], RenderableType]) -> None:
    """What `made` makes for the width of stdout; without the blanks that tables put at the ends of lines."""
    out = console()
    with out.capture() as captured:
        out.print(made(out.width))
    say(_BLANKS.sub("", captured.get()))


def say(text: str) -> None:
    """A text as it is, such as JSON; where stdout isn't Unicode, with what comes near."""
    text = text if text.endswith("\n") else text + "\n"
    encoding = sys.stdout.encoding or "ascii"
    if not encoding.lower().startswith("utf"):
        text = text.translate(_PLAIN).encode(encoding, "replace").decode(encoding)
    sys.stdout.write(text)
