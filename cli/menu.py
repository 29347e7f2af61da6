"""The verb `menu`: the other verbs, for whom would rather choose than type.  It shows the command that it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import typer

from .options import StackOption


class Question(NamedTuple):
    """`option`: what the answer is given to; None for an argument.  An empty answer leaves it out; a `default` of
    "y" or "n" is a question for yes or no, and yes gives the option alone.
    """

    text: str
    option: str | None = None
    default: str = ""

    @property
    def needed(self) -> bool:
        return self.option is None


class Choice(NamedTuple):
    """`stack`: whether the verb works on a stack."""

    verb: str
    text: str
    questions: tuple[Question, ...] = ()
    stack: bool = True


_NAME = Question("Model or session")
_MODEL = Question("Model on the Hugging Face Hub (ORG/NAME)")
CHOICES: tuple[Choice, ...] = (
    Choice("list", "what is deployed, and how it does"),
    Choice(
        "plan",
        "whether a model will start, and on which GPU",
        (_MODEL, Question("GPU, such as A100-80GB (empty: the smallest that does)", "--gpu")),
        stack=False,
    ),
    Choice(
        "deploy",
        "add a model to the stack and bring it up",
        (
            _MODEL,
            Question("Name (empty: made from the model's)", "--session-name"),
            Question("GPUs (empty: 1)", "--gpu-count"),
            Question("Host memory (empty: 16g)", "--memory"),
            Question("Quantization, such as awq (empty: none)", "--quantization"),
            Question("Longest request in tokens (empty: 4096)", "--max-model-len"),
            Question("Only show what would happen?", "--dry-run", "n"),
        ),
    ),
    Choice("test", "ask a model for a completion, a chat and a stream", (Question("Model, session or URL"),)),
    Choice("chat", "talk to a model", (_NAME,)),
    Choice(
        "connect", "a local port for clients, until Ctrl-C", (_NAME, Question("Port (empty: a free one)", "--port"))
    ),
    Choice("logs", "what a session has said", (_NAME, Question("Lines from the end (empty: all)", "--tail"))),
    Choice("monitor", "a live screen, until Ctrl-C"),
    Choice("kill", "end a session; the next `pulumi up` makes it anew", (_NAME,)),
    Choice("remove", "take a model out of the stack and end it", (_NAME,)),
    Choice(
        "adopt",
        "bring a session that was made by hand under the stack",
        (
            Question("Session (name or id)"),
            Question("Model that the stack file declares"),
            Question("File with its key (empty: in the stack file)", "--api-key-file"),
        ),
    ),
    Choice("orphans", "sessions that are in no stack", (Question("End them?", "--delete", "n"),)),
    Choice("doctor", "check credentials, cluster, Hub and Pulumi"),
)


def menu(stack: StackOption = None) -> int:
    """Choose from a menu; each choice shows the command that it runs."""
    try:
        while (choice := _chosen()) is not None:
            words = [choice.verb, *_answers(choice.questions)]
            if stack and choice.stack:
                words += ["--stack", stack]
            _run(words)
    except typer.Abort:  # Ctrl-C or the end of stdin
        typer.echo()
    return 0


def _chosen() -> Choice | None:
    """What was chosen; None to leave."""
    typer.echo()
    for number, choice in enumerate(CHOICES, start=1):
        typer.echo(f"{number:>3}  {choice.verb:<8} {choice.text}")
    typer.echo(f"{0:>3}  {'exit':<8} leave")
    while True:
        text = str(typer.prompt("Choice", prompt_suffix=": ")).strip().lower()
        if text in ("0", "q", "quit", "exit"):
            return None
        for number, choice in enumerate(CHOICES, start=1):
            if text in (str(number), choice.verb):
                return choice
        typer.echo(f"'{text}' is none of them: write a number from 0 to {len(CHOICES)}, or a name.")


def _answers(questions: Sequence[Question]) -> list[str]:
    words: list[str] = []
    for question in questions:
        if question.default:
            if typer.confirm(question.text, default=question.default == "y"):
                words.append(str(question.option))
            continue
        text = ""
        while not text:
            text = str(typer.prompt(question.text, default="", show_default=False)).strip()
            if not question.needed:
                break
        if text:
            words += [text] if question.option is None else [question.option, text]
    return words


def _run(words: list[str]) -> None:
    import shlex
    import sys

    from .boundary import PROGRAM, run
    from .main import app

    typer.echo(f"$ {PROGRAM} {shlex.join(words)}")
    sys.stdout.flush()
    code = run(app, words)
    if code:
        typer.echo(f"(exit code {code})")
