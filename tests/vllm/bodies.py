"""What is asked of both servers, and what of an answer must be the same: status, headers, keys, types, error texts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.emulator.vllm_process import Answer

TEXT, TURNS = "/v1/completions", "/v1/chat/completions"
HI = {"messages": [{"role": "user", "content": "Hi"}]}
MANY = {"max_tokens": 6, "ignore_eos": True}
USAGE = {"stream": True, "stream_options": {"include_usage": True}}
NO_KEY = {"Authorization": "Bearer wrong"}


class Request(NamedTuple):
    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = {}


REQUESTS = {
    "health": Request("GET", "/health"),
    "ping": Request("POST", "/ping"),
    "version": Request("GET", "/version"),
    "load": Request("GET", "/load"),
    "models": Request("GET", "/v1/models"),
    "completion": Request("POST", TEXT, {"model": "tiny", "prompt": "a b"} | MANY),
    "two prompts": Request("POST", TEXT, {"prompt": ["a", "b"]} | MANY),
    "completion stream": Request("POST", TEXT, {"prompt": "a b", "stream": True} | MANY),
    "completion stream with usage": Request("POST", TEXT, {"prompt": "a b"} | MANY | USAGE),
    "chat": Request("POST", TURNS, HI | MANY),
    "chat stream": Request("POST", TURNS, HI | MANY | {"stream": True}),
    "chat stream with usage": Request("POST", TURNS, HI | MANY | USAGE),
    "invocations": Request("POST", "/invocations", HI | MANY, NO_KEY),
    "tokenize": Request("POST", "/tokenize", {"prompt": "hi"}),
    "detokenize": Request("POST", "/detokenize", {"tokens": [5, 6]}),
    "wrong key": Request("GET", "/v1/models", None, NO_KEY),
    "wrong model": Request("POST", TEXT, {"model": "nope", "prompt": "x"}),
    "wrong model of a chat": Request("POST", TURNS, HI | {"model": "nope"}),
    "no prompt": Request("POST", TEXT, {"max_tokens": 5}),
    "no messages": Request("POST", TURNS, {"model": "tiny"}),
    "messages that are none": Request("POST", TURNS, {"messages": "hi"}),
    "empty messages": Request("POST", TURNS, {"messages": []}),
    "too many tokens": Request("POST", TEXT, {"prompt": "x", "max_tokens": 257}),
    "no tokens": Request("POST", TEXT, {"prompt": "x", "max_tokens": -1}),
    "long prompt": Request("POST", TEXT, {"prompt": "x " * 300, "max_tokens": 5}),
    "more than there is room for": Request("POST", TURNS, HI | MANY | {"max_completion_tokens": 256}),
    "more than the model has": Request("POST", TURNS, HI | {"max_completion_tokens": 257}),
    "null tokens": Request("POST", TEXT, {"prompt": "x", "max_tokens": 0}),
    "a text for a number": Request("POST", TEXT, {"prompt": "x", "max_tokens": "many"}),
    "a list": Request("POST", TEXT, [1]),
    "options": Request("OPTIONS", "/v1/models"),
    "stream options without a stream": Request(
        "POST", TEXT, {"prompt": "x", "stream_options": {"include_usage": True}}
    ),
    "no JSON": Request("POST", TEXT, "{nonsense"),
    "not JSON's type": Request("POST", TEXT, '{"prompt":"x"}', {"Content-Type": "text/plain"}),
    "unknown path": Request("GET", "/nothing"),
    "unknown guarded path": Request("GET", "/v1/nothing"),
    "embeddings": Request("POST", "/v1/embeddings", {"input": "x"}),
    "wrong method": Request("GET", TEXT),
}

SAID = ("object", "role", "finish_reason", "type", "code", "param", "message", "detail", "error", "version", "id")
VARIES = ("date", "content-length")


def comparable(answer: Answer) -> dict[str, Any]:
    """Status, headers and the shape of the body."""
    headers = {name: value for name, value in answer.headers.items() if name not in VARIES}
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        return {"status": answer.status, "headers": headers, "events": _events(answer.text)}
    body = shape(answer.json) if answer.text else ""
    return {"status": answer.status, "headers": headers, "body": body}


def _events(text: str) -> list[Any]:
    """The shapes of the events, those that follow each other and are the same as one."""
    blocks = text.split("\n\n")
    assert blocks[-2:] == ["data: [DONE]", ""]
    found: list[Any] = []
    for block in blocks[:-2]:
        new = shape(json.loads(block.removeprefix("data: ")))
        if not found or found[-1] != new:
            found.append(new)
    return found


def shape(value: Any, key: str = "") -> Any:
    """Keys stay, values become their types; but words that a client looks at stay, and of an id its form."""
    if isinstance(value, dict):
        return {name: shape(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value[:1]]
    if key == "id" and isinstance(value, str):
        prefix, dash, rest = value.rpartition("-")
        return f"{prefix}{dash}{len(rest)}" if dash else value
    return value if key in SAID else type(value).__name__
