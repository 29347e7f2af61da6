"""`python -m scripts.demo_chat`: talk to each model of the selected stack, then show where they are.

Every replica gets a chat completion through a tunnel of its own; the first one also streams its answer.
Exit code 1 when one doesn't answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple

TIMEOUT = 60.0  # seconds for one answer
QUESTION = "In one sentence: what does a KV cache hold?"
STREAMED_QUESTION = "Count from one to ten."


class DemoError(Exception):
    """Cause and cure, for the user."""


class Endpoint(NamedTuple):
    """One replica, as the stack exports it."""

    name: str
    model: str
    session_id: str
    port: int
    via: str
    url: str
    api_key: str


@contextlib.asynccontextmanager
async def base_url(endpoint: Endpoint) -> AsyncIterator[str]:
    """A URL on this machine that leads to the replica as long as the block lasts."""
    from backendai import Api, connection_from, open_tunnel

    async with (
        Api(connection_from()) as api,
        open_tunnel(api, endpoint.session_id, str(endpoint.port)) as url,
    ):
        yield url


def stack_outputs() -> Mapping[str, Any]:
    """The outputs of the selected stack, secrets in clear.  Raises DemoError."""
    command = ["pulumi", "stack", "output", "--json", "--show-secrets", "--non-interactive"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DemoError(f"The stack's outputs can't be read: {done.stderr.strip()}")
    outputs: Mapping[str, Any] = json.loads(done.stdout)
    return outputs


def endpoints_of(outputs: Mapping[str, Any]) -> list[Endpoint]:
    """The replicas in the outputs; replica `chat-0` has the api key of model `chat`.  Raises DemoError."""
    keys = outputs.get("api_keys", {})
    entries = outputs.get("endpoints", [])
    if not entries:
        raise DemoError("The stack has no endpoints. Is there a model in its settings, and did `pulumi up` succeed?")
    fields = [field for field in Endpoint._fields if field != "api_key"]
    return [
        Endpoint(**{field: entry[field] for field in fields}, api_key=keys[entry["name"].rpartition("-")[0]])
        for entry in entries
    ]


def chat_body(endpoint: Endpoint, question: str, *, stream: bool) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}]
    return {"model": endpoint.model, "messages": messages, "max_tokens": 64, "stream": stream}


def text_of(line: str) -> str:
    """The piece of text in one line of a streamed answer; empty for lines without one."""
    if not line.startswith("data: ") or line == "data: [DONE]":
        return ""
    choices = json.loads(line.removeprefix("data: ")).get("choices", [])
    return "".join(choice.get("delta", {}).get("content") or "" for choice in choices)


async def chat(endpoint: Endpoint, *, stream: bool) -> None:
    """Print a chat completion, and a streamed one as its pieces arrive.  Raises DemoError."""
    import httpx

    from backendai import ClusterError

    headers = {"Authorization": f"Bearer {endpoint.api_key}"}
    try:
        async with (
            base_url(endpoint) as url,
            httpx.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT, trust_env=False) as client,
        ):
            print(f"\n{endpoint.name} ({endpoint.model})")
            print(f"  > {QUESTION}")
            answer = await client.post("/v1/chat/completions", json=chat_body(endpoint, QUESTION, stream=False))
            answer.raise_for_status()
            print(f"  < {answer.json()['choices'][0]['message']['content'].strip()}")
            if stream:
                await streamed(client, endpoint)
    except (httpx.HTTPError, ClusterError) as error:
        raise DemoError(f"{endpoint.name} doesn't answer: {error or type(error).__name__}") from error


async def streamed(client: Any, endpoint: Endpoint) -> None:
    """Print an answer piece by piece.  Raises DemoError when it came in one piece, or not at all."""
    print(f"  > {STREAMED_QUESTION} (streamed)\n  < ", end="", flush=True)
    pieces = 0
    body = chat_body(endpoint, STREAMED_QUESTION, stream=True)
    async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            if piece := text_of(line):
                pieces += 1
                print(piece, end="", flush=True)
    print(f"\n    ({pieces} pieces)")
    if pieces < 2:  # noqa: PLR2004
        raise DemoError(f"{endpoint.name} was asked to stream and sent {pieces} pieces.")


def table(endpoints: Sequence[Endpoint]) -> str:
    """The replicas, one a line; the columns are as wide as they must be."""
    rows = [
        ("ENDPOINT", "MODEL", "VIA", "SESSION"),
        *((e.name, e.model, e.via, e.session_id) for e in endpoints),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


async def talk() -> None:
    """Talk to all of them.  Raises DemoError."""
    endpoints = endpoints_of(stack_outputs())
    seen: set[str] = set()
    for endpoint in endpoints:
        await chat(endpoint, stream=not seen)
        seen.add(endpoint.name)
    print(f"\n{'-' * min(shutil.get_terminal_size().columns, 100)}\n{table(endpoints)}")


def main() -> int:
    try:
        asyncio.run(talk())
    except DemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
