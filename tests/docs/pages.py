"""What is in a page of the documentation: fenced blocks with the note above them, headings, links, inline code.

A note is an HTML comment on the line above a block; it says how the block is run (tests/docs/walk.py) or why it isn't.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guide.md"

_FENCE = re.compile(r"^(`{3,})(\w*)\s*$")
_NOTE = re.compile(r"^<!-- (.+) -->$")
_HEADING = re.compile(r"^(#{1,6}) (.+?)\s*$")
_LINK = re.compile(r"\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)\)")
_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@dataclass(frozen=True)
class Block:
    """A fenced block; `note`: what the comment above it says, or ""."""

    page: Path
    line: int
    language: str
    text: str
    note: str

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def bare(self) -> str:
        """Without comments, which are translated."""
        if self.language not in ("sh", "yaml"):
            return self.text
        return "\n".join(re.sub(r"(^|\s+)#(\s.*)?$", "", line) for line in self.text.splitlines())

    def noted(self, kind: str) -> str | None:
        """What follows `kind: ` in the note ("" when it is `kind` alone); None when it is another note."""
        found = re.fullmatch(rf"{re.escape(kind)}(?:[: ]\s*(.*))?", self.note)
        return (found[1] or "") if found else None


class Page:
    """One Markdown file."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, str(path.relative_to(ROOT))
        self._lines = path.read_text(encoding="utf-8").splitlines()

    @cached_property
    def blocks(self) -> list[Block]:
        return list(self._blocks())

    def _blocks(self) -> Iterator[Block]:
        fence, language, begun = "", "", 0
        for number, line in enumerate(self._lines):
            found = _FENCE.match(line)
            if not fence and found:
                fence, language, begun = found[1], found[2], number
            elif fence and line.strip() == fence:
                above = _NOTE.match(self._lines[begun - 1]) if begun else None
                text = "\n".join(self._lines[begun + 1 : number]) + "\n"
                yield Block(self.path, begun + 1, language, text, above[1] if above else "")
                fence = ""
        assert not fence, f"{self.name}:{begun + 1}: a block that doesn't end"

    @cached_property
    def prose(self) -> list[str]:
        """The lines outside of blocks."""
        kept, fence = [], ""
        for line in self._lines:
            found = re.match(r"^\s*(`{3,})", line)
            if found and (not fence or line.strip() == fence):
                fence = "" if fence else found[1]
            elif not fence:
                kept.append(line)
        return kept

    @property
    def headings(self) -> list[tuple[int, str]]:
        return [(len(found[1]), found[2]) for line in self.prose if (found := _HEADING.match(line))]

    @property
    def anchors(self) -> set[str]:
        """As GitHub makes them."""
        made: set[str] = set()
        for _, title in self.headings:
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()
            slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
            number, name = 0, slug
            while name in made:
                number += 1
                name = f"{slug}-{number}"
            made.add(name)
        return made

    @property
    def links(self) -> list[str]:
        return _LINK.findall("\n".join(_CODE.sub("", line) for line in self.prose))

    @property
    def inline_code(self) -> list[str]:
        return _CODE.findall("\n".join(self.prose))

    @property
    def table_rows(self) -> list[str]:
        return [line for line in self.prose if line.startswith("|")]


def guide() -> list[Page]:
    """The English pages in the order in which they are read: the entry, then as its table names them."""
    entry = Page(GUIDE)
    rest = [entry.path.parent / link for link in entry.links if re.fullmatch(r"guide/[\w-]+\.md", link)]
    return [entry, *map(Page, dict.fromkeys(rest))]


def translated(page: Page) -> Page:
    """The Korean page beside it."""
    return Page(page.path.with_suffix(".ko.md"))


def all_pages() -> list[Page]:
    """Every page that a reader may open."""
    return [Page(path) for path in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))]
