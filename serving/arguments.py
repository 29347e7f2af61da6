"""`extra_args` read as vLLM's own parser would, and everything that it (or we) would refuse in them.

The rules are argparse's, plus those of vLLM's FlexibleArgumentParser: underscores are dashes, a flag may
be cut short as long as it is told apart, `--json-flag.key=value` sets one key, `-O3` is a level.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .errors import InvalidArgument
from .flags import Flag, GoneFlag, Presence, presence, table
from .values import converted, did_you_mean, expected, has_secret, shown, unprintable

KEY = "extra_args"

# Flags that something else decides: dest -> the setting that does.
SETTINGS = {
    "model": "model",
    "revision": "revision",
    "quantization": "quantization",
    "tensor_parallel_size": "tensor_parallel_size",
    "max_model_len": "max_model_len",
    "dtype": "dtype",
    "kv_cache_dtype": "kv_cache_dtype",
    "gpu_memory_utilization": "gpu_memory_utilization",
    "trust_remote_code": "trust_remote_code",
    "served_model_name": "served_model_name",
    "port": "port",
    "api_key": "api_key",
    "hf_token": "hf_token",
}
# Flags with which nothing could reach the model: dest -> why.
_REFUSED = {
    "host": "the server must listen on all interfaces of its session",
    "uds": "the endpoint is a port, not a socket file",
    "headless": "without its API server nothing answers",
    "grpc": "the endpoint speaks HTTP",
    "grpc_port": "the endpoint is one port, which speaks HTTP",
    "data_parallel_multi_port_external_lb": "every rank would have a port, and the endpoint is one",
    "config": "a file of settings would hide from the checks what vLLM is started with",
    "help": "vLLM would print its help and end",
    "ssl_keyfile": "the endpoint is plain HTTP inside the cluster's own tunnel",
    "ssl_certfile": "the endpoint is plain HTTP inside the cluster's own tunnel",
}
_HABITS = {
    "--tp": "--tensor-parallel-size",
    "--pp": "--pipeline-parallel-size",
    "--dp": "--data-parallel-size",
}
_AT_LEAST = {
    "pipeline_parallel_size": 1,
    "data_parallel_size": 1,
    "max_num_seqs": 1,
    "max_num_batched_tokens": 1,
    "sse_keep_alive_interval": 0,
}
# Of these vLLM reads a choice in any case, and with dashes for underscores.
_LOOSE_CHOICES = ("moe_backend", "linear_backend", "sparse_indexer_topk_backend")
_LORA_KEYS = ({"name", "path"}, {"base_model_name", "is_3d_lora_weight"})  # needed; possible
# switch -> what vLLM wants with it, and how to come by that
_NEEDS = {
    "enable_auto_tool_choice": ("tool_call_parser", "Add the parser of the model: hermes, …"),
    "enable_log_outputs": ("enable_log_requests", "Add it, or leave outputs out of the log."),
}
_NEAR = 0.88  # likeness from which on an unknown flag of another release is taken for a slip of the pen
_MOST_LISTED = 6  # flags that a shortened name could mean
_NEGATIVE_NUMBER = re.compile(r"-\d+$|-\d*\.\d+$")
_LEVEL = re.compile(r"-O\d")


@dataclass(frozen=True)
class Argument:
    """One flag with its values, its name spelled out.  `flag` is None where the table doesn't know it."""

    name: str
    values: tuple[str, ...] = ()
    flag: Flag | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """As it goes on the command line: one word, which can't swallow what follows, where one will do."""
        if len(self.values) == 1:
            return (f"{self.name}={self.values[0]}",)
        return (self.name, *self.values)

    @property
    def dest(self) -> str:
        return self.flag.dest if self.flag else self.name.lstrip("-").replace("-", "_")


@dataclass(frozen=True)
class ExtraArgs:
    """What a list of extra arguments means to vLLM, and what is wrong with it."""

    arguments: tuple[Argument, ...]
    problems: tuple[InvalidArgument, ...]

    @property
    def words(self) -> list[str]:
        return [word for argument in self.arguments for word in argument.words]

    def last(self, dest: str) -> Argument | None:
        """The one that counts: the last of its kind."""
        return next((a for a in reversed(self.arguments) if a.dest == dest), None)

    def is_set(self, dest: str) -> bool:
        """True when the switch ends up on, or the flag with a value."""
        argument = self.last(dest)
        if argument is None or argument.flag is None or argument.values in (("",), ("None",)):
            return False
        return argument.name != argument.flag.off


def parse_extra_args(words: Sequence[str], version: str | None) -> ExtraArgs:
    """Reads `words` for vLLM `version` (None: the release of the flag table).

    Never raises for the words: what is wrong with them is in `problems`.  Raises InvalidArgument for a
    bad version.
    """
    table().release(version)  # raises for a bad one
    unreadable = [_problem(f"{shown(word)} holds {why}.", "Write it on one line.") for word, why in _unprintable(words)]
    if unreadable:
        return ExtraArgs((), tuple(unreadable))
    arguments: list[Argument] = []
    problems: list[InvalidArgument] = []
    left = list(words)
    while left:
        try:
            arguments.append(_next(left, version))
        except InvalidArgument as problem:
            problems.append(problem)
    for argument in arguments:
        problems += _value_problems(argument, version)
    result = ExtraArgs(tuple(arguments), ())
    return ExtraArgs(tuple(arguments), (*problems, *_combination_problems(result)))


def _unprintable(words: Iterable[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        if why := unprintable(word):
            yield word, why


def _next(left: list[str], version: str | None) -> Argument:
    """Takes one flag and its values off the front.  Raises InvalidArgument, with the words gone too."""
    word = left.pop(0)
    if not _is_flag(word):
        raise _stray(word)
    if _LEVEL.fullmatch(word):
        return Argument(word)
    head, equals, value = word.partition("=")
    if " " in head:
        raise _joined(word)
    name, flag = _resolved(head, version, [] if equals else left)
    if flag is None or flag.nargs == "+":
        values = (value,) if equals else _following(left)
        if flag is not None and not values:
            raise _problem(f"{name} needs a value.", f"Write {name}=VALUE.")
    elif not flag.takes_value:
        if equals:
            off = f" or {flag.off}" if flag.off else ""
            raise _problem(f"{name} takes no value, but has {shown(value)}.", f"Write {flag.name}{off}.")
        values = ()
    elif equals:
        values = (value,)
    elif left and not _is_flag(left[0]):
        values = (left.pop(0),)
    elif flag.nargs == "?":
        values = ()
    else:
        raise _problem(f"{name} needs a value.", f"Write {name}=VALUE.")
    return Argument(name, values, flag)


def _is_flag(word: str) -> bool:
    """argparse's rule: a dash in front, and neither a negative number nor a text with a blank in it."""
    if not word.startswith("-") or word == "-" or _NEGATIVE_NUMBER.fullmatch(word):
        return False
    return " " not in word or word.startswith("--")


def _following(left: list[str]) -> tuple[str, ...]:
    values = []
    while left and not _is_flag(left[0]):
        values.append(left.pop(0))
    return tuple(values)


def _resolved(head: str, version: str | None, left: list[str]) -> tuple[str, Flag | None]:
    """The flag's full name and its row; drops the values of a flag that is refused."""
    if not head.startswith("--"):
        flag = table().by_name.get(head)
        if flag is None or presence(flag.name, version) is not Presence.KNOWN:
            _following(left)
            raise _problem(f"vllm serve has no flag {shown(head)}.", did_you_mean(head, _short_names()))
        return _allowed(flag.name, flag, left)
    stem, dot, key = head.partition(".")
    stem = "--" + stem[2:].replace("_", "-")
    try:
        name = _full_name(stem, version)
    except InvalidArgument:
        _following(left)
        raise
    flag = table().by_name.get(name)
    if flag and not name.startswith("--no-"):
        name = flag.name  # of two spellings, the one that all releases have
    if dot and flag is not None:
        if "json" not in flag.kind:
            raise _problem(f"{name} has no keys, but {shown(head)} sets one.", f"Write {name}=VALUE.")
        return f"{name}.{key}", Flag(name, (), None, flag.dest, None, "str", None, None)
    return _allowed(name + dot + key, flag, left)


def _full_name(stem: str, version: str | None) -> str:
    """The table's spelling of an exact or shortened name.  Raises InvalidArgument when there is none."""
    names = {*table().by_name, *table().gone}
    if stem in names:
        return _present(stem, version)
    there = sorted(n for n in names if n.startswith(stem) and presence(n, version) is Presence.KNOWN)
    if len(there) == 1 and stem != "--":
        return there[0]
    if there and stem != "--":
        listed = ", ".join(there[:_MOST_LISTED]) + (", …" if len(there) > _MOST_LISTED else "")
        raise _problem(f"{shown(stem)} could be several flags: {listed}.", "Write the one you mean in full.")
    return _unlisted(stem, version)


def _present(name: str, version: str | None) -> str:
    there = presence(name, version)
    release = version or table().version
    if there is Presence.GONE:
        gone = table().gone[name]
        what = f"vLLM {release} has no {name}: it was last in {gone.last} and is gone since {gone.gone_in}."
        raise _problem(what, _replacement(gone) + _assumed(version))
    if there is Presence.NOT_YET:
        since = table().by_name[name].since
        raise _problem(
            f"vLLM {release} has no {name} yet: it came with {since}.", "Use a newer image, or leave it out."
        )
    return name


def _unlisted(stem: str, version: str | None) -> str:
    """A flag on no list: refused for the table's own release, and elsewhere when it looks like a slip."""
    import difflib

    names = sorted(table().by_name)
    near = _HABITS.get(stem) or next(iter(difflib.get_close_matches(stem, names, n=1)), None)
    what = f"vllm serve has no flag {shown(stem)}."
    of_table = table().release(version) == table().minor
    if not of_table and stem not in _HABITS and not difflib.get_close_matches(stem, names, n=1, cutoff=_NEAR):
        return stem
    if near is None:
        raise _problem(what, "Remove it." + _assumed(version))
    setting = SETTINGS.get(table().by_name[near].dest)
    raise _problem(what, f"Set {setting} instead." if setting else f"Did you mean {near}?")


def _replacement(gone: GoneFlag) -> str:
    if gone.instead is None:
        return "Remove it."
    if gone.instead.startswith("nothing: "):
        return f"Remove it: {gone.instead.removeprefix('nothing: ')}."
    return f"Use {gone.instead} instead."


def _assumed(version: str | None) -> str:
    """Added to a cure when the release was a guess."""
    if version:
        return ""
    return f" (The release in the image isn't known, so {table().version} counts; vllm_version can say it.)"


def _allowed(name: str, flag: Flag | None, left: list[str]) -> tuple[str, Flag | None]:
    if flag is None or flag.dest not in SETTINGS | _REFUSED:
        return name, flag
    if flag.takes_value:
        _following(left)
    if setting := SETTINGS.get(flag.dest):
        raise _problem(f"{name} can't be given here: the setting {setting} makes it.", f"Remove it and set {setting}.")
    raise _problem(f"{name} can't be used: {_REFUSED[flag.dest]}.", "Remove it.")


def _short_names() -> list[str]:
    return [name for name in table().by_name if not name.startswith("--")]


def _stray(word: str) -> InvalidArgument:
    what = f"{shown(word)} belongs to no flag."
    if word.lower() in ("true", "false"):
        return _problem(what, "A switch takes no value: write --flag or --no-flag.")
    return _problem(what, f"Flags begin with --; several values go as words of their own: '--flag', {shown(word)}.")


def _joined(word: str) -> InvalidArgument:
    head, _, value = word.partition(" ")
    return _problem(f"{shown(word)} is a flag and its value in one.", f"Write {shown(f'{head}={value.strip()}')}.")


def _value_problems(argument: Argument, version: str | None) -> Iterator[InvalidArgument]:
    flag = argument.flag
    for text in argument.values:
        if has_secret(text):
            yield _problem(
                f"{argument.name} has a token or key in it, and arguments can be read by everybody.",
                "Give it as a secret: hf_token, api_key, or a variable in env.",
            )
        elif flag is not None:
            yield from _type_problems(argument.name, flag, text, version)


def _type_problems(name: str, flag: Flag, text: str, version: str | None) -> Iterator[InvalidArgument]:
    try:
        value = converted(flag.kind, text)
    except ValueError:
        yield _problem(f"{name} can't be {shown(text)}.", f"Write {expected(flag.kind)}.")
        return
    # Choices are those of the table's release; another one may have had others.
    choice = text.lower().replace("-", "_") if flag.dest in _LOOSE_CHOICES else value
    if flag.choices and value is not None and choice not in flag.choices and _of_table(version):
        yield _problem(
            f"{name} can't be {shown(text)}.",
            did_you_mean(text, map(str, flag.choices)) or "See vLLM's help.",
        )
    elif (least := _AT_LEAST.get(flag.dest)) is not None and value < least:
        yield _problem(f"{name} can't be {shown(text)}.", f"Write {least} or more.")
    elif flag.dest == "lora_modules" and value is not None and not _is_adapter(text, version):
        cure = """Write NAME=PATH or {"name": "NAME", "path": "PATH", "base_model_name": "MODEL"}."""
        yield _problem(f"{name} can't be {shown(text)}.", cure)


def _is_adapter(text: str, version: str | None) -> bool:
    """As vLLM's LoRAParserAction: name=path, which a comma makes JSON of."""
    if "=" in text and "," not in text:
        return True
    try:
        module = json.loads(text)
    except ValueError:
        return False
    needed, possible = _LORA_KEYS
    if not isinstance(module, dict) or not needed <= module.keys():
        return False
    return module.keys() <= needed | possible or not _of_table(version)


def _of_table(version: str | None) -> bool:
    return table().release(version) == table().minor


def _combination_problems(extra: ExtraArgs) -> Iterator[InvalidArgument]:
    for switch, (needed, cure) in _NEEDS.items():
        if extra.is_set(switch) and not extra.is_set(needed):
            yield _problem(f"{_spelled(switch)} needs {_spelled(needed)}.", cure)
    if extra.is_set("enable_per_request_metrics") and extra.is_set("disable_log_stats"):
        what = "--enable-per-request-metrics needs the statistics that --disable-log-stats switches off."
        yield _problem(what, "Remove one of them.")
    tokens, seqs = _number(extra, "max_num_batched_tokens"), _number(extra, "max_num_seqs")
    if tokens is not None and seqs is not None and 1 <= tokens < seqs:
        what = f"--max-num-batched-tokens ({tokens}) is less than --max-num-seqs ({seqs})."
        yield _problem(what, f"Raise the first to {seqs} or more, or lower the second.")


def _spelled(dest: str) -> str:
    return table().by_dest(dest).name


def _number(extra: ExtraArgs, dest: str) -> int | None:
    argument = extra.last(dest)
    try:
        return converted("human_int", argument.values[0]) if argument else None
    except ValueError:
        return None


def _problem(what: str, cure: str) -> InvalidArgument:
    return InvalidArgument(what, cure, key=KEY)
