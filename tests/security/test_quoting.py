"""The invariant: whatever a user types, the shell gives vLLM just those words; no variable has a second line."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from providers import fields
from serving import InvalidArgument, ServeSettings, serve_argv, startup_command

# What a shell reads otherwise than as itself, and pieces that would do harm.
EVIL = ("$(touch pwned)", "`touch pwned`", "; touch pwned", "'", '"', "\\", "&& touch pwned", "| cat", "> pwned",
        "$HOME", "${IFS}", "*", "?", "~", "#", "!", "{a,b}", "a b", "\t", "\n", "\r", "\0", "\x1b[31m", "é", "\u2028",
        "'; touch pwned; '", "--host=0.0.0.0", "-", "=", "%s", "$'\\n'")  # fmt: skip
WORDS = st.one_of(
    st.text(max_size=30),
    st.lists(st.one_of(st.sampled_from(EVIL), st.text(max_size=5)), max_size=4).map("".join),
)
FLAGS = st.sampled_from(["--chat-template", "--download-dir", "--tokenizer", "--served-model-name", "--seed", "--x"])
EXTRA = st.lists(st.one_of(WORDS, st.tuples(FLAGS, WORDS).map("=".join)), max_size=3)
FUZZ = settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture
def recorder(tmp_path: Path) -> Path:
    """A folder with a `vllm` that writes down its arguments."""
    program = tmp_path / "bin" / "vllm"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nprintf "%s\\0" vllm "$@" > "$RECORD"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "home").mkdir()
    return tmp_path


def through_the_shell(command: str, folder: Path) -> list[str]:
    """The words that `vllm` got."""
    record = folder / "record"
    env = {"PATH": f"{folder / 'bin'}:/usr/bin:/bin", "RECORD": str(record), "HOME": str(folder / "home")}
    subprocess.run(["sh", "-c", command], cwd=folder / "home", env=env, check=True, capture_output=True)
    words = os.fsdecode(record.read_bytes()).split("\0")[:-1]
    assert list((folder / "home").iterdir()) == [], "something else ran"
    return words


@FUZZ
@given(served=st.one_of(st.none(), WORDS), revision=st.one_of(st.none(), WORDS), model=WORDS, extra=EXTRA)
@example(served="$(touch pwned)", revision="'; touch pwned; '", model="/models/`touch pwned`", extra=[])
@example(served="a b", revision=None, model="/models/x", extra=["--chat-template={{ '$HOME' }}"])
def test_the_startup_command(
    served: str | None, revision: str | None, model: str, extra: list[str], recorder: Path
) -> None:
    asked = ServeSettings(model=model, served_model_name=served, revision=revision, extra_args=tuple(extra))
    try:
        argv, command = serve_argv(asked), startup_command(asked)
    except InvalidArgument:
        return  # refused: it reaches no shell
    assert "\n" not in command
    assert through_the_shell(command, recorder) == argv
    assert argv[:3] == ["vllm", "serve", model]


@FUZZ
@given(served=WORDS, revision=WORDS, extra=EXTRA)
def test_with_a_model_that_is_always_taken(served: str, revision: str, extra: list[str], recorder: Path) -> None:
    """Few random models are names; so here only the rest is random, and most of it does reach the shell."""
    for asked in (
        ServeSettings(model="acme/model", served_model_name=served),
        ServeSettings(model="acme/model", revision=revision),
        ServeSettings(model="acme/model", extra_args=tuple(extra)),
    ):
        try:
            argv, command = serve_argv(asked), startup_command(asked)
        except InvalidArgument:
            continue
        assert through_the_shell(command, recorder) == argv


@FUZZ
@given(env=st.dictionaries(WORDS, WORDS, max_size=4))
def test_the_environment(env: dict[str, str]) -> None:
    """An agent writes it one KEY=VALUE a line: what is accepted must come back from there as it was."""
    try:
        accepted = TypeAdapter(fields.Environment).validate_python(env)
    except ValidationError:
        return
    lines = "\n".join(f"{key}={value}" for key, value in accepted.items())
    assert dict(line.split("=", 1) for line in lines.split("\n") if line) == dict(accepted)
    for key, value in accepted.items():
        assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key), key
        assert not set("\n\r\0") & set(value), value


@FUZZ
@given(name=WORDS)
def test_the_names(name: str) -> None:
    for kind in (fields.SessionName, fields.ModelName):
        try:
            accepted = TypeAdapter(kind).validate_python(name)
        except ValidationError:
            continue
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", accepted), accepted
