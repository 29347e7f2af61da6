"""Whoever follows a link in the documentation arrives: the file is there, and so is the heading."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .pages import ROOT, Page, all_pages

PAGES = all_pages()
_FILE = re.compile(
    r"(?:backendai|bench|cli|components|docs|emulator|policies|providers|scripts|serving|stacks|tests)/[\w./-]+\.\w+"
)


def target_of(page: Page, link: str) -> tuple[Path, str]:
    name, _, anchor = link.partition("#")
    return (page.path.parent / name).resolve() if name else page.path, anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
class TestPage:
    def test_links_lead_somewhere(self, page: Page) -> None:
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            path, anchor = target_of(page, link)
            assert path.exists(), f"{page.name}: {link}"
            assert path.is_relative_to(ROOT), f"{page.name}: {link}"
            if anchor:
                assert anchor in Page(path).anchors, f"{page.name}: {link}: there are {sorted(Page(path).anchors)}"

    def test_files_that_it_names_are_there(self, page: Page) -> None:
        for code in page.inline_code:
            if _FILE.fullmatch(code) and "{" not in code and "NAME" not in code:
                assert (ROOT / code).exists() or (page.path.parent / code).exists(), f"{page.name}: {code}"


def test_every_page_is_found_from_the_readme() -> None:
    seen: set[Path] = set()
    left = [ROOT / "README.md"]
    while left:
        path = left.pop()
        if path in seen or path.suffix != ".md" or not path.exists():
            continue
        seen.add(path)
        page = Page(path)
        left += [target_of(page, link)[0] for link in page.links if not re.match(r"[a-z]+:", link)]
    assert {page.path for page in PAGES} <= seen
