"""What is asked of both servers, and what of an answer must be the same: status, headers, keys, types, error texts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.emulator.vllm_process import Answer

TEXT, TURNS = "/v1/completions", "/v1/chat/completions"
HI = {"messages": [{"role": "user", "content": "Hi"}]}
MANY = {"max_tokens": 6, "ignore_eos": True}
USAGE = {"stream": True, "stream_options": {"include_usage": True}}
USAGE_ALL_ALONG = {"stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}
NO_KEY = {"Authorization": "Bearer wrong"}
IN_WORDS = {"max_tokens": "5", "stream": "no", "temperature": "1"}
NULLS = {"max_tokens": None, "stream": None, "temperature": None}
WRONG = {"stream": "u", "max_tokens": "many", "min_tokens": "few", "top_p": "p", "n": "k"}
PARTS = [{"type": "text", "text": "Hi"}]
TOOL = {"tools": [{"type": "function", "function": {"name": "hammer", "parameters": {"type": "object"}}}]}


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
    "wrong method of a head": Request("HEAD", "/health"),
    "metrics": Request("GET", "/metrics"),
    "a slash too many": Request("GET", "/v1/models/?of=mine"),
    "a slash behind nothing": Request("GET", "/nothing/"),
    "one model": Request("GET", "/v1/models/tiny"),
    "another origin": Request("GET", "/v1/models", None, {"Origin": "http://elsewhere"}),
    "bearer in small letters": Request("GET", "/v1/models", None, {"Authorization": "bearer right-key"}),
    "another scheme": Request("GET", "/v1/models", None, {"Authorization": "Basic right-key"}),
    "no body": Request("POST", TEXT, ""),
    "null": Request("POST", TEXT, "null"),
    "a number": Request("POST", TEXT, "5"),
    "a number for the model": Request("POST", TEXT, {"model": 5, "prompt": "x"}),
    "numbers in words": Request("POST", TEXT, {"prompt": "x", "ignore_eos": True} | IN_WORDS),
    "wrong types": Request("POST", TEXT, {"prompt": "x", "temperature": "hot"} | WRONG),
    "wrong types of a chat": Request("POST", TURNS, HI | WRONG),
    "half a token": Request("POST", TEXT, {"prompt": "x", "max_tokens": 1.5}),
    "lists for numbers": Request("POST", TEXT, {"prompt": "x", "max_tokens": [], "top_p": {}, "stream": [1]}),
    "nulls": Request("POST", TEXT, {"prompt": "x", "ignore_eos": True} | NULLS),
    "null where there may be none": Request("POST", TEXT, {"prompt": "x", "n": None}),
    "wrong type before wrong model": Request("POST", TEXT, {"prompt": "x", "model": "nope", "max_tokens": "many"}),
    "wrong model before wrong range": Request("POST", TEXT, {"prompt": "x", "model": "nope", "max_tokens": -1}),
    "cold": Request("POST", TEXT, {"prompt": "x", "temperature": -1, "top_p": 0}),
    "hot": Request("POST", TURNS, HI | {"temperature": 2.5}),
    "no share": Request("POST", TEXT, {"prompt": "x", "top_p": 0}),
    "no answers": Request("POST", TEXT, {"prompt": "x", "n": 0, "temperature": -1}),
    "less than nothing": Request("POST", TEXT, {"prompt": "x", "min_tokens": -1}),
    "more than at most": Request("POST", TURNS, HI | {"min_tokens": 9, "max_completion_tokens": 3}),
    "long prompt before wrong range": Request("POST", TEXT, {"prompt": "x " * 300, "temperature": -1}),
    "token ids": Request("POST", TEXT, {"prompt": [5, 6]} | MANY),
    "lists of token ids": Request("POST", TEXT, {"prompt": [[5], [6, 7]]} | MANY),
    "no such token": Request("POST", TEXT, {"prompt": [5, 512]} | MANY),
    "a number for a prompt": Request("POST", TEXT, {"prompt": 5}),
    "empty prompt": Request("POST", TEXT, {"prompt": ""}),
    "no prompts": Request("POST", TEXT, {"prompt": []}),
    "an empty one of two prompts": Request("POST", TEXT, {"prompt": ["a", ""]}),
    "parts of a message": Request("POST", TURNS, {"messages": [{"role": "user", "content": PARTS}]} | MANY),
    "a tool": Request("POST", TURNS, HI | TOOL),
    "a tool that isn't wanted": Request("POST", TURNS, HI | MANY | TOOL | {"tool_choice": "none"}),
    "a tool that must be": Request("POST", TURNS, HI | TOOL | {"tool_choice": "required"}),
    "no tools": Request("POST", TURNS, HI | {"tools": [], "model": "nope"}),
    "no list of tools": Request("POST", TURNS, HI | {"tools": "hammer"}),
    "refused stream": Request("POST", TURNS, HI | {"stream": True, "max_tokens": 999}),
    "chat stream with usage all along": Request("POST", TURNS, HI | MANY | USAGE_ALL_ALONG),
    "completion stream with usage all along": Request("POST", TEXT, {"prompt": "a b"} | MANY | USAGE_ALL_ALONG),
    "tokenize nothing": Request("POST", "/tokenize", {}),
    "tokenize a chat": Request("POST", "/tokenize", HI),
    "detokenize nothing": Request("POST", "/detokenize", {}),
    "invocations of a prompt": Request("POST", "/invocations", {"prompt": "a"} | MANY),
    "empty invocations": Request("POST", "/invocations", {}),
}

SAID = ("object", "role", "finish_reason", "type", "code", "param", "message", "detail", "error", "version", "id")
VARIES = ("date", "content-length")
PORT = re.compile(r"(127\.0\.0\.1):\d+")


def comparable(answer: Answer) -> dict[str, Any]:
    """Status, headers and the shape of the body."""
    headers = {name: PORT.sub(r"\1", value) for name, value in answer.headers.items() if name not in VARIES}
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        return {"status": answer.status, "headers": headers, "events": _events(answer.text)}
    body: Any = type(answer.text).__name__
    if answer.headers.get("content-type") == "application/json" and answer.text:
        body = shape(answer.json)
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
