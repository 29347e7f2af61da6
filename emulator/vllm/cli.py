"""The command line of `vllm`: argparse over the flags of the real parser, so that its rules are argparse's.

Abbreviations, nargs='+' flags that swallow a following positional, the last of two winning,
exit code 2: nothing of that is written here.
"""

import argparse
import json
import os
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from emulator.vllm import journal

FLAGS_FILE = Path(__file__).resolve().parents[2] / "serving" / "data" / "vllm_flags.json"
DEFAULT_MODEL = "Qwen/Qwen3-0.6B"

_OTHER_COMMANDS = ("chat", "complete", "bench", "collect-env", "run-batch")
_SECRETS = ("api_key", "hf_token")
# Of these vLLM reads a choice in any case, and with dashes for underscores.
_LOOSE_CHOICES = ("moe_backend", "linear_backend", "sparse_indexer_topk_backend")
# The templates that come with vLLM, which go by their bare names.
_TEMPLATES = tuple(
    f"template_{name}.jinja"
    for name in ("basic", "blip2", "chatml", "deepseek_ocr", "deepseek_vl2", "kimi_audio", "minicpmv45")
)
_LORA_NEEDED, _LORA_POSSIBLE = {"name", "path"}, {"base_model_name", "is_3d_lora_weight"}
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
    return json.loads(value) if re.fullmatch(r"(?s)\s*{.*}\s*", value) else value


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


def _choice(value: str) -> str:
    return value.lower().replace("-", "_")


class _LoraModules(argparse.Action):
    """name=path, or JSON with the fields of one module; the real program's action of the same purpose."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any) -> None:
        setattr(namespace, self.dest, [self._module(parser, item) for item in values if item])

    def _module(self, parser: argparse.ArgumentParser, item: str) -> dict[str, Any]:
        if "=" in item and "," not in item:
            name, _, path = item.partition("=")
            return {"name": name, "path": path}
        try:
            module: dict[str, Any] = json.loads(item)
        except ValueError:
            parser.error(f"Invalid JSON format for --lora-modules: {item}")
        keys = set(module) if isinstance(module, dict) else set()
        if not _LORA_NEEDED <= keys <= _LORA_NEEDED | _LORA_POSSIBLE:
            parser.error(f"Invalid fields for --lora-modules: {item}")
        return module


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
        action: Any = _LoraModules if flag["dest"] == "lora_modules" else "append" if kind == "append" else "store"
        nargs = {"nargs": flag["nargs"]} if flag["nargs"] else {}
        type_ = _choice if flag["dest"] in _LOOSE_CHOICES else _TYPES[kind]
        parser.add_argument(*names, action=action, type=type_, choices=choices, **nargs, **common)


@cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(FLAGS_FILE.read_text())
    return data


@cache
def _parsers() -> argparse.ArgumentParser:
    vllm = argparse.ArgumentParser(prog="vllm", description="vLLM CLI")
    vllm.add_argument("-v", "--version", action="version", version=_data()["vllm_version"])
    commands = vllm.add_subparsers(dest="subparser")
    serve = commands.add_parser("serve", usage="vllm serve [model_tag] [options]")
    for flag in _data()["flags"]:
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
    if words[:1] != ["serve"]:
        return words
    at = next((n for n, word in enumerate(words) if re.match(r"--model(=.|$)", word)), None)
    if at is None:
        _refuse_name_before_model(words)
        return words
    text = (
        "With `vllm serve`, you should provide the model as a positional argument or in a config file "
        "instead of via the `--model` option. The `--model` option will be removed in a future version."
    )
    journal.log(journal.NOBODY, "argparse_utils.py:293", text, "WARNING")
    inline = words[at].startswith("--model=")
    model = words[at].removeprefix("--model=") if inline else "".join(words[at + 1 : at + 2])
    return ["serve", model, *words[1:at], *words[at + (1 if inline else 2) :]]


def _refuse_name_before_model(words: list[str]) -> None:
    """It would swallow the model, and so vLLM refuses this flag in front of it, if no other."""
    first = next(iter(words[1:]), "")
    flags = [word.partition("=")[0] for word in words]
    if first.startswith("-") and "--served-model-name" in flags and "--config" not in flags:
        text = (
            "`model` should be provided as the first positional argument when using `vllm serve`. i.e. "
            "`vllm serve <model> --<arg> <value>`."
        )
        raise _refusal("ValueError", text)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of `vllm serve`, `model` filled in.

    SystemExit as argparse does it (2, or 0 for help), Refusal for a model that isn't the first word.
    """
    data, parser = _data(), _parsers()
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
    """What vLLM checks on parsed arguments before its first line of log; Refusal with its text."""
    template = args.chat_template
    if template and not set("{}\n") & set(template) and not Path(template).exists() and template not in _TEMPLATES:
        text = f"The supplied chat template string ({template}) appears path-like, but doesn't exist!"
        raise _refusal("vllm.exceptions.VLLMValidationError", f"{text} (parameter=chat_template)")
    for kind, wrong, text in _RULES:
        if wrong(args):
            raise _refusal(kind, text)


def _refusal(kind: str, text: str) -> journal.Refusal:
    return journal.Refusal(kind, text, source=journal.NOBODY)


_RULES: tuple[tuple[str, Callable[[argparse.Namespace], bool], str], ...] = (
    (
        "ValueError",
        lambda args: args.grpc_port is not None and os.environ.get("VLLM_USE_RUST_FRONTEND") != "1",
        "--grpc-port requires VLLM_USE_RUST_FRONTEND=1 vllm serve",
    ),
    (
        "TypeError",
        lambda args: args.enable_auto_tool_choice and not args.tool_call_parser,
        "Error: --enable-auto-tool-choice requires --tool-call-parser",
    ),
    (
        "TypeError",
        lambda args: args.enable_log_outputs and not args.enable_log_requests,
        "Error: --enable-log-outputs requires --enable-log-requests",
    ),
    (
        "ValueError",
        lambda args: args.sse_keep_alive_interval < 0,
        "Error: --sse-keep-alive-interval must be a non-negative integer (0 disables keep-alive comments).",
    ),
    (
        "ValueError",
        lambda args: args.enable_per_request_metrics and args.disable_log_stats,
        "Error: --enable-per-request-metrics requires engine statistics logging; remove --disable-log-stats to "
        "enable per-request metrics.",
    ),
    (
        "ValueError",
        lambda args: args.data_parallel_multi_port_external_lb and args.data_parallel_size <= 1,
        "Error: --data-parallel-multi-port-external-lb requires --data-parallel-size > 1",
    ),
    (
        "ValueError",
        lambda args: args.data_parallel_multi_port_external_lb and (args.data_parallel_size_local or 1) <= 1,
        "Error: --data-parallel-multi-port-external-lb requires --data-parallel-size-local >= 2",
    ),
)
