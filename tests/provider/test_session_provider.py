"""The invariant: the session provider does over gRPC what the design says; nothing is lost or leaked."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from emulator import Emulator
from providers.vllm_model_session import VLLMModelSessionProvider

from .driver import UNKNOWN, CallFailed, ProviderProcess

INPUTS: dict[str, Any] = {
    "session_name": "chat-1",
    "owner": "0123456789ab.abcdef",
    "model": "backendai-vllm/tiny-llama",
    "served_model_name": "backendai-vllm/tiny-llama",
    "image": "cr.backend.ai/stable/vllm:0.32.0-cuda12.9-ubuntu24.04",
    "max_model_len": 512,
    "cpu": 1,
    "memory": "1g",
    "shmem": "64m",
    "gpus": 1,
    "api_key": "sk-0123456789abcdef",
    "hf_token": "hf_standin_approved",
}


@pytest.fixture
def provider(process: ProviderProcess, emulator: Emulator) -> ProviderProcess:
    """One process for all tests, as one serves a whole run; the emulator is empty for each."""
    return process


def ids(emulator: Emulator) -> set[str]:
    return {str(session.id) for session in emulator.cluster.living()}


def until(check: Any, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


def test_the_life_of_a_session(provider: ProviderProcess, emulator: Emulator, stderr: Path) -> None:
    id_, outs = provider.create(INPUTS)
    assert ids(emulator) == {id_}
    assert outs.items() >= INPUTS.items()
    assert outs["endpoint"] == emulator.endpoint
    assert outs["startup_command"].startswith("exec vllm serve backendai-vllm/tiny-llama ")

    assert provider.diff(outs, INPUTS, id_) == ("none", [])
    assert provider.read(id_, outs) == (id_, outs, None)

    until(lambda: emulator.cluster.living()[0].status == "RUNNING")
    renamed = provider.update(id_, outs, {**INPUTS, "session_name": "chat-2"})
    assert emulator.cluster.living()[0].name == "chat-2"
    assert renamed == {**outs, "session_name": "chat-2"}

    provider.delete(id_, renamed)
    assert ids(emulator) == set()
    provider.delete(id_, renamed)
    assert provider.read(id_, renamed)[0] == ""
    assert "has ended" in stderr.read_text()


def test_what_is_created_is_what_was_asked_for(provider: ProviderProcess, emulator: Emulator) -> None:
    provider.create({**INPUTS, "env": {"A": "1"}, "mounts": {"hf-cache": "/home/work/.cache"}, "port": 9000})
    (session,) = emulator.cluster.living()
    assert session.environ["VLLM_API_KEY"] == INPUTS["api_key"]
    assert session.environ["HF_TOKEN"] == INPUTS["hf_token"]
    assert session.environ["A"] == "1"
    assert "--port=9000" in (session.command or "")
    assert INPUTS["api_key"] not in (session.command or "")
    assert INPUTS["hf_token"] not in (session.command or "")
    assert str(session.tag).startswith("bai-vllm:0123456789ab.abcdef:")


def test_creating_again_finds_the_same_session(provider: ProviderProcess, emulator: Emulator) -> None:
    first, _ = provider.create(INPUTS)
    assert provider.create(INPUTS)[0] == first
    assert len(ids(emulator)) == 1


def test_a_leftover_of_this_stack_with_another_spec_is_ended_first(
    provider: ProviderProcess, emulator: Emulator
) -> None:
    first, _ = provider.create(INPUTS)
    second, _ = provider.create({**INPUTS, "max_model_len": 256})
    assert first != second
    assert ids(emulator) == {second}


@pytest.mark.parametrize("owner", ["ffffffffffff.abcdef", "0123456789ab.ffffff"], ids=["stack", "model"])
def test_the_session_of_another_one_is_left_alone(owner: str, provider: ProviderProcess, emulator: Emulator) -> None:
    theirs, _ = provider.create(INPUTS)
    with pytest.raises(
        CallFailed, match=r"'chat-1' is taken by session .* isn't this model's.*Set another `session_name`"
    ):
        provider.create({**INPUTS, "owner": owner})
    assert ids(emulator) == {theirs}


def test_a_session_that_does_not_run_yet_cannot_be_renamed(provider: ProviderProcess, emulator: Emulator) -> None:
    emulator.cluster.faults.no_agent = True
    id_, outs = provider.create(INPUTS)
    with pytest.raises(CallFailed, match=r"a running session only.* Run it again"):
        provider.update(id_, outs, {**INPUTS, "session_name": "chat-2"})


LOST = ["reset", "timeout", "html", "truncate"]


@pytest.mark.parametrize("action", LOST)
def test_a_create_whose_answer_is_lost_is_found(action: str, provider: ProviderProcess, emulator: Emulator) -> None:
    emulator.faults.add(method="POST", path=r"^/session$", when="after", action=action, delay=0.5)
    id_, _ = provider.create(INPUTS)
    assert ids(emulator) == {id_}


def test_a_create_whose_answer_is_lost_with_the_manager_is_found_when_it_is_back(
    provider: ProviderProcess, emulator: Emulator
) -> None:
    emulator.faults.add(method="POST", path=r"^/session$", when="after", action="reset")
    emulator.faults.add(method="POST", path=r"^/v2/sessions/my/search$", action="reset", times=9, skip=1)
    id_, _ = provider.create(INPUTS)
    assert ids(emulator) == {id_}


@pytest.mark.parametrize("status", [500, 503])
def test_a_create_that_never_reached_the_cluster_fails_and_leaves_nothing(
    status: int, provider: ProviderProcess, emulator: Emulator
) -> None:
    emulator.faults.add(method="POST", path=r"^/session$", when="before", action="status", status=status)
    with pytest.raises(CallFailed, match=str(status)):
        provider.create(INPUTS)
    assert ids(emulator) == set()
    id_, _ = provider.create(INPUTS)
    assert ids(emulator) == {id_}


@pytest.mark.parametrize(
    ("status", "error_code"), [(404, "api_read_not-found"), (401, "user_auth_unauthorized"), (403, "x"), (500, "x")]
)
def test_only_the_right_404_means_gone(
    status: int, error_code: str, provider: ProviderProcess, emulator: Emulator
) -> None:
    id_, outs = provider.create(INPUTS)
    emulator.faults.add(
        method="GET",
        path=r"^/v2/sessions/",
        when="before",
        action="status",
        status=status,
        error_code=error_code,
        times=9,
    )
    with pytest.raises(CallFailed):
        provider.read(id_, outs)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"image": "cr.backend.ai/stable/vllm:none"}, "The image isn't registered in the cluster.*`cluster.image`"),
    ({"resource_group": "nope"}, "The resource group 'nope' doesn't exist.*`cluster.resource_group`"),
    ({"project": "nope"}, "The project or domain doesn't exist.*`cluster.project`"),
    ({"gpu_unit": "cuda.shares"}, "doesn't serve a slot.*`cluster.gpu_unit` must be"),
    ({"mounts": {"nope": "/x"}}, "A folder named in `mounts` doesn't exist"),
]


@pytest.mark.parametrize(("change", "words"), REFUSED, ids=[next(iter(change)) for change, _ in REFUSED])
def test_what_the_cluster_refuses_is_explained(
    change: dict[str, Any], words: str, provider: ProviderProcess, emulator: Emulator
) -> None:
    with pytest.raises(CallFailed, match=words):
        provider.create({**INPUTS, **change})
    assert ids(emulator) == set()


def test_a_read_survives_a_short_outage(provider: ProviderProcess, emulator: Emulator) -> None:
    id_, outs = provider.create(INPUTS)
    emulator.faults.add(method="GET", path=r"^/v2/sessions/", when="before", action="reset", times=2)
    assert provider.read(id_, outs)[0] == id_


def test_a_renamed_session_is_drift(provider: ProviderProcess, emulator: Emulator) -> None:
    id_, outs = provider.create(INPUTS)
    until(lambda: emulator.cluster.living()[0].status == "RUNNING")
    provider.update(id_, outs, {**INPUTS, "session_name": "renamed"})
    _, after, inputs = provider.read(id_, outs)
    assert after["session_name"] == "renamed"
    assert inputs is not None
    assert inputs["session_name"] == "renamed"
    assert provider.diff(after, INPUTS, id_) == ("unknown", [])


def test_unknown_at_another_cluster_is_not_gone(cluster_env: dict[str, str], emulator: Emulator) -> None:
    outs = {**INPUTS, "endpoint": "http://elsewhere.example"}
    with ProviderProcess(VLLMModelSessionProvider(), cluster_env) as provider:
        for call in (provider.read, provider.delete):
            with pytest.raises(CallFailed, match=r"was made at http://elsewhere.example"):
                call("00000000-0000-0000-0000-000000000001", outs)


def test_the_same_cluster_under_another_address(provider: ProviderProcess, emulator: Emulator) -> None:
    id_, outs = provider.create(INPUTS)
    moved = {**outs, "endpoint": emulator.endpoint.replace("127.0.0.1", "localhost")}
    assert provider.read(id_, moved)[0] == id_
    provider.delete(id_, moved)
    assert ids(emulator) == set()


CHECKS: list[tuple[dict[str, Any], str, str]] = [
    ({"memory": "16"}, "memory", "16g"),
    ({"gpus": 0}, "gpus", "0"),
    ({"gpus": 1.5}, "gpus", "cuda.shares"),
    ({"tensor_parallel_size": 4}, "tensor_parallel_size", "Set gpus to 4"),
    ({"shmem": "2g"}, "shmem", "Raise memory"),
    ({"dtype": "bf16"}, "dtype", "bfloat16"),
    ({"port": 2200}, "port", "Backend.AI"),
    ({"surprise": 1}, "surprise", "no key that is known"),
    ({"env": {"HF_TOKEN": "x"}}, "env", "hf_token"),
]


@pytest.mark.parametrize(("change", "key", "words"), CHECKS, ids=[key for _, key, _ in CHECKS])
def test_check_names_the_property_and_the_cure(
    change: dict[str, Any], key: str, words: str, provider: ProviderProcess
) -> None:
    failures = provider.check({**INPUTS, **change})
    assert list(failures) == [key]
    assert words in failures[key]


def test_check_tells_everything_at_once(provider: ProviderProcess) -> None:
    assert set(provider.check({**INPUTS, "memory": 1, "port": 0, "gpus": -1})) == {"memory", "port", "gpus"}


def test_check_lets_unknown_values_through(provider: ProviderProcess) -> None:
    unknown = dict.fromkeys(("session_name", "api_key", "owner"), UNKNOWN)
    assert provider.check({**INPUTS, **unknown}) == {}
    assert set(provider.check({**INPUTS, **unknown, "memory": 1})) == {"memory"}


def test_no_secret_in_an_error(cluster_env: dict[str, str], emulator: Emulator) -> None:
    env = {**cluster_env, "BACKEND_SECRET_KEY": "a-wrong-secret-key"}
    with ProviderProcess(VLLMModelSessionProvider(), env) as provider, pytest.raises(CallFailed) as caught:
        provider.create(INPUTS)
    assert "a-wrong-secret-key" not in str(caught.value)
    assert INPUTS["api_key"] not in str(caught.value)


def test_credentials_from_the_stack_config(cluster_env: dict[str, str], emulator: Emulator) -> None:
    config = {
        "cluster": f'{{"endpoint": "{emulator.endpoint}"}}',
        "access_key": cluster_env["BACKEND_ACCESS_KEY"],
        "secret_key": cluster_env["BACKEND_SECRET_KEY"],
    }
    with ProviderProcess(VLLMModelSessionProvider(), {}, config) as provider:
        id_, _ = provider.create(INPUTS)
    assert ids(emulator) == {id_}


def test_a_dotenv_file_changes_nothing(
    cluster_env: dict[str, str], emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.provider import driver

    (tmp_path / ".env").write_text("BACKEND_ENDPOINT=http://127.0.0.1:9\nBACKEND_ACCESS_KEY=x\n")
    monkeypatch.setattr(driver, "ROOT", tmp_path)  # the working folder of the provider's process
    env = {**cluster_env, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with ProviderProcess(VLLMModelSessionProvider(), env) as provider:
        id_, _ = provider.create(INPUTS)
    assert ids(emulator) == {id_}


def test_four_calls_at_once_do_not_mix(provider: ProviderProcess, emulator: Emulator) -> None:
    from concurrent.futures import ThreadPoolExecutor

    names = [f"chat-{n}" for n in range(6)]
    with ThreadPoolExecutor(6) as pool:
        created = list(pool.map(lambda name: provider.create({**INPUTS, "session_name": name})[0], names))
    by_name = {session.name: str(session.id) for session in emulator.cluster.living()}
    assert by_name == dict(zip(names, created, strict=True))


WONT_START: list[tuple[dict[str, Any], str, str]] = [
    ({"gpu": "A100-40GB", "model": "Qwen/Qwen2.5-72B-Instruct"}, "gpus", "What would do: Use"),
    ({"model": "openai-community/gpt2", "max_model_len": 4096}, "max_model_len", "made for 1024 tokens"),
    ({"model": "acme/no-such-model"}, "model", "acme/no-such-model"),
    ({"gpu": "H100-80BG"}, "gpu", "H100-80GB"),
    ({"gpu_memory_gib": 24, "gpu": "L4"}, "gpu_memory_gib", "Say the card once"),
    ({"compute_capability": 9}, "compute_capability", "gpu_memory_gib"),
    ({"model_cache": "hf-cache", "mounts": {"hf-cache": "/x"}}, "model_cache", "among the mounts"),
    ({"model_cache": "hf-cache", "env": {"HF_HOME": "/x"}}, "model_cache", "HF_HOME"),
]


@pytest.mark.parametrize(("change", "key", "words"), WONT_START, ids=str)
def test_what_will_not_start_is_refused(
    change: dict[str, Any], key: str, words: str, provider: ProviderProcess
) -> None:
    failures = provider.check({**INPUTS, **change})
    assert key in failures
    assert words in failures[key]


def test_a_refusal_can_be_overridden_and_is_then_said(provider: ProviderProcess, stderr: Path) -> None:
    impossible = {**INPUTS, "model": "openai-community/gpt2", "max_model_len": 4096, "allow_unverified": True}
    assert provider.check(impossible) == {}
    assert "[chat-1] it won't start, says the verdict, and is created all the same" in stderr.read_text()


def test_what_is_not_known_yet_is_not_judged(provider: ProviderProcess) -> None:
    for key in ("model", "gpus", "max_model_len", "gpu"):
        assert provider.check({**INPUTS, "gpu": "L4", "model": "Qwen/Qwen2.5-72B-Instruct", key: UNKNOWN}) == {}


def test_a_hub_that_does_not_answer_is_a_warning(cluster_env: dict[str, str], tmp_path: Path) -> None:
    env = {**cluster_env, "HF_ENDPOINT": "http://127.0.0.1:9"}
    with ProviderProcess(VLLMModelSessionProvider(), env, stderr_path=tmp_path / "stderr") as provider:
        assert provider.check({**INPUTS, "gpu": "L4"}) == {}
        began = time.monotonic()
        assert provider.check({**INPUTS, "gpu": "L4", "session_name": "chat-2"}) == {}
        assert time.monotonic() - began < 3, "the silence is remembered"
    assert "[chat-1] not checked: " in (tmp_path / "stderr").read_text()


def test_the_facts_of_the_program_are_not_asked_for_again(provider: ProviderProcess, emulator: Emulator) -> None:
    provider.check({**INPUTS, "gpu": "L4"})
    before = len(emulator.hub_requests)
    provider.check({**INPUTS, "gpu": "L4", "session_name": "chat-2"})
    assert len(emulator.hub_requests) == before


def test_a_session_of_an_earlier_release_is_not_replaced(provider: ProviderProcess) -> None:
    """New inputs at their defaults are no change; those that the verdict goes by are recorded."""
    _, outs = provider.create(INPUTS)
    assert provider.diff(outs, {**INPUTS, "enforce_eager": False, "allow_unverified": False}) == ("none", [])
    assert provider.diff(outs, {**INPUTS, "gpu": "L4", "allow_unverified": True}) == ("unknown", [])
    assert provider.diff(outs, {**INPUTS, "enforce_eager": True}) == ("unknown", ["enforce_eager"])


def test_flags_of_the_batch_and_the_model_cache_arrive(provider: ProviderProcess, emulator: Emulator) -> None:
    flags = {"max_num_seqs": 16, "max_num_batched_tokens": 2048, "enforce_eager": True}
    provider.create({**INPUTS, **flags, "model_cache": "hf-cache"})
    (session,) = emulator.cluster.living()
    for word in ("--max-num-seqs=16", "--max-num-batched-tokens=2048", "--enforce-eager"):
        assert word in str(session.command).split()
    assert session.mounts == {"hf-cache": session.environ["HF_HOME"]}
