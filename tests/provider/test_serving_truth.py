"""The invariant: a session that serves something else than was declared is replaced; one that can't say isn't."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulator import Emulator
from providers.model_endpoint import ModelEndpointProvider

from .driver import ProviderProcess
from .test_session_provider import INPUTS, until

NAME = INPUTS["served_model_name"]
LOADING = {"env": {"VLLM_STANDIN_LOAD_SECONDS": "3600"}}


@pytest.fixture(scope="module")
def endpoints(cluster_env: dict[str, str], stderr: Path) -> Iterator[ProviderProcess]:
    with ProviderProcess(ModelEndpointProvider(), cluster_env, stderr_path=stderr.with_name("endpoints")) as other:
        yield other


def serving(process: ProviderProcess, emulator: Emulator, **change: Any) -> tuple[str, dict[str, Any]]:
    """A session that runs, and its server answers unless it is to load for ever."""
    id_, outs = process.create({**INPUTS, **change})
    session = emulator.cluster.sessions[id_]
    until(lambda: session.status == "RUNNING")
    if change.get("env") != LOADING["env"]:
        until(lambda: b"Application startup complete" in session.log)
    return id_, outs


# What is declared, what is served instead, and what is said of it.
DRIFT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    f"serves 'other', not '{NAME}'": ({}, {"names": ["other"]}),
    f"serves 'a', 'b', not '{NAME}'": ({}, {"names": ["a", "b"], "max_model_len": 256}),
    f"serves '[secret]', not '{NAME}'": ({}, {"names": [INPUTS["api_key"]]}),
    "max_model_len is 256, not 512": ({}, {"max_model_len": 256}),
    "max_model_len is 1024, not 1000": ({"max_model_len": "1k"}, {"max_model_len": 1024}),
}


@pytest.mark.parametrize("words", DRIFT)
def test_what_serves_something_else_is_replaced(
    words: str, process: ProviderProcess, emulator: Emulator, stderr: Path
) -> None:
    declared, served = DRIFT[words]
    inputs = {**INPUTS, **declared}
    id_, outs = serving(process, emulator, **declared)
    assert process.read(id_, outs) == (id_, outs, None)

    said_before = len(stderr.read_text())
    emulator.serve(id_, **served)
    _, after, _ = process.read(id_, outs)
    assert after == {**outs, "broken": words}
    assert process.diff(after, inputs, id_) == ("some", ["broken"])
    said = stderr.read_text()[said_before:]
    assert said == f"[chat-1] drift: {words}. `pulumi up` replaces the session.\n"

    emulator.serve(id_, names=[NAME], max_model_len=1000 if declared else 512)
    assert process.read(id_, after) == (id_, outs, None)
    assert process.diff(outs, inputs, id_) == ("none", [])


# How the session is made, what it serves, what is different in the state, what the way to it does.
NO_DRIFT: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "one name more": ({}, {"names": ["other", NAME]}, {}, {}),
    "any length was declared": ({"max_model_len": "auto"}, {"max_model_len": 256}, {}, {}),
    "any length was declared, as a number": ({"max_model_len": -1}, {"max_model_len": 256}, {}, {}),
    "no length is in the state": ({}, {"max_model_len": 256}, {"max_model_len": None}, {}),
    "it loads": (LOADING, {}, {}, {}),
    "another key": ({}, {"names": ["other"]}, {"api_key": "sk-another-key-0123"}, {}),
    "another port": ({}, {"names": ["other"]}, {"port": 9999}, {}),
    "no tunnel": ({}, {"names": ["other"]}, {}, {"action": "status", "status": 503, "times": -1}),
    "no session behind the tunnel": ({}, {"names": ["other"]}, {}, {"action": "status", "status": 404, "times": -1}),
    "a tunnel that says nothing": ({}, {"names": ["other"]}, {}, {"action": "timeout", "delay": 30, "times": -1}),
}


@pytest.mark.parametrize("case", NO_DRIFT)
def test_what_cannot_be_asked_is_left_alone(
    case: str, process: ProviderProcess, emulator: Emulator, stderr: Path
) -> None:
    declared, served, state, way = NO_DRIFT[case]
    id_, outs = serving(process, emulator, **declared)
    outs = {key: value for key, value in (outs | state).items() if value is not None}
    if served:
        emulator.serve(id_, **served)
    asked = len(emulator.cluster.requests)
    if way:
        emulator.faults.add(method="GET", path="/tcpproxy$", **way)
    said, started = stderr.read_text(), time.monotonic()
    assert process.read(id_, outs) == (id_, outs, None)
    assert time.monotonic() - started < 8
    assert {path.rpartition("/")[2] for _, path, _ in emulator.cluster.requests[asked:]} == {id_, "tcpproxy"}
    assert stderr.read_text() == said


def test_an_endpoint_follows_its_server_and_is_gone_when_the_name_is(
    process: ProviderProcess, endpoints: ProviderProcess, emulator: Emulator, stderr: Path
) -> None:
    id_, _ = serving(process, emulator)
    inputs = {"session_id": id_, "session_name": "chat-1", "served_model_name": NAME, "api_key": INPUTS["api_key"]}
    name, outs = endpoints.create(inputs)
    assert (outs["models"], outs["max_model_len"]) == ([NAME], 512)
    assert endpoints.read(name, outs) == (name, outs, None)

    emulator.serve(id_, names=[NAME, "more"], max_model_len=256)
    assert endpoints.read(name, outs) == (name, {**outs, "models": [NAME, "more"], "max_model_len": 256}, None)

    emulator.serve(id_, names=["other"])
    asked = len(emulator.cluster.requests)
    assert endpoints.read(name, outs)[0] == ""
    assert len(emulator.cluster.requests) - asked == 2, "a definite answer isn't asked for again"
    said = stderr.with_name("endpoints").read_text()
    assert f"[chat-1] the endpoint is gone: it serves other and not {NAME}: " in said
