"""argparse with the flags of the table: the parser that our own reading of extra_args is held against."""

import argparse
import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any, NoReturn

from serving.flags import Flag, table
from serving.values import human_int, human_int_or_auto


class Refused(Exception):
    """vLLM would end with exit code 2."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Refused(message)


def _json_or_str(text: str) -> Any:
    return json.loads(text) if re.fullmatch(r"(?s)\s*{.*}\s*", text) else text


def _optional(read: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: None if text in ("", "None") else read(text)


_READ: dict[str, Callable[[str], Any]] = {
    "str": str,
    "append": str,
    "int": int,
    "float": float,
    "human_int": human_int,
    "human_int_or_auto": human_int_or_auto,
    "json": json.loads,
    "json_or_str": _json_or_str,
}


def _add(parser: argparse.ArgumentParser, flag: Flag) -> None:
    names = [flag.name, *flag.aliases]
    if flag.kind == "bool":
        parser.add_argument(*names, dest=flag.dest, action=argparse.BooleanOptionalAction)
    elif flag.nargs == 0:
        parser.add_argument(*names, dest=flag.dest, action="store_true")
    else:
        kind = flag.kind.removeprefix("optional_")
        read = _READ[kind] if kind == flag.kind else _optional(_READ[kind])
        choices = [*flag.choices, None] if flag.choices else None
        action = "append" if kind == "append" else "store"
        extra: dict[str, Any] = {} if flag.nargs is None else {"nargs": flag.nargs}
        parser.add_argument(*names, dest=flag.dest, type=read, choices=choices, action=action, **extra)


@cache
def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="vllm serve", add_help=False, exit_on_error=False)
    parser.add_argument("model_tag", nargs="?")
    for flag in table().flags:
        if flag.kind != "help":
            _add(parser, flag)
    return parser


def parse(words: list[str]) -> dict[str, Any]:
    """What `vllm serve WORDS` reads, as argparse does; Refused when it wouldn't take them."""
    dashed = []
    for word in words:
        head, equals, value = word.partition("=")
        dashed.append(head.replace("_", "-") + equals + value if word.startswith("--") else word)
    try:
        return vars(_parser().parse_args(dashed))
    except argparse.ArgumentError as error:
        raise Refused(str(error)) from error
