"""A change to a stack file touches the lines of one model; every other byte stays, whatever the layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.boundary import CliError
from cli.stack_file import config_of, entries_of, read, with_entry, with_settings, without_entry, write

FILE = Path("stacks/Pulumi.test.yaml")
STACKS = sorted((Path(__file__).resolve().parents[2] / "stacks").glob("Pulumi.*.yaml"))
NEW: dict[str, Any] = {"name": "new", "model": "org/repo", "gpus": 2, "memory": "32g", "trust_remote_code": True}

BLOCK = """\
# above
config:
  backendai-vllm:cluster: {image: x} # beside
  backendai-vllm:models:
    # the first
    - name: one   # padded
      model: "a/b"
      env:
        A: 'x'   
      extra_args: ["--a",
        "--b"]
    # the second

    -   name: two
        model: >-
          c/d

  # at the end of the list
  backendai-vllm:hf_token:
    secure: v1:abc
encryptionsalt: v1:xyz
"""
LAYOUTS = {
    "block": BLOCK,
    "one entry": "config:\n  backendai-vllm:models:\n  - name: one\n    model: a/b\nencryptionsalt: v1:x\n",
    "no end of line": "config:\n  backendai-vllm:models:\n  - name: one\n    model: a/b",
    "dash on its own line": "config:\n  backendai-vllm:models:\n    -\n      name: one\n      model: a/b\n",
    "commented-out rest": "config:\n  backendai-vllm:models:\n    - name: one\n      # gpus: 2\n    # - name: old\n",
    "empty": "config:\n  backendai-vllm:models: []  # none yet\n  backendai-vllm:cluster: {image: x}\n",
    "empty at the end": "config:\n  backendai-vllm:models: []",
    "null": "config:\n  backendai-vllm:models:\n  backendai-vllm:cluster:\n    image: x\n",
    "flow": "config:\n  backendai-vllm:models: [{name: one, model: a/b}, {name: two}] # short\n",
    "json": '{"config": {"backendai-vllm:models": [{"name": "one"}]}}\n',
    "windows": "config:\r\n  backendai-vllm:models:\r\n    - name: one\r\n      model: a/b\r\n  other:key: 1\r\n",
    "fresh": "encryptionsalt: v1:abc\n",
    "without models": "encryptionsalt: v1:abc\nconfig: # ours\n  backendai-vllm:cluster:\n    image: x\n",
    "nothing": "",
}
TEXTS = {**LAYOUTS, **{file.name: file.read_text() for file in STACKS}}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_a_model_comes_and_goes(text: str) -> None:
    before = entries_of(text, FILE)
    more = with_entry(text, NEW, FILE)
    assert entries_of(more, FILE) == [*before, NEW]
    assert entries_of(without_entry(more, "new", FILE), FILE) == before


@pytest.mark.parametrize("layout", ["block", "one entry", "commented-out rest", "empty", "flow", "windows", "json"])
def test_coming_and_going_leaves_no_trace(layout: str) -> None:
    text = LAYOUTS[layout]
    more = with_entry(text, NEW, FILE)
    if layout not in ("flow", "json"):
        lines = iter(more.splitlines())
        assert all(line in lines for line in text.replace("models: []", "models:").splitlines())
    assert without_entry(more, "new", FILE) == text


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_each_model_can_be_taken_out(text: str) -> None:
    names = [entry["name"] for entry in entries_of(text, FILE)]
    for name in names:
        less = without_entry(text, name, FILE)
        assert [entry["name"] for entry in entries_of(less, FILE)] == [other for other in names if other != name]
        rest = {key: value for key, value in config_of(less, FILE).items() if not key.endswith(":models")}
        assert rest == {key: value for key, value in config_of(text, FILE).items() if not key.endswith(":models")}


def test_what_is_written_looks_like_its_neighbours() -> None:
    assert with_entry(BLOCK, NEW, FILE) == BLOCK.replace(
        "          c/d\n",
        "          c/d\n    -   name: new\n        model: org/repo\n        gpus: 2\n        memory: 32g\n"
        "        trust_remote_code: true\n",
    )
    assert without_entry(BLOCK, "two", FILE) == BLOCK.replace(
        "    -   name: two\n        model: >-\n          c/d\n", ""
    )


def test_a_secret_is_a_mapping() -> None:
    entry = {"name": "new", "hf_token": {"secure": "v1:abc:def=="}}
    text = with_entry("config:\n  backendai-vllm:models: []\n", entry, FILE)
    assert text == (
        "config:\n  backendai-vllm:models:\n    - name: new\n      hf_token:\n        secure: v1:abc:def==\n"
    )


def test_settings_of_the_file_itself() -> None:
    assert with_settings("config: {}", {"encryptionsalt": "v1:a:b"}) == "config: {}\nencryptionsalt: v1:a:b\n"


WORDS = st.text("ab:#-'\"{}[]&*!|>%@`, \\y1.e\t", min_size=1, max_size=8)


@settings(deadline=None)
@given(st.dictionaries(WORDS, st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS))
def test_any_value_is_read_as_it_was_meant(values: dict[str, Any]) -> None:
    entry = {"name": "new", **{f"k{n}": value for n, value in enumerate(values.values())}}
    for layout in ("block", "flow", "empty", "windows"):
        assert entries_of(with_entry(LAYOUTS[layout], entry, FILE), FILE)[-1] == entry


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("config:\n  - a\n bad", "isn't sound YAML at line 3, column 2"),
        ("config:\n  backendai-vllm:models: '[]'\n", "no list"),
        ("config:\n  backendai-vllm:models: &a\n    - name: one\n  b: *nothing\n", "isn't sound YAML"),
    ],
)
def test_what_cannot_be_read_is_said(text: str, said: str) -> None:
    with pytest.raises(CliError, match=said) as refused:
        with_entry(text, NEW, FILE)
    assert refused.value.cure


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(CliError, match="no model 'three'") as refused:
        without_entry(BLOCK, "three", FILE)
    assert refused.value.cure == "It has: one, two."


def test_writing_keeps_permissions_links_and_line_ends(tmp_path: Path) -> None:
    real, link = tmp_path / "real.yaml", tmp_path / "Pulumi.test.yaml"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    write(link, "a: 1\r\nb: ü\r\n")
    assert (link.is_symlink(), real.stat().st_mode & 0o777) == (True, 0o640)
    assert read(link) == "a: 1\r\nb: ü\r\n"
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["Pulumi.test.yaml", "real.yaml"]
    assert yaml.safe_load(read(link)) == {"a": 1, "b": "ü"}
    assert read(tmp_path / "missing.yaml") == ""
