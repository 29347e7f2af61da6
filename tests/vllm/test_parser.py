"""The invariant: vLLM's own parser takes every command line that serving/ builds, and refuses what serving/ refuses.

So does the stand-in's.  The command lines are those of the unit tests of serving/command.py and serving/arguments.py,
all of them: a plugin writes them down (recorder.py); and every flag with every kind of value (sweep.py).  One process
of vLLM's environment parses them.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from emulator.vllm import cli
from emulator.vllm.journal import Refusal
from tests.lifecycle.driver import ROOT

from .install import install
from .sweep import BY_HAND, sweep

UNIT_TESTS = ("tests/unit/serving/test_command.py", "tests/unit/serving/test_arguments.py")

# `vllm serve` without what comes after its parser.  Standard input: lists of words; the file: [model, refusal] each.
_PARSE = """
import contextlib, io, json, sys
from vllm.entrypoints.cli import serve
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
(command,) = serve.cmd_init()
command.subparser_init(parser.add_subparsers(required=True, dest="subparser"))
answers = []
for words in json.load(sys.stdin):
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            read = parser.parse_args(words)
            command.validate(read)
        answers.append([read.model_tag, ""])
    except SystemExit as end:
        answers.append([None, f"exit code {end.code}: {said.getvalue().strip()}"])
    except Exception as error:
        answers.append([None, f"{type(error).__name__}: {error}"])
with open(sys.argv[1], "w") as file:
    json.dump(answers, file)
"""

# What serving/ leaves to vLLM: what is inside of JSON, which differs from release to release, and whether the file of
# a template is there, which only the session's own disk tells.
LEFT_TO_VLLM = (
    "unexpected_keyword_argument",
    "dataclass_type",
    "supplied chat template string",
)
# What the stand-in doesn't look into: what is inside of JSON.
LEFT_BY_STAND_IN = LEFT_TO_VLLM[:2]
# What vLLM's parser takes and serving/ refuses, by the words of its refusal: settings, dangers, later failures.
OURS = (
    "can't be given here",
    "can't be used",
    "has a token or key in it",
    "or more.",
    "is less than --max-num-seqs",
    "line break",
    "NUL",
    BY_HAND,
)


class Case(NamedTuple):
    words: list[str]
    ours: str  # why serving/ refuses it; empty: it doesn't
    model: str | None
    theirs: str


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    folder = tmp_path_factory.mktemp("parser")
    recorded, parsed = folder / "recorded.json", folder / "parsed.json"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.vllm.recorder", "-p", "no:cacheprovider"]
    subprocess.run(
        [*command, *UNIT_TESTS], cwd=ROOT, check=True, capture_output=True, timeout=240,
        env={**os.environ, "RECORD_TO": str(recorded), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    rows = [*json.loads(recorded.read_text()), *sweep()]
    python = install() / "python"
    subprocess.run(
        [python, "-c", _PARSE, str(parsed)], input=json.dumps([words for words, _ in rows]), text=True, check=True,
        capture_output=True, timeout=240, env={**os.environ, "VLLM_LOGGING_LEVEL": "ERROR", "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    answers = json.loads(Path(parsed).read_text())
    return [Case(words, why, *answer) for (words, why), answer in zip(rows, answers, strict=True)]


def test_what_is_built_is_taken_and_serves_the_model(cases: list[Case]) -> None:
    built = [case for case in cases if not case.ours]
    assert len(built) > 2000
    wrong = [
        case
        for case in built
        if not any(text in case.theirs for text in LEFT_TO_VLLM) and (case.theirs or case.model != case.words[1])
    ]
    assert wrong == []


def test_what_is_refused_is_refused_by_vllm_or_for_a_reason_of_ours(cases: list[Case]) -> None:
    refused = [case for case in cases if case.ours]
    assert len(refused) > 2000
    wrong = [case for case in refused if not case.theirs and not any(text in case.ours for text in OURS)]
    assert wrong == []


def test_the_stand_in_takes_what_vllm_takes(cases: list[Case]) -> None:
    wrong = [
        case
        for case in cases
        if not any(text in case.theirs for text in LEFT_BY_STAND_IN)
        and stand_in_reads(case.words) != (not case.theirs, case.model)
    ]
    assert wrong == []


def stand_in_reads(words: list[str]) -> tuple[bool, str | None]:
    """Whether it takes them, and the model in them."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            read = cli.parse(words)
            cli.validate(read)
    except (SystemExit, Refusal):
        return False, None
    return True, read.model_tag
