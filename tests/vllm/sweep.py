"""Every flag of the table with every kind of value, right and wrong, and some pairs: what no unit test needs to say."""

from __future__ import annotations

from collections.abc import Iterator

from serving.arguments import parse_extra_args
from serving.flags import Flag, table

MODEL = "org/model"
_VALUES = (
    *("", "None", "x", "X-Y", "two words", "-x", "--x", "$(y)", "a=b", "a=b,c=d", "true", "many"),
    *("0", "1", "-1", "2.5", "1e3", "32k", "32K", "1.5K", "auto"),
    *("{}", "[1]", '{"a": 1}', '{"a": ', '{"name": "a", "path": "b"}', '{"name": "a", "path": "b", "c": 1}'),
)
# Flags that vLLM checks against each other once they are parsed.
_TOGETHER = (
    ("--enable-auto-tool-choice", "--tool-call-parser=hermes"),
    ("--enable-auto-tool-choice", "--tool-call-parser="),
    ("--enable-auto-tool-choice", "--tool-call-parser=hermes", "--no-enable-auto-tool-choice"),
    ("--enable-log-outputs", "--enable-log-requests"),
    ("--enable-log-outputs", "--no-enable-log-requests"),
    ("--enable-per-request-metrics", "--disable-log-stats"),
    ("--no-enable-per-request-metrics", "--disable-log-stats"),
    ("--data-parallel-multi-port-external-lb", "--data-parallel-size=2"),
    ("--lora-modules", "a=x", "b=y"),
    ("--lora-modules", "a=x", "y"),
    ("--chat-template=template_chatml.jinja",),
    ("--chat-template={{ messages }}",),
    ("--moe-backend=FlashInfer-TRTLLM",),
    ("--linear-backend=Deep-GEMM",),
)
# What serving/ never writes, and a person may: the model not in front, names cut short.
_BY_HAND = (
    (),
    ("--api-key", "k1", MODEL),
    ("--served-model-name", "n", MODEL),
    ("--served-model-name=n", MODEL),
    ("--enforce-eager", MODEL, "--served_model_name=n"),
    ("--model", MODEL, "--served-model-name=n"),
    ("--port=1", f"--model={MODEL}"),
    (MODEL, "another"),
    (MODEL, "-O3"),
    (MODEL, "--tensor-parallel", "2"),
    (MODEL, "--max_model_len", "5"),
    (MODEL, "--trust-remote-code", "true"),
    (MODEL, "--hf-overrides.rope_scaling.factor", "2"),
    (MODEL, "--help"),
    (MODEL, "--no-such-flag=1"),
)
BY_HAND = "not built here"


def sweep() -> Iterator[tuple[list[str], str]]:
    """The words after `vllm`, as they are built if serving/ takes them, and why it doesn't (empty: it does)."""
    for words in (*_alone(), *_TOGETHER):
        parsed = parse_extra_args(words, table().version)
        why = " / ".join(map(str, parsed.problems))
        yield ["serve", MODEL, *(words if why else parsed.words)], why
    for line in _BY_HAND:
        yield ["serve", *line], BY_HAND


def _alone() -> Iterator[tuple[str, ...]]:
    for flag in table().flags:
        if flag.kind == "help":
            continue
        for name in (flag.name, flag.off, *flag.aliases):
            if name:
                yield (name,)
        values = dict.fromkeys([*_choices(flag), *_VALUES])
        yield from ((f"{flag.name}={value}",) for value in values)
        yield from ((flag.name, value) for value in _choices(flag)[:1])


def _choices(flag: Flag) -> list[str]:
    return [str(choice) for choice in flag.choices or ()]
