"""Whether a command that isn't run exists: its verb or subcommand, and each of its options, by its own `--help`."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.lifecycle.driver import pulumi_folder

from .pages import ROOT

# What the pages use of a shell and its tools, and which needs no proof.
KNOWN = frozenset({"curl", "export", "pip", "python3", "source"})
PROVED = frozenset({"bai-vllm", "backend.ai", "make", "pulumi"})
_ENDS = frozenset({"|", ";", "&&", "||", "(", ")", "<", ">"})
_ASSIGNED = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)


def simple_commands(text: str) -> Iterator[list[str]]:
    """The words of each command of a script, without assignments before it."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word not in _ENDS:
                words.append(word)
                continue
            while words and _ASSIGNED.fullmatch(words[0]):
                words.pop(0)
            if words:
                yield words
            words = []


def problem(words: list[str]) -> str | None:
    """What is wrong with a command; None when all of it exists."""
    name, rest = Path(words[0]).name, words[1:]
    if name in KNOWN:
        return None
    if name not in PROVED:
        return f"{name} is no command that is known here"
    if name == "make":
        return _wrong_target(rest)
    path, rest = _subcommand(name, rest)
    told = _help(name, *path)
    if told is None:
        return f"there is no `{name} {' '.join(path)}`"
    for word in rest:
        option = word.partition("=")[0]
        if option.startswith("-") and option != "-" and not re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", told):
            return f"`{name} {' '.join(path)}` has no option {option}"
    return None


def _wrong_target(words: list[str]) -> str | None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    wrong = [word for word in words if "=" not in word and word not in targets]
    return f"make has no target {wrong[0]}" if wrong else None


def _subcommand(name: str, words: list[str]) -> tuple[list[str], list[str]]:
    """The words that choose what is run, and those that are its own."""
    path: list[str] = []
    while words and re.fullmatch(r"[a-z][a-z-]*", words[0]):
        told = _help(name, *path) or ""
        if not re.search(rf"^\s+{words[0]}\b", told, re.MULTILINE):
            break
        path, words = [*path, words[0]], words[1:]
    return path or words[:1], words if path else words[1:]


@cache
def _help(name: str, *path: str) -> str | None:
    """What it says of itself, with what all its commands have in common; None when there is no such command."""
    folders = [str(Path(sys.executable).parent), pulumi_folder(), os.environ["PATH"]]
    env = {**os.environ, "PATH": os.pathsep.join(folders), "COLUMNS": "200", "PULUMI_SKIP_UPDATE_CHECK": "true"}
    done = subprocess.run([name, *path, "--help"], env=env, capture_output=True, text=True, check=False, timeout=60)
    # `pulumi nonsense --help` shows the help of `pulumi`.
    if done.returncode or (path and name == "pulumi" and f"pulumi {' '.join(path)}" not in done.stdout):
        return None
    return done.stdout
