"""The stand-in answers as vLLM's OpenAI server: bodies, status codes, API key, SSE, metrics, faults.

Invariant: a client that works here works with the real server, and is refused where it would be.
"""

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from emulator import Emulator
from tests.emulator.vllm_process import Vllm

TINY = ("serve", "backendai-vllm/tiny-llama", "--served-model-name=tiny", "--max-model-len=256")
GPT2 = ("serve", "openai-community/gpt2", "--served-model-name=gpt2")
SERVERS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "open": ((*TINY[:2], "--served-model-name", "tiny", "second", "--max-model-len=256"), {}),
    "environment key": (TINY, {"VLLM_API_KEY": "env-key"}),
    "flag key": ((*TINY, "--api-key", "k1", "k2"), {"VLLM_API_KEY": "env-key"}),
    "empty key": (TINY, {"VLLM_API_KEY": ""}),
    "no template": (GPT2, {}),
    "given template": ((*GPT2, "--chat-template={{ messages }}"), {}),
    "other name": (TINY, {"VLLM_STANDIN_SERVES": "impostor"}),
    "slow": (TINY, {"VLLM_STANDIN_SLOW": "0.6"}),
    "loopback": ((*TINY, "--host=127.0.0.1"), {}),
    "unmapped port": ((*TINY, "--port=9000"), {}),
}

TEXT, TURNS, BAD = "/v1/completions", "/v1/chat/completions", "BadRequestError"
CHAT = {"messages": [{"role": "user", "content": "Hello there"}]}


@pytest.fixture(scope="module")
def servers(running_emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Vllm]]:
    folder = tmp_path_factory.mktemp("vllm")
    runs = {
        name: Vllm(folder, *argv, **({"HF_ENDPOINT": running_emulator.hub_endpoint} | environ))
        for name, (argv, environ) in SERVERS.items()
    }
    try:
        for run in runs.values():
            run.wait_for()
        yield runs
    finally:
        for run in runs.values():
            run.stop()


@pytest.fixture
def server(servers: dict[str, Vllm]) -> Vllm:
    return servers["open"]


# bodies


def test_models(server: Vllm) -> None:
    answer = server.call("GET", "/v1/models").json
    first = answer["data"][0]
    assert answer["object"] == "list" and [model["id"] for model in answer["data"]] == ["tiny", "second"]
    assert first["permission"][0]["object"] == "model_permission"
    kept = {key: first[key] for key in first if key not in ("created", "permission")}
    assert kept == {
        "id": "tiny",
        "object": "model",
        "owned_by": "vllm",
        "root": "backendai-vllm/tiny-llama",
        "parent": None,
        "max_model_len": 256,
    }


@pytest.mark.parametrize(
    ("method", "path", "text", "content_type"),
    [
        ("GET", "/health", "", None),
        ("GET", "/ping", "", None),
        ("POST", "/ping", "", None),
        ("GET", "/version", '{"version":"0.32.0"}', "application/json"),
        ("GET", "/load", '{"server_load":0}', "application/json"),
    ],
)
def test_small_routes(server: Vllm, method: str, path: str, text: str, content_type: str | None) -> None:
    answer = server.call(method, path)
    assert (answer.status, answer.text, answer.headers.get("content-type")) == (200, text, content_type)
    assert answer.headers["content-length"] == str(len(text))


def test_completion(server: Vllm) -> None:
    answer = server.call("POST", TEXT, {"model": "tiny", "prompt": "a b c d", "max_tokens": 2}).json
    assert answer["object"] == "text_completion" and answer["id"].startswith("cmpl-") and answer["model"] == "tiny"
    choice = answer["choices"][0]
    assert (choice["index"], choice["text"], choice["finish_reason"]) == (0, " a b", "length")
    assert answer["usage"]["prompt_tokens"] == 4 and answer["usage"]["completion_tokens"] == 2
    assert answer["usage"]["total_tokens"] == 6


def test_completion_is_deterministic_and_may_end_early(server: Vllm) -> None:
    texts = {
        server.call("POST", TEXT, {"prompt": "same", "max_tokens": 9}).json["choices"][0]["text"] for _ in range(3)
    }
    assert texts == {" same"}
    body = {"prompt": "same", "max_tokens": 40, "ignore_eos": True}
    assert server.call("POST", TEXT, body).json["usage"]["completion_tokens"] == 40


@pytest.mark.parametrize(("prompt", "choices"), [(["one", "two"], 2), ([5, 6, 7], 1), ([[5], [6], [7]], 3)])
def test_completion_of_many_prompts(server: Vllm, prompt: Any, choices: int) -> None:
    answer = server.call("POST", TEXT, {"prompt": prompt}).json
    assert [choice["index"] for choice in answer["choices"]] == list(range(choices))


@pytest.mark.parametrize("path", [TURNS, "/invocations"])
def test_chat(server: Vllm, path: str) -> None:
    answer = server.call("POST", path, CHAT | {"model": "second"}).json
    assert answer["object"] == "chat.completion" and answer["id"].startswith("chatcmpl-")
    choice = answer["choices"][0]
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"] == "You said: Hello there"
    assert choice["finish_reason"] == "stop"
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"]


def test_tokens_go_there_and_back(server: Vllm) -> None:
    given = server.call("POST", "/tokenize", {"prompt": "Hello there"}).json
    assert given["count"] == len(given["tokens"]) == 2 and given["max_model_len"] == 256
    assert server.call("POST", "/detokenize", {"tokens": given["tokens"]}).json == {"prompt": "Hello there"}
    assert server.call("POST", "/tokenize", CHAT).json["count"] > 2


# refusals


TOO_LONG = "This model's maximum context length is 256 tokens. However, your prompt contains at least 257 input tokens"
NO_MODEL = "The model `nope` does not exist. Valid aliases: tiny, second."
USAGE = {"stream_options": {"include_usage": True}}


@pytest.mark.parametrize(
    ("path", "body", "status", "type_", "said"),
    [
        (TEXT, {"model": "nope", "prompt": "x"}, 404, "NotFoundError", NO_MODEL),
        ("/tokenize", {"model": "nope", "prompt": "x"}, 404, "NotFoundError", NO_MODEL),
        (TEXT, {"prompt": "x", "max_tokens": 257}, 400, BAD, "max_tokens=257 cannot be greater than"),
        (TURNS, CHAT | {"max_completion_tokens": 257}, 400, BAD, "max_completion_tokens=257 cannot be greater than"),
        (TEXT, {"prompt": "x " * 300}, 400, BAD, TOO_LONG),
        (TEXT, {"prompt": "x", "max_tokens": 0}, 400, BAD, "max_tokens must be at least 1, got 0."),
        (TEXT, {"max_tokens": 5}, 400, BAD, "Either prompt or prompt_embeds must be provided"),
        (TEXT, {"prompt": "x"} | USAGE, 400, BAD, "when `stream=True`"),
        (TURNS, {"model": "tiny"}, 400, "Bad Request", "'loc': 'body.messages'"),
        (TURNS, {"messages": "hi"}, 400, "Bad Request", "valid list"),
        (TEXT, "{nonsense", 400, "Bad Request", "json_invalid"),
    ],
)
def test_refused_requests(*, server: Vllm, path: str, body: Any, status: int, type_: str, said: str) -> None:
    answer = server.call("POST", path, body)
    error = answer.json["error"]
    assert (answer.status, error["type"], error["code"]) == (status, type_, status)
    assert said in error["message"]
    assert set(error) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/nothing", 404, {"detail": "Not Found"}),
        ("POST", "/v1/embeddings", 404, {"detail": "Not Found"}),
        ("GET", TEXT, 405, {"detail": "Method Not Allowed"}),
        ("POST", "/v1/models", 405, {"detail": "Method Not Allowed"}),
    ],
)
def test_unknown_routes(server: Vllm, method: str, path: str, status: int, body: Any) -> None:
    answer = server.call(method, path)
    assert (answer.status, answer.json) == (status, body)


def test_only_json_is_taken(server: Vllm) -> None:
    answer = server.call("POST", TEXT, '{"prompt":"x"}', **{"Content-Type": "text/plain"})
    assert answer.status == 400 and "Unsupported Media Type" in answer.json["error"]["message"]


def test_chat_needs_a_template(servers: dict[str, Vllm]) -> None:
    refused = servers["no template"].call("POST", TURNS, CHAT)
    assert refused.status == 400
    assert refused.json["error"]["message"].startswith("As of transformers v4.44, default chat template is no longer")
    assert servers["no template"].call("POST", TEXT, {"prompt": "x"}).status == 200
    assert servers["no template"].call("GET", "/health").status == 200
    assert servers["given template"].call("POST", TURNS, CHAT).status == 200


# API key

GUARDED: list[tuple[str, str, Any, int]] = [
    ("GET", "/v1/models", None, 200),
    ("POST", TEXT, {"prompt": "x"}, 200),
    ("POST", TURNS, CHAT, 200),
    ("GET", "/v1/nothing", None, 404),
]
OPEN: list[tuple[str, str, Any, int]] = [
    ("GET", "/health", None, 200),
    ("GET", "/ping", None, 200),
    ("GET", "/version", None, 200),
    ("GET", "/load", None, 200),
    ("GET", "/metrics", None, 200),
    ("POST", "/tokenize", {"prompt": "x"}, 200),
    ("POST", "/detokenize", {"tokens": [1]}, 200),
    ("POST", "/invocations", {"prompt": "x"}, 200),
    ("OPTIONS", "/v1/models", None, 405),
]


@pytest.mark.parametrize(
    ("name", "authorization", "opens"),
    [
        ("open", None, True),
        ("empty key", None, True),
        ("environment key", None, False),
        ("environment key", "Bearer wrong", False),
        ("environment key", "Basic env-key", False),
        ("environment key", "Bearer env-key", True),
        ("environment key", "bEARER env-key", True),
        ("flag key", "Bearer env-key", False),
        ("flag key", "Bearer k1", True),
        ("flag key", "Bearer k2", True),
    ],
)
def test_the_key_opens_what_it_guards(
    servers: dict[str, Vllm], name: str, authorization: str | None, opens: bool
) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    for method, path, body, status in GUARDED:
        answer = servers[name].call(method, path, body, **headers)
        assert answer.status == (status if opens else 401), path
        if not opens:
            assert answer.text == '{"error":"Unauthorized"}'
            assert "www-authenticate" not in answer.headers
    for method, path, body, status in OPEN:
        assert servers[name].call(method, path, body, **headers).status == status, path


# streams


def events(server: Vllm, path: str, body: dict[str, Any]) -> list[Any]:
    answer = server.call("POST", path, body | {"stream": True})
    assert answer.status == 200 and answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    blocks = answer.text.split("\n\n")
    assert blocks[-2:] == ["data: [DONE]", ""]
    assert all(block.startswith("data: ") for block in blocks[:-1])
    return [json.loads(block.removeprefix("data: ")) for block in blocks[:-2]]


def test_chat_stream(server: Vllm) -> None:
    first, *rest = events(server, TURNS, CHAT)
    assert first["object"] == "chat.completion.chunk"
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in rest) == "You said: Hello there"
    assert [chunk["choices"][0]["finish_reason"] for chunk in rest] == [None] * (len(rest) - 1) + ["stop"]
    assert len({chunk["id"] for chunk in [first, *rest]}) == 1


@pytest.mark.parametrize(("path", "body"), [(TURNS, CHAT), (TEXT, {"prompt": "a b"})])
def test_stream_with_usage_ends_in_a_chunk_without_choices(server: Vllm, path: str, body: dict[str, Any]) -> None:
    *chunks, last = events(server, path, body | {"stream_options": {"include_usage": True}})
    whole = server.call("POST", path, body).json
    told = {name: number for name, number in whole["usage"].items() if number is not None}
    assert last["choices"] == [] and last["usage"] == told
    assert all(chunk["choices"] for chunk in chunks)


def test_completion_stream(server: Vllm) -> None:
    chunks = events(server, TEXT, {"prompt": "a b c", "max_tokens": 2})
    assert [chunk["choices"][0]["text"] for chunk in chunks] == [" a", " b"]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, "length"]


# metrics


def metric(server: Vllm, name: str) -> float:
    found = re.search(rf"^vllm:{name}{{.*}} (\S+)$", server.call("GET", "/metrics").text, re.MULTILINE)
    assert found, name
    return float(found[1])


def test_metrics_count_tokens(server: Vllm) -> None:
    before = metric(server, "generation_tokens_total")
    server.call("POST", TEXT, {"prompt": "a b c d", "max_tokens": 3})
    assert metric(server, "generation_tokens_total") == before + 3
    text = server.call("GET", "/metrics").text
    assert re.search(r'vllm:cache_config_info{.*block_size="16".*kv_cache_size_tokens="\d+".*} 1\.0', text)
    assert 'vllm:request_success_total{engine="0",model_name="tiny",finished_reason="length"}' in text
    assert "# TYPE vllm:time_to_first_token_seconds histogram" in text


def test_a_slow_server_shows_its_running_requests(servers: dict[str, Vllm]) -> None:
    slow = servers["slow"]
    with ThreadPoolExecutor() as pool:
        began = time.monotonic()
        calls = [pool.submit(slow.call, "POST", TEXT, {"prompt": "x"}) for _ in range(3)]
        time.sleep(0.25)
        running, used = metric(slow, "num_requests_running"), metric(slow, "kv_cache_usage_perc")
        assert all(call.result().status == 200 for call in calls)
    assert running == 3 and used > 0
    assert 0.6 <= time.monotonic() - began < 2
    assert metric(slow, "num_requests_running") == 0


# what goes wrong


def test_another_name_than_asked_for(servers: dict[str, Vllm]) -> None:
    other = servers["other name"]
    assert [model["id"] for model in other.call("GET", "/v1/models").json["data"]] == ["impostor"]
    assert other.call("POST", TEXT, {"model": "tiny", "prompt": "x"}).status == 404
    assert other.call("GET", "/health").status == 200


@pytest.mark.parametrize("name", ["loopback", "unmapped port"])
def test_a_server_nobody_outside_can_reach(servers: dict[str, Vllm], name: str) -> None:
    assert servers[name].process.poll() is None
    with pytest.raises(ConnectionRefusedError):
        servers[name].call("GET", "/health")


def test_a_broken_engine_is_healthy_until_its_first_completion(running_emulator: Emulator, tmp_path: Path) -> None:
    endpoint = running_emulator.hub_endpoint
    run = Vllm(tmp_path, *TINY, HF_ENDPOINT=endpoint, VLLM_STANDIN_BROKEN_ENGINE="1").wait_for()
    assert run.call("GET", "/health").status == run.call("GET", "/v1/models").status == 200
    answer = run.call("POST", TEXT, {"prompt": "x"})
    assert answer.status == 500
    assert answer.json["error"]["type"] == "InternalServerError"
    assert answer.json["error"]["message"].startswith("EngineCore encountered an issue")
    assert run.call("GET", "/health").status == 503
    assert run.ended() == 0
