"""The command line of `vllm`: argparse over the flags of the real parser, so that its rules are argparse's.

Abbreviations, nargs='+' flags that swallow a following positional, the last of two winning,
exit code 2: nothing of that is written here.
"""

import argparse
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from emulator.vllm import journal

FLAGS_FILE = Path(__file__).resolve().parents[2] / "serving" / "data" / "vllm_flags.json"
DEFAULT_MODEL = "Qwen/Qwen3-0.6B"

_OTHER_COMMANDS = ("chat", "complete", "bench", "collect-env", "run-batch")
_SECRETS = ("api_key", "hf_token")
_DECIMAL = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def human_readable_int(value: str) -> int:
    """`32k` = 32000, `1.5k` = 1500, `32K` = 32768; ValueError for anything else that is no integer."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmMgGtT])", value.strip())
    if not match:
        return int(value)
    number, unit = match.groups()
    if unit in _DECIMAL:
        return int(float(number) * _DECIMAL[unit])
    if "." in number:
        raise argparse.ArgumentTypeError(
            f"Decimals are not allowed with binary suffixes like {unit}. Did you mean to use "
            f"{number}{unit.lower()} instead?"
        )
    return int(number) * _BINARY[unit]


def human_readable_int_or_auto(value: str) -> int:
    """As `human_readable_int`; `auto` is -1: as long as memory allows."""
    return -1 if value.strip().lower() == "auto" else human_readable_int(value)


def _json_or_str(value: str) -> Any:
    return json.loads(value) if value.lstrip().startswith("{") else value


def _converted(convert: Callable[[str], Any], *, optional: bool) -> Callable[[str], Any]:
    """vLLM's wrapper: its own words for a bad value, None for "" and "None" where that is allowed."""

    def parse(value: str) -> Any:
        if optional and value in ("", "None"):
            return None
        try:
            return convert(value)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"Value {value} cannot be converted to {convert}.") from error

    return parse


_TYPES: dict[str, Callable[[str], Any]] = {
    "str": str,
    "append": str,
    "int": int,
    "float": float,
    "human_int": human_readable_int,
    "human_int_or_auto": human_readable_int_or_auto,
    "json": _converted(json.loads, optional=False),
    "json_or_str": _converted(_json_or_str, optional=False),
    "optional_str": _converted(str, optional=True),
    "optional_int": _converted(int, optional=True),
    "optional_float": _converted(float, optional=True),
    "optional_human_int": _converted(human_readable_int, optional=True),
    "optional_json": _converted(json.loads, optional=True),
}


def _add(parser: argparse.ArgumentParser, flag: dict[str, Any]) -> None:
    names, kind = flag["flags"], flag["type"]
    if kind == "help":
        return
    common = {"default": flag["default"], **({"dest": flag["dest"]} if names[0].startswith("-") else {})}
    if kind == "bool":
        positive = [name for name in names if not name.startswith("--no-")]
        parser.add_argument(*positive, action=argparse.BooleanOptionalAction, **common)
    elif kind == "true":
        parser.add_argument(*names, action="store_true", **common)
    else:
        choices = flag["choices"] and flag["choices"] + [None] * kind.startswith("optional")
        action = "append" if kind == "append" else "store"
        nargs = {"nargs": flag["nargs"]} if flag["nargs"] else {}
        parser.add_argument(*names, action=action, type=_TYPES[kind], choices=choices, **nargs, **common)


def _parsers(flags: list[dict[str, Any]], version: str) -> argparse.ArgumentParser:
    vllm = argparse.ArgumentParser(prog="vllm", description="vLLM CLI")
    vllm.add_argument("-v", "--version", action="version", version=version)
    commands = vllm.add_subparsers(dest="subparser")
    serve = commands.add_parser("serve", usage="vllm serve [model_tag] [options]")
    for flag in flags:
        _add(serve, flag)
    for name in _OTHER_COMMANDS:
        commands.add_parser(name)
    return vllm


def _normalized(argv: Sequence[str], flags: dict[str, str]) -> list[str]:
    """What vLLM rewrites before argparse sees it: underscores, -O3, --help=all, dotted keys, --model."""
    words: list[str] = []
    nested: dict[str, dict[str, Any]] = {}
    rest = iter(argv)
    for word in rest:
        name, equals, value = word.partition("=")
        if not word.startswith("--"):
            words.append(f"--optimization-level={word[2:]}" if re.fullmatch(r"-O\d", word) else word)
            continue
        head, dot, key = name.partition(".")
        head = "--" + head[2:].replace("_", "-")
        if dot and flags.get(head, "").endswith(("json", "json_or_str")):
            _nest(nested.setdefault(head, {}), key.split("."), value if equals else next(rest, ""))
        elif head == "--help":
            words.append(head)
        else:
            words.append(head + dot + key + equals + value)
    words += [f"{head}={json.dumps(value)}" for head, value in nested.items()]
    return _model_first(words)


def _nest(into: dict[str, Any], keys: list[str], value: str) -> None:
    for key in keys[:-1]:
        into = into.setdefault(key, {})
    try:
        into[keys[-1]] = json.loads(value)
    except ValueError:
        into[keys[-1]] = value


def _model_first(words: list[str]) -> list[str]:
    at = next((n for n, word in enumerate(words) if re.match(r"--model(=|$)", word)), None)
    if words[:1] != ["serve"] or at is None:
        return words
    text = (
        "With `vllm serve`, you should provide the model as a positional argument or in a config file "
        "instead of via the `--model` option. The `--model` option will be removed in a future version."
    )
    journal.log(journal.API, "argparse_utils.py:195", text, "WARNING")
    inline = words[at].startswith("--model=")
    model = words[at].removeprefix("--model=") if inline else "".join(words[at + 1 : at + 2])
    return ["serve", model, *words[1:at], *words[at + (1 if inline else 2) :]]


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of `vllm serve`, `model` filled in; SystemExit as argparse does it (2, or 0 for help)."""
    data = json.loads(FLAGS_FILE.read_text())
    parser = _parsers(data["flags"], data["vllm_version"])
    kinds = {name: flag["type"] for flag in data["flags"] for name in flag["flags"]}
    args = parser.parse_args(_normalized(argv, kinds))
    if args.subparser is None:
        parser.print_help()
        parser.exit(0)
    if args.subparser != "serve":
        parser.exit(1, f"vllm {args.subparser}: the stand-in only knows `vllm serve`\n")
    defaults = {flag["dest"]: flag["default"] for flag in data["flags"]}
    args.non_default = {k: v for k, v in vars(args).items() if k in defaults and v != defaults[k]}
    args.non_default |= {key: "***" for key in _SECRETS if args.non_default.get(key)}
    args.model = args.model_tag or args.model or DEFAULT_MODEL
    args.version = data["vllm_version"]
    return args


def validate(args: argparse.Namespace) -> None:
    """What vLLM checks on parsed arguments before it reads a model; Refusal with its text."""
    if args.enable_auto_tool_choice and not args.tool_call_parser:
        raise journal.Refusal("TypeError", "Error: --enable-auto-tool-choice requires --tool-call-parser")
    if args.config:
        raise journal.Refusal("NotImplementedError", "the stand-in reads no --config file: pass the flags")
    template = args.chat_template
    if template and not set("{}\n") & set(template) and not Path(template).is_file():
        text = f"The supplied chat template string ({template}) appears path-like, but doesn't exist!"
        raise journal.Refusal("ValueError", text)
