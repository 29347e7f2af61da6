"""The invariant: what the Hub must tell is asked with the model's own token; no answer is never taken for a yes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from emulator import Emulator
from policies import lookups
from policies.table import RULES

from .samples import session

BY_NAME = {rule.name: rule for rule in RULES}
REMEMBERED = (lookups._facts, lookups._licence, lookups._judged)
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def hub(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("HF_ENDPOINT", emulator.hub_endpoint)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(lookups, "_hub", lookups._Hub())
    forget()
    yield
    forget()


def forget() -> None:
    for remembered in REMEMBERED:
        remembered.cache_clear()


def found(rule: str, limits: dict[str, Any], **props: Any) -> list[str]:
    messages, unknown = BY_NAME[rule].messages(session(**props), limits)
    assert unknown is None
    return [message for message, _ in messages]


def test_the_quantization_that_weights_carry() -> None:
    awq = {"model": "Qwen/Qwen2.5-7B-Instruct-AWQ", "revision": None}
    assert found("quantization", {"allow": ["awq"]}, **awq) == []
    (message,) = found("quantization", {"allow": ["none"]}, **awq)
    assert "Qwen/Qwen2.5-7B-Instruct-AWQ are awq" in message
    assert found("quantization", {"allow": ["none"]}, revision=None) == []


def test_a_hub_that_does_not_answer_is_no_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "_facts", lambda *_: (None, "the Hub can't be reached"))
    (message,) = found("quantization", {"allow": ["none"]})
    assert "isn't known (the Hub can't be reached)" in message
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    (message,) = found("licences", {"allow": ["mit"]})
    assert "isn't known (the Hub can't be reached)" in message
    (message,) = found("verdict", {"allow": ["START"]})
    assert "the verdict is MAYBE" in message and NOWHERE in message
    assert lookups._hub.patience < 1, "it is waited for once"


def test_licences(monkeypatch: pytest.MonkeyPatch) -> None:
    (message,) = found("licences", {"allow": ["mit"]}, revision=None)
    assert "its card names none" in message
    monkeypatch.setattr(lookups, "_licence", lambda *_: ("apache-2.0", ""))
    assert found("licences", {"allow": ["mit", "apache-*"]}) == []
    (message,) = found("licences", {"allow": ["mit"]})
    assert "is apache-2.0; allowed are mit" in message
    (message,) = found("licences", {"deny": ["apache-2.0"]})
    assert "denied are apache-2.0" in message


def test_the_commit_of_a_branch_is_known_once_the_program_has_asked() -> None:
    assert lookups.known_commit(session(revision=None)) is None
    facts, _ = lookups._facts("backendai-vllm/tiny-llama", "", None)
    assert facts is not None
    assert lookups.known_commit(session(revision=None)) == facts.sha


def test_the_verdict_is_refused_where_it_is_not_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    for outcome in ("START", "MAYBE", "WONT_START"):
        judged = lookups.Judgement(outcome, "because.", "Do this.")
        monkeypatch.setattr(lookups, "_judged", lambda _request, judged=judged: judged)
        in_dev = found("verdict", {"allow": ["START", "MAYBE"]})
        in_prod = found("verdict", {"allow": ["START"]})
        assert bool(in_dev) == (outcome == "WONT_START")
        assert bool(in_prod) == (outcome != "START")
    assert in_dev == ["chat: the verdict is WON'T START: because; allowed are START, MAYBE (allow). Cure: Do this."]


def test_a_model_that_can_not_start_is_refused_everywhere() -> None:
    (message,) = found("verdict", {}, model="openai-community/gpt2", revision=None, max_model_len=4096.0)
    assert "WON'T START" in message and "1024" in message


def test_what_nobody_can_judge_is_a_maybe() -> None:
    (message,) = found("verdict", {"allow": ["START"]}, model="/models/mine")
    assert "MAYBE" in message
    (message,) = found("verdict", {"allow": ["START"]}, gpu="no such card", revision=None)
    assert "MAYBE" in message
    (message,) = found("verdict", {"allow": ["START"]}, gpu=None, revision=None)
    assert "MAYBE" in message


class _Card(BaseHTTPRequestHandler):
    """A Hub that tells the tags of one model."""

    def do_GET(self) -> None:
        known = self.path.startswith("/api/models/acme/model/revision/main?") and "tags" in self.path
        body = json.dumps({"id": "acme/model", "tags": ["transformers", "license:apache-2.0"]}).encode()
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def test_the_licence_is_the_one_of_the_models_card(monkeypatch: pytest.MonkeyPatch) -> None:
    with HTTPServer(("127.0.0.1", 0), _Card) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        assert found("licences", {"allow": ["apache-2.0"]}, model="acme/model", revision="main") == []
        (message,) = found("licences", {"allow": ["mit"]}, model="acme/model", revision="main")
        assert "the licence of acme/model is apache-2.0" in message
        (message,) = found("licences", {"allow": ["mit"]}, model="acme/other", revision="main")
        assert "isn't known (the Hub answers 404)" in message
        server.shutdown()


def test_the_verdict_of_a_model_on_its_card() -> None:
    assert found("verdict", {"allow": ["START"]}, revision=None) == []
    large = {"model": "Qwen/Qwen2.5-72B-Instruct", "revision": None, "gpu": "T4", "max_model_len": 4096.0}
    (message,) = found("verdict", {"allow": ["START", "MAYBE"]}, **large)
    assert message.startswith("chat: the verdict is WON'T START: ")
    assert len(message.rpartition("Cure: ")[2]) > 10
