"""The invariant: no secret appears in what the CLI prints or in an exported state."""

from __future__ import annotations

from emulator import Emulator

from .driver import ADMIN, TINY, PulumiStack

API_KEY = "canary-api-key-5d41402abc"
HUB_TOKEN = "hf_standin_approved"


def test_secrets_stay_secret(stack: PulumiStack, emulator: Emulator) -> None:
    stack.configure(
        [
            {"name": "given", **TINY, "api_key": API_KEY, "hf_token": HUB_TOKEN},
            {"name": "made", **TINY},
            {"name": "broken", **TINY, "env": {"VLLM_STANDIN_EXIT": "1@loading"}, "api_key": API_KEY},
        ]
    )
    texts = [
        stack.preview().text,
        stack.preview("--json").text,
        stack.preview("--diff").text,
        stack.up(code=None).text,
    ]
    made = stack.output("api_keys") if "api_keys" in str(stack.export()) else {}
    stack.configure([{"name": "given", **TINY, "api_key": API_KEY, "hf_token": HUB_TOKEN}, {"name": "made", **TINY}])
    texts += [
        stack.up("--diff").text,
        stack.run("stack", "export", "--stack", stack.name).text,
        stack.run("stack", "--show-urns", "--stack", stack.name).text,
        stack.run("stack", "output", "--json", "--stack", stack.name).text,
    ]
    made = stack.output("api_keys")
    texts += [stack.refresh().text, stack.destroy().text]
    secrets = {API_KEY, HUB_TOKEN, ADMIN[1], made["made"]}
    assert made["made"].startswith("sk-")
    for secret in secrets:
        for text in texts:
            assert secret not in text
