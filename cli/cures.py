"""From causes to the command that cures them: one table for all verbs.

A cause is a code: that of an error of `backendai` or `serving`, that of a row of `serving.causes` (what a log says), or
one of SESSION below (what the cluster says of a session).  What is wrong, and why, is said where the code comes from;
the command that mends it is said here.

The five cases of the old troubleshooting guide are the first five rows.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from .pulumi_cli import PROJECT


class Row(NamedTuple):
    """`command`: a sentence with the command in backticks; {name} and {model} are the model's names."""

    case: str
    codes: frozenset[str]
    command: str


TABLE: tuple[Row, ...] = (
    Row(
        "authentication",
        frozenset({"authentication-failed", "invalid-connection", "permission-denied", "clock-skew"}),
        "`export BACKEND_ACCESS_KEY=... BACKEND_SECRET_KEY=...` sets a key pair, `bai-vllm doctor` checks it.",
    ),
    Row(
        "not enough GPUs",
        frozenset({"no-room", "too-few-gpus", "no-gpu", "gpu-in-use"}),
        "`bai-vllm list` shows what holds GPUs, `bai-vllm kill NAME` and `bai-vllm orphans --delete` free them.",
    ),
    Row(
        "out of memory",
        frozenset({"gpu-out-of-memory", "no-kv-cache", "kv-cache-too-small", "killed", "max-model-len"}),
        "`bai-vllm plan {model} --matrix` shows what starts it on which card; then change the stack file, `pulumi up`.",
    ),
    Row(
        "repository not found or private",
        frozenset(
            {"missing-repo", "gated", "invalid-token", "hub-rate-limit"}
            | {"model-not-found", "gated-model", "model-disabled", "invalid-hub-token"}
        ),
        f"`bai-vllm plan {{model}}` checks the name, `pulumi config set --secret {PROJECT}:hf_token` sets a token; "
        "then `pulumi up`.",
    ),
    Row(
        "session won't start",
        frozenset({"failed-to-create", "image-pull", "broken", "stuck", "session-stuck", "unknown", "no-vllm"}),
        "`bai-vllm logs {name}` shows what it said, `bai-vllm doctor` checks image and quota, "
        "`pulumi up` starts it again.",
    ),
    Row(
        "the model's settings",
        frozenset(
            {"serving", "model", "invalid-argument", "invalid-arguments", "unknown-gpu", "not-servable"}
            | {"tensor-parallel-size", "missing-revision", "revision-not-found", "missing-file", "custom-code"}
            | {"quantization-mismatch", "not-quantized", "unknown-quantization", "deprecated-quantization"}
            | {"unsupported-capability", "quantization-dtype", "no-bfloat16", "desc-act", "unsupported-architecture"}
            | {"tensor-parallel-heads", "tensor-parallel-vocab", "tensor-parallel-groups", "batch-sizes", "bad-value"}
            | {"bad-flag", "tool-parser", "port-in-use", "no-chat-template"}
        ),
        "`bai-vllm plan {model}` judges it; then change the stack file, `pulumi up`.",
    ),
    Row(
        "the session's surroundings",
        frozenset({"disk-full", "shared-memory", "old-driver"}),
        "Change the stack file, then `pulumi up`.",
    ),
    Row("the Hub", frozenset({"hub-unreachable"}), "`bai-vllm doctor` checks the way to the Hub from here."),
    Row(
        "it has ended",
        frozenset({"engine-died", "stopped", "ended", "gone"}),
        "`bai-vllm logs {name}` shows what it said, `pulumi up` starts it again.",
    ),
    Row(
        "it doesn't answer",
        frozenset({"silent"}),
        "`bai-vllm logs {name}` shows what it does; `bai-vllm kill {name}`, then `pulumi up`, starts it again.",
    ),
    Row(
        "the cluster",
        frozenset({"cluster", "not-found", "session-not-found", "invalid-request", "name-taken", "rate-limited"})
        | frozenset({"unreachable", "server-fault", "wrong-cluster", "app-proxy"}),
        "`bai-vllm doctor` checks endpoint, image and quota.",
    ),
)
_COMMANDS = {code: row.command for row in TABLE for code in row.codes}

# What the cluster says of a session (GraphQL status_info of its kernel or itself) -> code, what that means.
SESSION: tuple[tuple[str, str, str], ...] = (
    (r"failed-to-create", "failed-to-create", "Its container couldn't be created"),
    (r"[Ii]mage pull failed|pull", "image-pull", "Its image couldn't be pulled"),
    (r"user-requested|force-terminated", "stopped", "Somebody has ended it"),
)


def command_for(code: str, *, name: str = "NAME", model: str = "MODEL") -> str:
    """The sentence with the command that cures this cause; "" for one that has none."""
    return _COMMANDS.get(code, "").replace("{name}", name or "NAME").replace("{model}", model or "MODEL")


def cure_of(cure: str, code: str, *, name: str = "NAME", model: str = "MODEL") -> str:
    """What is said where the cause is known, and the command."""
    return f"{cure} {command_for(code, name=name, model=model)}".strip()


def cure_of_error(error: Any, *, name: str = "NAME", model: str = "MODEL") -> str:
    """The same for an error of `backendai` or `serving`, whose own code may be the cluster's."""
    return cure_of(error.cure, type(error).code, name=name, model=model)


def session_cause(words: str) -> tuple[str, str]:
    """Code and meaning of the cluster's own words on why a session has ended; empty when they say nothing."""
    found = next(((code, what) for pattern, code, what in SESSION if re.search(pattern, words)), None)
    return (found[0], f"{found[1]} ({words}).") if found else ("", "")


def session_code(words: str) -> str:
    """The code alone."""
    return session_cause(words)[0]
