"""The invariant: a stack that an earlier release made previews clean and can be destroyed by this one.

golden.json is `pulumi stack export --show-secrets` of that release (the secrets are this test's own), with the
session's id and the cluster's address replaced by @SESSION_ID@ and @ENDPOINT@.  It is never made anew to get a test
to pass: what breaks it breaks users' stacks.  `python -m tests.lifecycle.make_golden` made it.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from backendai import Api, Connection, sessions
from emulator import Emulator
from providers.session_inputs import parse
from providers.session_spec import session_spec

from .driver import ADMIN, PulumiStack

GOLDEN = Path(__file__).with_name("golden.json")
MODEL: dict[str, Any] = {
    "name": "chat",
    "model": "backendai-vllm/tiny-llama",
    "max_model_len": 512,
    "cpu": 1,
    "memory": "1g",
    "shmem": "64m",
    "gpus": 1,
    "env": {"A": "1"},
    "extra_args": ["--enforce-eager"],
    "mounts": {"hf-cache": "/home/work/.cache"},
    "ready_timeout": "20m",
    "hf_token": "hf_standin_approved",
}


def session_inputs(text: str) -> dict[str, Any]:
    """The session's inputs, secrets in clear."""
    resources = json.loads(text)["deployment"]["resources"]
    (session,) = [r for r in resources if r["type"].endswith(":VLLMModelSession")]
    return {key: _clear(value) for key, value in session["inputs"].items()}


def _clear(value: Any) -> Any:
    return json.loads(value["plaintext"]) if isinstance(value, dict) and "plaintext" in value else value


def test_a_stack_of_an_earlier_release(stack: PulumiStack, emulator: Emulator, tmp_path: Path) -> None:
    text = GOLDEN.read_text()
    spec = session_spec(parse(session_inputs(text)))

    async def create() -> str:
        async with Api(Connection(emulator.endpoint, *ADMIN)) as api:
            return await sessions.ensure(api, spec)

    session_id = asyncio.run(create())
    state = tmp_path / "state.json"
    state.write_text(text.replace("@SESSION_ID@", session_id).replace("@ENDPOINT@", emulator.endpoint))
    stack.configure([MODEL])
    stack.run("stack", "import", "--file", str(state), "--stack", stack.name)
    assert stack.session_ids() == {session_id}

    _wait_for(stack)
    preview = stack.preview("--expect-no-changes", "--diff")
    assert "__provider" not in preview.text
    stack.destroy()
    assert emulator.cluster.living() == []
    assert stack.resources() == []


def _wait_for(stack: PulumiStack) -> None:
    """The stand-in loads for a moment; an endpoint that doesn't answer yet would count as drift."""
    from providers.model_endpoint import target_of
    from providers.waiting import wait_until_ready

    (endpoint,) = stack.resources("ModelEndpoint")
    target = target_of({**endpoint["inputs"], "api_key": session_inputs(GOLDEN.read_text())["api_key"]})

    async def wait() -> None:
        async with Api(Connection(stack.env["BACKEND_ENDPOINT"], *ADMIN)) as api:
            await wait_until_ready(api, target, lambda _phase: None)

    asyncio.run(wait())
