"""Whatever a verb does, a user reads what and a cure, and gets an exit code; never a traceback, never a secret."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from backendai.errors import AuthenticationFailed
from cli.boundary import CliError, run
from cli.cures import command_for
from serving.errors import HubUnreachable, InvalidArgument, InvalidArguments

DOCTOR = command_for("authentication-failed")
SECRET = "hf_abcdefghijklmnop"


def app(body: Callable[[], int | None]) -> typer.Typer:
    """A command with one verb that does this."""
    made = typer.Typer(rich_markup_mode=None)

    @made.callback()
    def start() -> None: ...

    @made.command()
    def verb(count: int = 1) -> int | None:
        return body()

    return made


def fails(error: BaseException) -> Callable[[], int]:
    def body() -> int:
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (CliError("it is wrong.", "Do this."), "error: it is wrong.\ncure:  Do this.\n"),
        (CliError("it is wrong.", option="--gpu"), "error: --gpu: it is wrong.\n"),
        (HubUnreachable("No answer.", "Wait."), "error: No answer.\ncure:  Wait.\n"),
        (AuthenticationFailed("No such key.", "Look."), f"error: No such key.\ncure:  Look. {DOCTOR}\n"),
        (
            InvalidArguments([InvalidArgument("A.", "a", key="max_model_len"), InvalidArgument("B.", key="dtype")]),
            "error: --max-model-len: A.\ncure:  a\nerror: --dtype: B.\n",
        ),
        (InvalidArgument("Closed.", "Set hf_token.", key="hf_token"), "error: Closed.\ncure:  Set HF_TOKEN.\n"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_our_errors_are_told_with_their_cure(error: Exception, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(app(fails(error)), ["verb"]) == 1
    assert capsys.readouterr() == ("", told)


def test_a_fault_of_ours_is_told_without_traceback_and_without_secrets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert run(app(fails(RuntimeError(f"with {SECRET}"))), ["verb"]) == 1
    out, told = capsys.readouterr()
    file = tmp_path / "backendai-vllm" / "last-fault.txt"
    assert out == ""
    assert told.startswith("error: a fault of this program: RuntimeError: with [secret]\ncure:  ")
    assert str(file) in told and "Traceback" not in told
    assert "Traceback" in file.read_text() and SECRET not in file.read_text()


def test_a_fault_is_told_where_nothing_can_be_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert run(app(fails(RuntimeError("so"))), ["verb"]) == 1
    assert "RuntimeError: so" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "said", "cure"),
    [
        (["werb"], "No such command 'werb'", "`bai-vllm --help`"),
        (["verb", "--cuont", "2"], "No such option: --cuont", "Did you mean --count?"),
        (["verb", "--count", "x"], "Invalid value for '--count'", "`bai-vllm verb --help`"),
        (["verb", "--count"], "requires an argument", "`bai-vllm --help`"),
        (["verb", "more"], "unexpected extra argument", "`bai-vllm verb --help`"),
    ],
)
def test_a_command_line_that_makes_no_sense(
    argv: list[str], said: str, cure: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(app(lambda: 0), argv) == 1
    what, cured = capsys.readouterr().err.splitlines()
    assert what.startswith("error: ") and said in what
    assert cured.startswith("cure:  ") and cure in cured


@pytest.mark.parametrize(("code", "ends"), [(None, 0), (0, 0), (3, 3), (4, 4)])
def test_a_verb_returns_its_exit_code(code: int | None, ends: int) -> None:
    assert run(app(lambda: code), ["verb"]) == ends


@pytest.mark.parametrize("error", [KeyboardInterrupt(), typer.Abort()], ids=["ctrl-c", "abort"])
def test_ctrl_c_is_quiet(error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(app(fails(error)), ["verb"]) == 130
    assert capsys.readouterr() == ("", "")


PRINTING = """
import sys, typer
from cli.boundary import run
app = typer.Typer(rich_markup_mode=None)
@app.callback()
def start() -> None: ...
@app.command()
def verb(lines: int) -> None:
    for _ in range(lines):
        print("a line")
sys.exit(run(app, sys.argv[1:]))
"""


@pytest.mark.parametrize("lines", ["1", "100000"], ids=["flushed at the end", "while it writes"])
class TestOutput:
    """What can't be written is no traceback, whether it is noticed at once or by the last flush."""

    def process(self, lines: str, stdout: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", PRINTING, "verb", lines]
        root = Path(__file__).resolve().parents[2]
        return subprocess.Popen(command, cwd=root, stdout=stdout, stderr=subprocess.PIPE)

    def test_a_reader_that_has_enough_is_no_error(self, lines: str) -> None:
        with self.process(lines, subprocess.PIPE) as process:
            assert process.stdout and process.stderr
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait(30) == 141

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="a Linux device")
    def test_a_full_disk_is_an_error_of_one_line(self, lines: str) -> None:
        with Path("/dev/full").open("wb") as full, self.process(lines, full.fileno()) as process:
            assert process.stderr
            told = process.stderr.read().decode()
            assert process.wait(30) == 1
        assert told.startswith("error: No space left on device\ncure:  ") and told.count("\n") == 2
