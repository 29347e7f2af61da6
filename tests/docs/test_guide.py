"""Every command of the guide does what its page says, on one stack from the first page to the last; the Korean guide
has the same commands.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.loading import StackFile
from emulator import Emulator
from scripts import launcher

from .commands import PROVED, problem, simple_commands
from .pages import ROOT, Block, Page, guide, translated
from .walk import clone

PAGES = guide()
BLOCKS = [block for page in PAGES for block in page.blocks]
LANGUAGES = {"sh", "python", "yaml", "json", "text"}
NOTES = ("not run", "typed", "until Ctrl-C", "background", "exit code")


def is_run(block: Block) -> bool:
    return block.language in ("sh", "python") and block.noted("not run") is None


@pytest.mark.timeout(900)  # two minutes on a quiet machine
def test_a_reader_types_every_command(tmp_path: Path) -> None:
    outputs: dict[str, str] = {}
    with clone(tmp_path / "clone") as walk:
        for page in PAGES:
            with walk.page():
                for block in filter(is_run, page.blocks):
                    began = time.monotonic()
                    walk.do(block)
                    outputs[block.text] = walk.told
                    print(f"{time.monotonic() - began:6.2f} s  {block.where}")
        assert not list(walk.emulator.cluster.living()), "the guide's last command leaves something behind"
    shown = next(block for block in BLOCKS if block.language == "text" and "WON'T START on T4" in block.text)
    told = next(told for text, told in outputs.items() if "--gpu T4 --max-model-len 8192" in text)
    assert form(told) == form(shown.text)


def form(verdict: str) -> list[str]:
    """What a verdict's report looks like, without its figures, which follow every better estimate, and its cures."""
    head, _, _ = verdict.partition("What would make it start")
    lines = [re.sub(r"[\d.,]+", "0", line) for line in head.splitlines() if not re.match(r"[█▒░▚▓·× ]+$|.*▲", line)]
    return [" ".join(line.split()) for line in lines]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path.stem)
class TestPage:
    def test_each_block_says_how_it_is_run(self, page: Page) -> None:
        for block in page.blocks:
            assert block.language in LANGUAGES, f"{block.where}: which language?"
            if block.note:
                kind = next((kind for kind in NOTES if block.noted(kind) is not None), None)
                assert kind, f"{block.where}: no note that is known: {block.note}"
                assert kind != "not run" or len(block.noted(kind) or "") > 10, f"{block.where}: why isn't it run?"

    def test_what_is_not_run_exists(self, page: Page) -> None:
        for block in page.blocks:
            if block.language == "sh" and block.noted("not run") is not None:
                found = [problem(words) for words in simple_commands(block.text)]
                assert not any(found), f"{block.where}: {found}"

    def test_commands_in_sentences_exist(self, page: Page) -> None:
        for each in (page, translated(page)):
            for code in each.inline_code:
                if code.partition(" ")[0] in PROVED and " " in code:
                    found = [problem(words) for words in simple_commands(code)]
                    assert not any(found), f"{each.name}: `{code}`: {found}"

    def test_settings_are_read(self, page: Page) -> None:
        for block in page.blocks:
            if block.language == "yaml":
                assert problems_of(yaml.safe_load(block.text)) == [], block.where
            elif block.language == "json":
                json.loads(block.text)
            elif block.language == "python":
                ast.parse(block.text)

    def test_the_korean_page_is_the_same(self, page: Page) -> None:
        korean = translated(page)
        assert [(b.language, b.bare) for b in korean.blocks] == [(b.language, b.bare) for b in page.blocks]
        assert [level for level, _ in korean.headings] == [level for level, _ in page.headings]
        assert len(korean.table_rows) == len(page.table_rows)
        assert re.search("[가-힣]", "".join(korean.prose))


def problems_of(content: Any) -> list[str]:
    """What the program would say of settings: a whole stack file, or some models."""
    if isinstance(content, list):
        content = {"config": {"backendai-vllm:cluster": {"image": "x/vllm:0.32.0"}, "backendai-vllm:models": content}}
    config = {key.removeprefix("backendai-vllm:"): json.dumps(value) for key, value in content["config"].items()}
    _, problems = StackFile(config.get, config, lambda _: False).read()
    return [str(found) for found in problems]


def test_the_figures_of_the_tuning_page(emulator: Emulator, tmp_path: Path) -> None:
    page = next(page for page in PAGES if page.path.stem == "tuning")
    rows = [re.findall(r"\| (?:`(\w+): ([\w.]+)`.*?|–) \| ([\d,]+) \|", row) for row in page.table_rows]
    figures = [found[0] for found in rows if found]
    assert len(figures) == 7
    command = re.search(r"bai-vllm (plan .* --output json)", page.blocks[0].text)
    assert command
    for setting, value, tokens in figures:
        option = f"--{setting.replace('_', '-')}"
        more = [option] if value == "true" else [option, value] if setting else []
        done = subprocess.run(
            [str(launcher.write()), *command[1].split(), *more],
            env={"HF_ENDPOINT": emulator.hub_endpoint, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert json.loads(done.stdout)["kv_cache_tokens"] == int(tokens.replace(",", "")), (setting, done.stderr)


def test_settings_page_names_every_setting() -> None:
    from components.settings import ClusterSettings, ModelSettings

    for page in (next(page for page in PAGES if page.path.stem == "settings"),):
        for each in (page, translated(page)):
            named = {code for row in each.table_rows for code in re.findall(r"`(\w+)`", row.split("|")[1])}
            assert set(ClusterSettings.model_fields) | set(ModelSettings.model_fields) <= named, each.name


def test_command_page_names_every_verb() -> None:
    told = subprocess.run([str(launcher.write()), "--help"], capture_output=True, text=True, check=True).stdout
    verbs = re.findall(r"^  ([a-z]+) ", told.partition("Commands:")[2], re.MULTILINE)
    assert len(verbs) >= 13
    page = next(page for page in PAGES if page.path.stem == "command")
    for each in (page, translated(page)):
        for verb in verbs:
            assert any(re.search(rf"`{verb}\b", row) for row in each.table_rows), f"{each.name}: {verb}"


def test_nothing_is_left_out() -> None:
    """A page that the entry doesn't name would be run by nobody."""
    there = {path for path in (ROOT / "docs" / "guide").glob("*.md") if not path.name.endswith(".ko.md")}
    assert there == {page.path for page in PAGES[1:]}


def test_troubleshooting_has_the_cases_of_the_cures() -> None:
    from cli.cures import TABLE

    page = next(page for page in PAGES if page.path.stem == "troubleshooting")
    titles = [title.lower() for level, title in page.headings if level == 2]
    for row, title in zip(TABLE[:5], titles, strict=False):
        assert row.case.lower() in title
