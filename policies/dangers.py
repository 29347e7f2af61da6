"""The flags and variables of vLLM that open it, or that go around what was checked: name -> why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_CODE = "imports code that nobody has checked"
FLAGS = {
    **dict.fromkeys(("middleware", "logits_processors", "tool_parser_plugin", "reasoning_parser_plugin"), _CODE),
    **dict.fromkeys(("worker_cls", "worker_extension_cls", "scheduler_cls"), _CODE),
    "hf_overrides": "changes the model's own configuration behind the checks",
    "load_format": "reads pickles, which run code",
    "allowed_local_media_path": "lets a request read files of the session",
    "config": "takes settings from a file that nothing checks",
    "enable_lora": "lets requests be answered by other weights",
    "kv_cache_memory_bytes": "goes around gpu_memory_utilization",
    "root_path": "moves the routes that the api key guards",
    "api_key": "can be read by everybody, and replaces the session's own key",
    "hf_token": "can be read by everybody",
}
# Of these flags only some values are dangerous.
VALUES = {"load_format": frozenset({"pt", "npcache"})}


class Variable(NamedTuple):
    """`is_switch`: it does nothing when it is 0, false or empty."""

    why: str
    is_switch: bool = True


VARIABLES = {
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": Variable("lets requests load other weights"),
    "VLLM_ALLOW_LONG_MAX_MODEL_LEN": Variable("lets a model run beyond its length, where it may crash"),
    "VLLM_ALLOW_INSECURE_SERIALIZATION": Variable("unpickles what it is sent"),
    "VLLM_SERVER_DEV_MODE": Variable("opens routes that reset and reconfigure the server"),
    "VLLM_PORT": Variable("is vLLM's own, and breaks its start", False),
    "VLLM_PLUGINS": Variable(_CODE, False),
    "LD_PRELOAD": Variable(_CODE, False),
    "PYTHONPATH": Variable(_CODE, False),
    "PYTHONSTARTUP": Variable(_CODE, False),
    "HF_ENDPOINT": Variable("has the Hub token sent to another server", False),
}


def stems(words: Sequence[str]) -> dict[str, frozenset[str]]:
    """The destinations of all flags with their values, also of those that vLLM or we would refuse.

    As vLLM's parser reads them where it can; word by word for the rest.
    """
    from serving import InvalidArgument
    from serving.arguments import parse_extra_args

    found: dict[str, frozenset[str]] = {}
    for index, word in enumerate(words):
        if word.startswith("--") and len(word) > len("--"):
            head, equals, value = word[2:].partition("=")
            after = words[index + 1] if index + 1 < len(words) else ""
            dest = head.partition(".")[0].strip().replace("-", "_")
            values = frozenset({value if equals else after})
            found[dest] = found.get(dest, frozenset()) | values
    try:
        parsed = parse_extra_args(words, None)
    except InvalidArgument:
        return found
    for argument in parsed.arguments:
        if argument.flag is not None and argument.name == argument.flag.off:
            continue
        dest = argument.dest.partition(".")[0]
        found[dest] = found.get(dest, frozenset()) | frozenset(argument.values)
    return found
