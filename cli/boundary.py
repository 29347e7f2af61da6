"""The one place where failures end: a line that says what, a line with the cure, an exit code; never a traceback.

CliError            what a verb refuses itself
ServingError        of `serving`: a model, a setting, the Hub
ClusterError        of `backendai`: the cluster
TyperException      what can't be understood of the command line
OSError             a file, a disk
anything else       a fault of ours: the details go into a file, for the report
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import typer

from .wording import for_operators

PROGRAM = "bai-vllm"

ERROR = 1  # an error, the command line's own included: 2 would be one more code that scripts must know
INTERRUPTED = 130  # 128 + SIGINT, as a shell has it
PIPE_CLOSED = 141  # 128 + SIGPIPE: the reader has had enough


class CliError(Exception):
    """What is wrong and what cures it; `option` as it is typed, such as `--gpu`."""

    def __init__(self, what: str, cure: str = "", *, option: str = "") -> None:
        super().__init__(what, cure)
        self.what, self.cure, self.option = what, cure, option


class Said(NamedTuple):
    """One failure as it is shown."""

    what: str
    cure: str = ""

    def __str__(self) -> str:
        return f"error: {self.what}" + (f"\ncure:  {self.cure}" if self.cure else "")


def run(app: typer.Typer, argv: Sequence[str]) -> int:
    """Runs `app`; the exit code.  Nothing is raised."""
    try:
        code = app(list(argv), prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except BrokenPipeError:
        return _nothing_more(PIPE_CLOSED)
    except SystemExit as end:  # typer's
        if isinstance(end.__context__, BrokenPipeError):
            return _nothing_more(PIPE_CLOSED)
        return end.code if isinstance(end.code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:
        print("\n".join(map(str, said(error))), file=sys.stderr)
        return _nothing_more(ERROR) if isinstance(error, OSError) else ERROR


def _nothing_more(code: int) -> int:
    """What Python still flushes at its end must not fail aloud."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return code


def said(error: Exception) -> Iterator[Said]:
    """How a failure is told; several where it is several."""
    if isinstance(error, CliError):
        yield Said(f"{error.option}: {error.what}" if error.option else error.what, error.cure)
    elif isinstance(error, typer.TyperException):
        yield _usage(error)
    elif _is(error, "backendai.errors", "ClusterError"):
        from .cures import cure_of_error

        yield Said(error.what, cure_of_error(error))  # type: ignore[attr-defined]
    elif _is(error, "serving.errors", "ServingError"):
        yield from _of_serving(error)
    elif isinstance(error, FileNotFoundError) and error.filename:
        yield Said(f"There is no {error.filename}.", "Give the path of a file that is there.")
    elif isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        yield Said(f"{error.strerror}{where}", "See that there is room, and that you may read and write there.")
    else:
        yield _fault(error)


def _is(error: Exception, module: str, name: str) -> bool:
    """isinstance without importing the room: what wasn't loaded can't have raised."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(error, kind)


def _of_serving(error: Any) -> Iterator[Said]:
    for problem in getattr(error, "problems", (error,)):
        where = _typed(problem.key)
        what = f"{where}: {problem.what}" if where else problem.what
        yield Said(for_operators(what), for_operators(problem.cure))


def _typed(key: str) -> str:
    """A setting's key as an operator gives it."""
    if key in ("", "model", "hf_token"):
        return ""
    return "--" + key.replace("_", "-")


def _usage(error: typer.TyperException) -> Said:
    """What typer says, with the names that are near."""
    from serving.values import did_you_mean

    context = getattr(error, "ctx", None)
    path = context.command_path if context else PROGRAM
    what, near = error.format_message().partition(" (Possible options")[0].replace("Value error, ", ""), ""
    if (option := getattr(error, "option_name", "")) and (known := _options(context)):
        near = did_you_mean(option, known) if option not in known else ""
    return Said(what, f"{near} `{path} --help` lists what there is.".strip())


def _options(context: typer.Context | None) -> list[str]:
    parameters = context.command.params if context else []
    return [name for parameter in parameters for name in parameter.opts if name.startswith("--")]


def _fault(error: Exception) -> Said:
    """A fault of this program.  Its text may quote anything, so what looks like a secret is taken out."""
    import traceback

    from serving.values import masked

    what = f"a fault of this program: {type(error).__name__}: {masked(str(error))}"
    file = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "backendai-vllm" / "last-fault.txt"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(masked("".join(traceback.format_exception(error))))
    except OSError:
        return Said(what, "Please report it, with the command that you typed.")
    return Said(what, f"Please report it, with the command that you typed and {file}.")
