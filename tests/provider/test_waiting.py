"""The invariant: waiting ends with a completion, or with the cause; what passes by itself doesn't end it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from backendai import Api, Connection, sessions
from emulator import Emulator
from providers.session_inputs import parse
from providers.session_spec import session_spec
from providers.waiting import EndpointError, Target, wait_until_ready

from ..conftest import ADMIN
from .test_session_provider import INPUTS


async def started(api: Api, **change: Any) -> Target:
    inputs = parse({**INPUTS, **change})
    session_id = await sessions.ensure(api, session_spec(inputs))
    return Target(session_id, inputs.session_name, inputs.served_model_name, inputs.port, inputs.api_key, 3.0)


@pytest.fixture
def connection(emulator: Emulator) -> Connection:
    return Connection(emulator.endpoint, *ADMIN)


async def test_the_phases_are_told_in_order(connection: Connection) -> None:
    told: list[str] = []
    async with Api(connection) as api:
        target = await started(api, env={"VLLM_STANDIN_LOAD_SECONDS": "4"})
        ready = await wait_until_ready(api, target, told.append)
    assert ready.max_model_len == 512
    assert told[0] == "queued"
    assert told[-1] == "ready: a completion came back"
    # A busy machine may look too late for one of them.
    order = ["queued", "starting", "starting vLLM", "loading weights", "warming up", "server is up", "ready"]
    found = [next(n for n, phase in reversed([*enumerate(order)]) if text.startswith(phase)) for text in told]
    assert found == sorted(found) and len(set(told)) == len(told) and len(told) > 4, told


async def test_a_manager_that_is_away_for_a_moment_ends_nothing(connection: Connection, emulator: Emulator) -> None:
    async with Api(connection) as api:
        target = await started(api)
        emulator.faults.add(method="GET", path="^/v2/sessions/", action="reset", times=6, skip=1)
        emulator.faults.add(method="GET", path="/tcpproxy", action="status", status=503, times=2)
        await wait_until_ready(api, target, lambda _phase: None)


CAUSES: list[tuple[dict[str, Any], str]] = [
    ({"env": {"VLLM_STANDIN_EXIT": "3@loading"}}, r"has ended \(TERMINATED, task-failed \(result FAILURE\)\)"),
    ({"env": {"VLLM_STANDIN_EXIT": "0@loading"}}, r"has ended \(TERMINATED, task-finished \(result SUCCESS\)\)"),
    ({"env": {"VLLM_STANDIN_SERVES": "another"}}, "it serves another and not backendai-vllm/tiny-llama"),
    ({"env": {"VLLM_STANDIN_HANG": "loading"}}, r"nothing has moved for \d s \(session RUNNING, .*`ready_timeout`"),
    ({"gpus": 100}, r"nothing has moved for \d s \(session PENDING, queued\).* no room for it"),
    ({"model": "meta-llama/Llama-2-7b-chat-hf", "hf_token": None}, "The model is gated.*hf_token"),
    ({"max_model_len": 4096}, "max_model_len is 4096, but the model was made for 2048 tokens"),
]


@pytest.mark.parametrize(("change", "words"), CAUSES, ids=[words for _, words in CAUSES])
async def test_the_cause_is_told(change: dict[str, Any], words: str, connection: Connection) -> None:
    async with Api(connection) as api:
        target = await started(api, **change)
        with pytest.raises(EndpointError, match=re.compile(words, re.DOTALL)) as caught:
            await wait_until_ready(api, target, lambda _phase: None)
    assert INPUTS["api_key"] not in str(caught.value)
    assert str(INPUTS["hf_token"]) not in str(caught.value)


async def test_what_moves_is_waited_for(connection: Connection) -> None:
    """Loading lasts longer than the time in which something must move, but the log goes on."""
    async with Api(connection) as api:
        target = await started(api, env={"VLLM_STANDIN_LOAD_SECONDS": "6"})
        await wait_until_ready(api, target, lambda _phase: None)


async def test_a_wrong_key_is_told_at_once(connection: Connection) -> None:
    async with Api(connection) as api:
        target = await started(api)
        wrong = Target(target.session_id, "chat", target.served_model_name, target.port, "sk-wrong-wrong-wrong", 60.0)
        with pytest.raises(EndpointError, match="api_key isn't the one it was started with"):
            await wait_until_ready(api, wrong, lambda _phase: None)
