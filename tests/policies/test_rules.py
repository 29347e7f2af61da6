"""The invariant: every rule lets pass what is allowed, and refuses what isn't with value, limit and cure."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

import pytest

from policies import lookups
from policies.resources import NOT_KNOWN, NotApplicable, Resource, Stack
from policies.table import RULES

from .samples import KEY, endpoint, session, stack

BY_NAME = {rule.name: rule for rule in RULES}
DIGEST = "sha256:" + "a" * 64


class Case(NamedTuple):
    """`words`: what the message must have; none means that the rule is content."""

    rule: str
    about: Resource | Stack
    limits: dict[str, Any] = {}  # noqa: RUF012  # never changed
    words: tuple[str, ...] = ()


def two(**props: Any) -> Stack:
    """Two models, the second with these."""
    return stack(
        session("chat-0"), session("writer-0", **{"served_model_name": "writer", "api_key": KEY + "2"} | props)
    )


CASES = [
    Case("gpus-per-session", session(gpus=2.0), {"max": 2.0}),
    Case("gpus-per-session", session(gpus=4.0), {"max": 2.0}, ("chat", "4", "2 (max)", "Set gpus to 2")),
    Case("gpus-per-session", session(gpus=0.5, gpu_unit="cuda.shares"), {"max": 0.25}, ("0.5", "0.25")),
    Case("gpus-per-session", session(gpus="no number")),
    Case("gpus-per-model", stack(session("chat-0", gpus=2.0), session("chat-1", gpus=2.0)), {"max": 4.0}),
    Case("gpus-per-model", stack(session("chat-0", gpus=2.0), session("chat-1", gpus=2.0)), {"max": 3.0}, ("4", "3")),
    Case("gpus-per-model", two(gpus=3.0), {"max": 2.0}, ("writer: ", "3 GPUs", "2 (max)")),
    Case("gpus-per-stack", two(), {"max": 2.0}),
    Case("gpus-per-stack", two(gpus=2.0), {"max": 2.0}, ("the stack", "3 GPUs", "2 (max)", "Lower")),
    Case("gpu-quota", two(resource_group="gold"), {"quota": {"default": 1.0}}),
    Case("gpu-quota", two(), {"quota": {"default": 1.0}}, ("resource group default", "2 GPUs", "quota is 1", "raised")),
    Case("gpu-quota", two(gpus=9.0)),
    Case("gpu-card", session(), {"allow": ["H100*"], "units": ["cuda.device"]}),
    Case("gpu-card", session(gpu="NVIDIA A100 80GB"), {"allow": ["a100-*"]}),
    Case("gpu-card", session(gpu="T4"), {"allow": ["H100*"]}, ("T4", "H100*", "cluster.gpu")),
    Case("gpu-card", session(gpu=None), {"allow": ["H100*"]}, ("isn't set", "cluster.gpu")),
    Case("gpu-card", session(gpu=None, gpu_memory_gib=24.0), {"allow": ["H100*"]}, ("24 GiB",)),
    Case("gpu-card", session(gpu_unit="cuda.shares"), {"units": ["cuda.device"]}, ("cuda.shares", "cuda.device")),
    Case("gpu-card", session(gpu=None)),
    Case("resource-group", session(), {"allow": ["def*"]}),
    Case("resource-group", session(), {"allow": ["gold", "silver"]}, ("default", "gold, silver", "Set resource_group")),
    Case("gpu-memory-utilization", session()),
    Case("gpu-memory-utilization", session(gpu_memory_utilization=0.9)),
    Case("gpu-memory-utilization", session(gpu_memory_utilization=0.99), {}, ("0.99", "0.95", "Set it to 0.95")),
    Case("gpu-memory-utilization", session(gpu_memory_utilization=0.1), {"min": 0.4}, ("0.1", "Set it to 0.4")),
    Case("max-model-len", session()),
    Case("max-model-len", session(max_model_len="8k"), {"max": 8000.0}),
    Case("max-model-len", session(max_model_len="8K"), {"max": 8000.0}, ("8K", "8000", "Set it to 8000")),
    Case("max-model-len", session(max_model_len=16.0), {}, ("16", "256")),
    Case("max-model-len", session(max_model_len="auto")),
    Case("max-model-len", session(max_model_len="auto"), {"allow_auto": False}, ("as memory allows", "131072")),
    Case("quantization", session(quantization="gguf")),
    Case("quantization", session(quantization="awq"), {"allow": ["awq"]}),
    Case("quantization", session(quantization="gptq"), {"allow": ["awq", "none"]}, ("gptq", "awq, none", "preset")),
    Case("quantization", session(model="/models/mine"), {"allow": ["none"]}),
    Case("image", session()),
    Case("image", session(image=f"cr.backend.ai/stable/vllm@{DIGEST}"), {"require_digest": True}),
    Case("image", session(), {"registries": ["cr.backend.ai"]}),
    Case("image", session(), {"registries": ["cr.backend.ai/stable/*"]}),
    Case("image", session(image="vllm/vllm-openai:v0.32.0"), {"registries": ["cr.*"]}, ("docker.io", "cr.*")),
    Case("image", session(image="cr.backend.ai/vllm:latest"), {}, ("isn't pinned", "x.y.z", "0.32.0")),
    Case("image", session(image="cr.backend.ai/vllm"), {}, ("isn't pinned",)),
    Case("image", session(image="cr.backend.ai/vllm:0.32-cuda12"), {}, ("isn't pinned",)),
    Case("image", session(image="localhost:5000/vllm:nightly"), {}, ("isn't pinned",)),
    Case("image", session(), {"require_digest": True}, ("no digest", "imagetools")),
    Case("revision", session()),
    Case("revision", session(model="/models/mine", revision=None)),
    Case("revision", session(revision="main"), {}, ("revision is main", "a commit", "Set revision")),
    Case("revision", session(revision=None), {}, ("isn't set", "Set revision")),
    Case("trust-remote-code", session()),
    Case("trust-remote-code", session(trust_remote_code=True), {"allow": ["backendai-vllm/*"]}),
    Case("trust-remote-code", session(trust_remote_code=True), {}, ("true", "nothing (allow)", "Set it to false")),
    Case("trust-remote-code", session(extra_args=["--trust_remote_code"]), {}, ("true",)),
    Case("dangerous-arguments", session(extra_args=["--enable-prefix-caching", "--seed=1"], env={"A": "1"})),
    Case("dangerous-arguments", session(extra_args=["--middleware", "evil.Code"]), {}, ("--middleware", "Remove")),
    Case("dangerous-arguments", session(extra_args=["--middle=evil.Code"]), {}, ("--middleware",)),
    Case("dangerous-arguments", session(extra_args=["--hf_overrides", "{}"]), {}, ("--hf-overrides",)),
    Case("dangerous-arguments", session(extra_args=["--hf-overrides.max=1"]), {}, ("--hf-overrides",)),
    Case("dangerous-arguments", session(extra_args=["--config", "a.yaml"]), {}, ("--config",)),
    Case("dangerous-arguments", session(extra_args=["--config-format=hf"])),
    Case("dangerous-arguments", session(extra_args=["--load-format=npcache"]), {}, ("npcache",)),
    Case("dangerous-arguments", session(extra_args=["--load-format", "pt"]), {}, ("pt",)),
    Case("dangerous-arguments", session(extra_args=["--load-format=safetensors"])),
    Case("dangerous-arguments", session(extra_args=["--enable-lora"]), {}, ("--enable-lora",)),
    Case("dangerous-arguments", session(extra_args=["--enable-lora"]), {"allow": ["--enable-lora"]}),
    Case("dangerous-arguments", session(extra_args=["--no-enable-lora"])),
    Case("dangerous-arguments", session(env={"VLLM_SERVER_DEV_MODE": "1"}), {}, ("VLLM_SERVER_DEV_MODE", "Remove")),
    Case("dangerous-arguments", session(env={"VLLM_SERVER_DEV_MODE": "0"})),
    Case("dangerous-arguments", session(env={"LD_PRELOAD": "/x.so"}), {}, ("LD_PRELOAD",)),
    Case("organisations", session()),
    Case("organisations", session(), {"allow": ["Qwen", "backendai-vllm"]}),
    Case("organisations", session(), {"allow": ["backendai-vllm/tiny-*"]}),
    Case("organisations", session(), {"allow": ["Qwen"]}, ("backendai-vllm/tiny-llama", "Qwen", "added to allow")),
    Case("organisations", session(), {"deny": ["backendai-*"]}, ("denied", "backendai-*")),
    Case("organisations", session(model="gpt2"), {"allow": ["gpt2"]}),
    Case("organisations", session(model="/models/mine"), {"allow": ["Qwen"]}),
    Case("organisations", session(model="/models/mine"), {"allow_folders": False}, ("folder", "allow_folders")),
    Case("licences", session()),
    Case("api-key", session()),
    Case("api-key", session(api_key="[secret]")),
    Case("api-key", session(api_key=None), {}, ("isn't set", "20 characters", "Leave api_key out")),
    Case("api-key", session(api_key=" "), {}, ("isn't set",)),
    Case("api-key", session(api_key="12345678"), {}, ("8 characters", "20 characters")),
    Case("api-key", session(hf_token=KEY), {}, ("Hub token",)),
    Case("api-keys-apart", two()),
    Case("api-keys-apart", stack(session("chat-0"), session("chat-1"))),
    Case("api-keys-apart", two(api_key=KEY), {}, ("chat: ", "writer", "Leave api_key out")),
    Case("api-keys-apart", two(hf_token=KEY), {}, ("chat: ", "Hub token")),
    Case("api-keys-apart", stack(session("chat-0", api_key="[secret]"), session("writer-0", api_key="[secret]"))),
    Case("secrets", session(env={"TOKENIZERS_PARALLELISM": "false", "VLLM_MAX_TOKENS": "5"})),
    Case("secrets", session(env={"WANDB_API_KEY": "anything"}), {}, ("env (WANDB_API_KEY)", "in clear", "hf_token")),
    Case("secrets", session(env={"CACHE_KEY": "a"}), {"allow": ["CACHE_*"]}),
    Case("secrets", session(env={"X": "hf_abcdefghijklmnop"}), {}, ("env (X)",)),
    Case("secrets", session(env={"X": f"is {KEY}"}), {}, ("env (X)",)),
    Case("secrets", session(extra_args=["--api-key", "short"]), {}, ("extra_args",)),
    Case("secrets", session(extra_args=["--chat-template=Bearer abc"]), {}, ("extra_args",)),
    Case("secrets", session(served_model_name="sk-0123456789abcdefgh"), {}, ("served_model_name",)),
    Case("public-exposure", session()),
    Case("public-exposure", endpoint()),
    Case("public-exposure", endpoint(open_to_public=True), {}, ("open_to_public", "Remove", "app-proxy")),
    Case("public-exposure", endpoint(open_to_public=True), {"allow": ["chat-*"]}),
    Case("public-exposure", session(extra_args=["--allowed-origins", '["*"]']), {}, ("--allowed-origins",)),
    Case("replicas", stack(session("chat-0"), session("chat-1")), {"min": 2.0}),
    Case("replicas", stack(session("chat-0")), {"min": 2.0}, ("chat: ", "replicas is 1", "Set replicas to 2")),
    Case("served-names", two()),
    Case("served-names", stack(session("chat-0"), session("chat-1"))),
    Case("served-names", two(served_model_name="chat"), {}, ("chat: ", "writer", "of its own")),
    Case("endpoints", two()),
    Case("endpoints", stack(session("chat-0"), proved=False), {}, ("chat-0: ", "no endpoint", "ModelEndpoint")),
    Case("endpoints", Stack((session("chat-0"),), declared=True)),
    Case("ready-timeout", endpoint()),
    Case("ready-timeout", endpoint(wait=False)),
    Case("ready-timeout", endpoint(wait=False), {"require_wait": True}, ("wait is false", "require_wait")),
    Case("ready-timeout", endpoint(ready_timeout=None), {}, ("isn't set", "7200", "30m")),
    Case("ready-timeout", endpoint(ready_timeout=9000.0), {}, ("9000", "Set ready_timeout to 7200")),
    Case("ready-timeout", endpoint(ready_timeout=5.0), {}, ("5 s", "Set ready_timeout to 60")),
    Case("lifetime", session(max_lifetime=3600.0)),
    Case("lifetime", session(max_lifetime=36000.0), {"max_hours": 2.0}, ("10 h", "2 h", "max_lifetime: 2h")),
]
OF_THE_HUB = {"verdict", "licences", "quantization"}  # and in test_lookups


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{' '.join(case.words) or 'content'}")
def test_a_case(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "known_commit", lambda _session: None)
    found, unknown = BY_NAME[case.rule].messages(case.about, case.limits)
    assert unknown is None
    assert len(found) == bool(case.words), found
    for message, _urn in found:
        assert " Cure: " in message
        for word in case.words:
            assert word in message


def test_every_rule_has_a_case_that_passes_and_one_that_fails() -> None:
    passing = {case.rule for case in CASES if not case.words}
    failing = {case.rule for case in CASES if case.words}
    assert passing | OF_THE_HUB == failing | OF_THE_HUB == set(BY_NAME)


def test_a_revision_is_cured_by_what_it_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "known_commit", lambda _session: "f" * 40)
    ((message, _),), _ = BY_NAME["revision"].messages(session(revision="main"))
    assert f"Set revision: {'f' * 40} (what main is now)" in message


def test_a_secret_that_the_state_keeps_in_clear() -> None:
    about = session()
    bare = Resource(about.kind, about.name, about.props, secret_outputs=frozenset())
    ((message, _),), _ = BY_NAME["secrets"].messages(bare)
    assert "api_key is kept in clear in the state" in message
    assert KEY not in message
    kept = Resource(about.kind, about.name, about.props, secret_outputs=frozenset({"api_key"}))
    assert BY_NAME["secrets"].messages(kept) == ([], None)


def test_a_lifetime_is_only_asked_for_where_it_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    from policies import rules_service

    monkeypatch.setattr(rules_service, "_can_be_limited", lambda: False)
    with pytest.raises(NotApplicable):
        BY_NAME["lifetime"].messages(session())
    monkeypatch.setattr(rules_service, "_can_be_limited", lambda: True)
    ((message, _),), _ = BY_NAME["lifetime"].messages(session())
    assert "max_lifetime isn't set" in message


CANARIES = ("canary-key-1234567890abcdef", "hf_canarycanarycanary", "canary-in-env-0123", "canary-in-args-0123")


def test_no_message_has_a_secret() -> None:
    key, token, in_env, in_args = CANARIES
    bad = session(
        api_key=key,
        hf_token=token,
        env={"MY_TOKEN": in_env, "VLLM_PLUGINS": in_env, "A": token, "LD_PRELOAD": key},
        extra_args=["--api-key", in_args, f"--middleware={in_args}", f"--hf-token={token}", f"--chat-template={key}"],
        served_model_name=key,
        image=f"evil.example/{token}",
        revision=token,
        resource_group=token,
        gpu=key,
        model=f"{key}/{token}",
    )
    other = session("writer-0", **{**bad.props, "hf_token": key})
    for rule in RULES:
        about: list[Resource | Stack] = [bad, endpoint(**bad.props)] if rule.on else [stack(bad, other, proved=False)]
        for each in about:
            limits: dict[str, Any] = {key: [] for key, limit in rule.limits.items() if limit.kind == "array"}
            if rule.name in ("verdict", "licences", "quantization"):
                continue
            for message, _ in _found(rule.name, each, limits):
                assert not any(canary in message for canary in CANARIES), (rule.name, message)


def _found(rule: str, about: Resource | Stack, limits: dict[str, Any]) -> list[tuple[str, str | None]]:
    try:
        return BY_NAME[rule].messages(about, limits)[0]
    except NotApplicable:
        return []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_nothing_known_is_no_crash(rule: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """All values unknown, one after the other and all at once: a rule says so, or has nothing to say."""
    monkeypatch.setattr(lookups, "carried_quantization", lambda _session: ("none", ""))
    monkeypatch.setattr(lookups, "licence", lambda _session: ("mit", ""))
    monkeypatch.setattr(lookups, "_judged", lambda _request: lookups.Judgement("START"))
    everything = {**session().props, "max_lifetime": 60.0, "gpu_memory_utilization": 0.9, "quantization": "awq"}
    for keys in ([key] for key in everything):
        _ask(rule, {**everything, **dict.fromkeys(keys, NOT_KNOWN)})
    _ask(rule, dict.fromkeys(everything, NOT_KNOWN))
    _ask(rule, {**everything, "extra_args": [NOT_KNOWN], "env": {"A": NOT_KNOWN}})
    _ask(rule, {})


def _ask(rule: Any, props: dict[str, Any]) -> None:
    one = Resource(rule.on[0] if rule.on else "", "chat-0", props)
    about = one if rule.on else stack(one)
    with suppress(NotApplicable):
        rule.messages(about)


UNKNOWN = [
    ("gpus-per-session", session(gpus=NOT_KNOWN), "gpus"),
    ("gpus-per-stack", stack(session(gpus=NOT_KNOWN)), "chat-0.gpus"),
    ("dangerous-arguments", session(extra_args=["--seed=1", NOT_KNOWN]), "extra_args"),
    ("secrets", session(env={"A": NOT_KNOWN}), "env"),
    ("api-key", session(api_key=NOT_KNOWN), "api_key"),
    ("verdict", session(max_model_len=NOT_KNOWN), "max_model_len"),
    ("ready-timeout", endpoint(ready_timeout=NOT_KNOWN), "ready_timeout"),
]


@pytest.mark.parametrize(("rule", "about", "path"), UNKNOWN, ids=[rule for rule, *_ in UNKNOWN])
def test_what_is_not_known_is_said(rule: str, about: Resource | Stack, path: str) -> None:
    found, unknown = BY_NAME[rule].messages(about)
    assert found == []
    assert unknown is not None and unknown.path == path


def test_what_is_known_counts_beside_what_is_not() -> None:
    found, unknown = BY_NAME["gpus-per-stack"].messages(
        stack(session(gpus=9.0), session("a-0", gpus=NOT_KNOWN)), {"max": 8.0}
    )
    assert len(found) == 1 and unknown is not None
    found, unknown = BY_NAME["dangerous-arguments"].messages(session(extra_args=["--worker-cls=a.B", NOT_KNOWN]))
    assert len(found) == 1 and unknown is not None


def test_a_url_with_a_password_is_a_secret_and_its_cure_fits() -> None:
    ((message, _),), _ = BY_NAME["secrets"].messages(session(env={"DATABASE_URL": "postgres://u:pw@host/db"}))
    assert "env (DATABASE_URL)" in message and "mounts" in message and "pw@" not in message
    assert BY_NAME["secrets"].messages(session(env={"X": "http://host:80/a@b"})) == ([], None)
