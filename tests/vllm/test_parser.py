"""The invariant: vLLM's own parser takes every command line that serving/ builds, and refuses what serving/ refuses.

The command lines are those of the unit tests of serving/command.py and serving/arguments.py, all of them: a plugin
writes them down (recorder.py), and one process of vLLM's environment parses them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.lifecycle.driver import ROOT

from .install import install

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

# What serving/ leaves to vLLM: the keys inside of JSON, whether a template's file is there, what flags ask of others.
LEFT_TO_VLLM = (
    "unexpected_keyword_argument",
    "Unexpected keyword argument",
    "dataclass_type",
    "supplied chat template string",
    "requires --data-parallel-size > 1",
)
# What vLLM's parser takes and serving/ refuses, by the words of its refusal: settings, dangers, later failures.
OURS = (
    "can't be given here",
    "can't be used",
    "has a token or key in it",
    "or more.",
    "is less than --max-num-seqs",
    "line break",
    "NUL",
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
        [*command, "--hypothesis-seed=0", *UNIT_TESTS], cwd=ROOT, check=True, capture_output=True, timeout=240,
        env={**os.environ, "RECORD_TO": str(recorded), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    rows = json.loads(recorded.read_text())
    python = install() / "python"
    subprocess.run(
        [python, "-c", _PARSE, str(parsed)], input=json.dumps([words for words, _ in rows]), text=True, check=True,
        capture_output=True, timeout=240, env={**os.environ, "VLLM_LOGGING_LEVEL": "ERROR", "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    answers = json.loads(Path(parsed).read_text())
    return [Case(words, why, *answer) for (words, why), answer in zip(rows, answers, strict=True)]


def test_what_is_built_is_taken_and_serves_the_model(cases: list[Case]) -> None:
    built = [case for case in cases if not case.ours]
    assert len(built) > 200
    wrong = [
        case
        for case in built
        if not any(text in case.theirs for text in LEFT_TO_VLLM) and (case.theirs or case.model != case.words[1])
    ]
    assert wrong == []


def test_what_is_refused_is_refused_by_vllm_or_for_a_reason_of_ours(cases: list[Case]) -> None:
    refused = [case for case in cases if case.ours]
    assert len(refused) > 50
    wrong = [case for case in refused if not case.theirs and not any(text in case.ours for text in OURS)]
    assert wrong == []
