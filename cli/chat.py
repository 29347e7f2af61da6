"""The verb `chat`: a small conversation with a model in the terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import NameArgument, StackOption

if TYPE_CHECKING:
    import asyncio

    from backendai import Api

    from .server import Server
    from .stack import Deployed, Stack

_HELP = "/reset forgets what was said, /exit or Ctrl-D leaves, Ctrl-C stops an answer."


def chat(
    name: NameArgument,
    *,
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="Said to the model before all else.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Of one answer (the model's limit).")
    ] = None,
    temperature: Annotated[float | None, typer.Option(metavar="T", min=0, help="0 always says the likeliest.")] = None,
    stack: StackOption = None,
) -> int:
    """Talk to a model; answers appear as they are made.

    /reset forgets what was said, /exit or Ctrl-D leaves, Ctrl-C stops an answer.
    """
    import asyncio
    import io

    from .stack import selected

    chosen = selected(stack)
    row = _one(chosen.find(name))
    options = {"max_tokens": max_tokens, "temperature": temperature}
    body = {"model": row.served_model_name, **{k: v for k, v in options.items() if v is not None}}
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # models say what not every terminal can show
    with asyncio.Runner() as runner, _Line(runner, chosen, row) as line:
        print(f"{row.served_model_name} ({row.resource}). {_HELP}", file=sys.stderr)
        Conversation(line, body, system).run()
    return 0


def _one(rows: Sequence[Deployed]) -> Deployed:
    from .reaching import with_sessions

    return with_sessions(rows)[0]


class _Line:
    """The way to the server, open between the answers, too."""

    def __init__(self, runner: asyncio.Runner, stack: Stack, row: Deployed) -> None:
        self.runner, self._stack, self._row = runner, stack, row
        self._open = contextlib.AsyncExitStack()

    def __enter__(self) -> _Line:
        try:
            self.runner.run(self._connect())
        except BaseException:
            self.runner.run(self._open.aclose())
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.runner.run(self._open.aclose())

    async def _connect(self) -> None:
        import aiohttp

        from .boundary import CliError
        from .reaching import conversation, tunnel, why_silent
        from .server import Refused, Server

        self._api: Api = await self._open.enter_async_context(conversation(self._stack))
        url = await self._open.enter_async_context(tunnel(self._api, self._row))
        http = await self._open.enter_async_context(aiohttp.ClientSession(trust_env=False))
        self.server: Server = Server(url, self._stack.api_key(self._row), http)
        try:
            await self.server.health()
        except Refused:
            why = await why_silent(self._api, self._row)
            raise CliError(f"{self._row.resource} doesn't answer: {why.what}.", why.cure) from None

    def why(self) -> str:
        """What is the matter with a server that has stopped answering."""
        from .reaching import why_silent

        found = self.runner.run(why_silent(self._api, self._row))
        return f"{found.what}. {found.cure}" if found.what else ""


class Conversation:
    """What was said so far, and what is said next.  Without a chat template each line is a prompt of its own."""

    def __init__(self, line: _Line, body: dict[str, Any], system: str | None) -> None:
        self._line, self._body = line, body
        self._start = [{"role": "system", "content": system}] if system else []
        self._said = list(self._start)
        self._plain = False

    def run(self) -> None:
        """Until /exit or the end of stdin."""
        while True:
            try:
                text = self._read()
            except KeyboardInterrupt:
                print("\n(Ctrl-D or /exit leaves)", file=sys.stderr)
                continue
            except EOFError:
                return
            if text in ("/exit", "/quit"):
                return
            if text == "/reset":
                self._said = list(self._start)
                print("(forgotten)", file=sys.stderr)
            elif text.startswith("/"):
                print(_HELP, file=sys.stderr)
            elif text:
                self._answer(text)

    def _read(self) -> str:
        if sys.stdin.isatty():
            with contextlib.suppress(ImportError):
                import readline  # noqa: F401  # input() then has history and editing
            return input("> ").strip()
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.strip()

    def _answer(self, text: str) -> None:
        from .server import Refused

        pieces: list[str] = []
        self._said.append({"role": "user", "content": text})
        try:
            self._line.runner.run(self._stream(text, pieces))
        except KeyboardInterrupt:
            print(" (stopped)", file=sys.stderr)
        except Refused as refused:
            self._said.pop()
            if refused.no_template and not self._plain:
                self._plain = True
                print(
                    "(it has no chat template: it goes on with what you write, and remembers nothing)", file=sys.stderr
                )
                self._answer(text)
                return
            more = "" if refused.status else self._line.why()
            print(f"error: {refused}. {more}".strip(), file=sys.stderr)
            return
        print(flush=True)
        self._said.append({"role": "assistant", "content": "".join(pieces)})

    async def _stream(self, text: str, pieces: list[str]) -> None:
        asked = {"prompt": text} if self._plain else {"messages": self._said}
        async for piece in self._line.server.stream({**self._body, **asked}):
            pieces.append(piece.text)
            print(piece.text, end="", flush=True)
