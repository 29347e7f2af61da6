"""The invariant: whatever the Hub answers becomes facts or one of our errors, in at most four requests.

No token is ever in a text.
"""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from serving import (
    GatedModel,
    HubUnreachable,
    InvalidHubToken,
    ModelDisabled,
    ModelNotFound,
    RevisionNotFound,
    ServingError,
    fetch,
)
from serving.hub import REQUESTS, TRIES

from .hub_double import APPROVED, LLAMA, SHA, UNAPPROVED, Hub, Repo, error, rate_limited, safetensors


def test_facts_of_an_open_model(hub: Hub) -> None:
    facts = fetch("org/open")
    assert (facts.repo_id, facts.sha, facts.gated, facts.private, facts.disabled) == (
        "org/open",
        SHA,
        False,
        False,
        False,
    )
    assert facts.config == LLAMA
    assert (facts.architectures, facts.model_type) == (("LlamaForCausalLM",), "llama")
    assert facts.quantization is None
    assert (facts.has_safetensors, facts.has_gguf_only, facts.is_adapter, facts.chat_template) == (
        True,
        False,
        False,
        True,
    )
    assert hub.paths == [
        "/api/models/org/open",
        f"/org/open/resolve/{SHA}/config.json",
        f"/org/open/resolve/{SHA}/model.safetensors",
        f"/org/open/resolve/{SHA}/tokenizer_config.json",
    ]


def test_quantization_as_the_checkpoint_says_it(hub: Hub) -> None:
    quantization = fetch("org/gptq").quantization
    assert quantization is not None
    assert quantization.model_dump() == {
        "method": "gptq",
        "bits": 4,
        "group_size": 128,
        "desc_act": False,
        "in_config": True,
    }
    hub.repos["org/file"] = Repo(files={"quant_config.json": None, "model.safetensors": None})
    assert (fetch("org/file").quantization or quantization).method == "awq"


@pytest.mark.parametrize(
    ("repo", "expected"),
    [
        (Repo(files={"a.gguf": None}, config=None), {"has_gguf_only": True, "has_safetensors": False}),
        (
            Repo(files={"adapter_config.json": None, "adapter_model.safetensors": None}, config=None),
            {"is_adapter": True},
        ),
        (Repo(files={"pytorch_model.bin": None, "training_args.bin": None}), {"has_safetensors": False}),
        (Repo(files={"original/x.safetensors": None, "model.bin": None}), {"has_safetensors": False}),
        (Repo(template=False), {"chat_template": False}),
        (Repo(template=False, files={"chat_template.jinja": None}), {"chat_template": True}),
    ],
)
def test_what_is_in_the_repo(hub: Hub, repo: Repo, expected: dict[str, Any]) -> None:
    hub.repos["org/it"] = repo
    facts = fetch("org/it")
    assert {key: getattr(facts, key) for key in expected} == expected
    assert len(hub.requests) <= REQUESTS


def test_a_renamed_model_gets_its_present_name(hub: Hub) -> None:
    assert fetch("old-name").repo_id == "org/open"


def test_a_renamed_model_takes_no_more_requests(hub: Hub) -> None:
    hub.repos["org/open"] = one_layer()
    assert fetch("old-name").contents.tensors.stored
    assert len(hub.requests) == REQUESTS


def test_a_revision_is_asked_for_and_pinned(hub: Hub) -> None:
    assert fetch("org/open", "main").sha == SHA
    assert hub.paths[0] == "/api/models/org/open/revision/main"


NotFoundCase = tuple[str, str | None, str | None, type[ServingError], str]
CASES: list[NotFoundCase] = [
    ("org/none", None, None, ModelNotFound, "set hf_token"),
    ("org/none", None, APPROVED, ModelNotFound, "Check the name."),
    ("org/private", None, UNAPPROVED, ModelNotFound, "with this token"),
    ("org/open", "nope", None, RevisionNotFound, "'nope'"),
    ("org/gated", None, None, GatedModel, "no Hub token"),
    ("org/gated", None, UNAPPROVED, GatedModel, "no access"),
    ("org/disabled", None, None, ModelDisabled, "disabled"),
    ("org/open", None, "hf_wrong_token", InvalidHubToken, "doesn't know"),
    ("not a repo", None, None, ModelNotFound, "not a repo"),
]


@pytest.mark.parametrize(("repo", "revision", "token", "kind", "text"), CASES)
def test_each_refusal_has_its_error(
    *,
    hub: Hub,
    naps: list[float],
    repo: str,
    revision: str | None,
    token: str | None,
    kind: type[ServingError],
    text: str,
) -> None:
    with pytest.raises(ServingError) as caught:
        fetch(repo, revision, token)
    assert type(caught.value) is kind
    assert text in str(caught.value)
    assert caught.value.cure
    assert token is None or token not in str(caught.value)
    assert naps == [], "a refusal isn't tried again"


def test_the_reason_of_a_gate(hub: Hub) -> None:
    reasons = []
    for token in (None, UNAPPROVED):
        with pytest.raises(GatedModel) as caught:
            fetch("org/gated", token=token)
        reasons.append(caught.value.reason)
    assert reasons == ["no-token", "not-approved"]
    assert fetch("org/gated", token=APPROVED).gated == "manual"


def test_a_gated_repo_without_config_is_still_asked_for_access(hub: Hub) -> None:
    hub.repos["org/gguf"] = Repo(config=None, gated="auto", files={"a.gguf": None})
    with pytest.raises(GatedModel):
        fetch("org/gguf", token=UNAPPROVED)
    assert hub.paths[-1] == "/api/models/org/gguf/auth-check"
    assert fetch("org/gguf", token=APPROVED).has_gguf_only


def test_a_token_that_may_not_read_is_told_from_a_gate(hub: Hub) -> None:
    hub.always = error(403, None, "fine-grained token lacks a permission")
    with pytest.raises(InvalidHubToken, match="may not read"):
        fetch("org/open", token=APPROVED)


def test_without_a_token_nobody_is_asked_as_this_machine(hub: Hub) -> None:
    fetch("org/open")
    assert not any("authorization" in request.headers for request in hub.requests)
    fetch("org/private", token=APPROVED)
    assert hub.requests[-1].headers["authorization"] == f"Bearer {APPROVED}"


@pytest.mark.parametrize(
    "fault",
    [
        httpx.Response(500),
        httpx.Response(503),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("cut"),
    ],
)
def test_passing_faults_are_tried_again(hub: Hub, naps: list[float], fault: httpx.Response | Exception) -> None:
    hub.faults = [fault, fault]
    assert fetch("org/open").sha == SHA
    assert naps == [0.5, 1.0]


def test_the_rate_limit_says_how_long_to_wait(hub: Hub, naps: list[float]) -> None:
    hub.faults = [rate_limited(3)]
    assert fetch("org/open").sha == SHA
    assert naps == [3.0]


def test_a_wait_beyond_the_deadline_is_not_begun(hub: Hub, naps: list[float]) -> None:
    hub.always = rate_limited(55)
    with pytest.raises(HubUnreachable, match="55"):
        fetch("org/open", deadline=20)
    assert naps == []
    assert len(hub.requests) == 1


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (httpx.Response(502), "it answers 502"),
        (httpx.ConnectError("x"), "no connection"),
        (httpx.ReadTimeout("x"), "no answer in time"),
    ],
)
def test_lasting_faults_end_as_unreachable(hub: Hub, naps: list[float], fault: Any, text: str) -> None:
    hub.always = fault
    with pytest.raises(HubUnreachable, match=text):
        fetch("org/open")
    assert len(hub.requests) == TRIES
    assert len(naps) == TRIES - 1


@pytest.mark.parametrize("body", ["<html>", "[]", '{"id": "org/open"}', "{}"])
def test_what_is_no_hub_is_unreachable(hub: Hub, body: str) -> None:
    hub.always = httpx.Response(200, content=body)
    with pytest.raises(HubUnreachable):
        fetch("org/open")


def test_a_config_that_is_no_object_is_unreachable(hub: Hub) -> None:
    hub.repos["org/odd"] = Repo(config=None, files={"config.json": [1], "model.safetensors": None})
    with pytest.raises(HubUnreachable, match=r"config\.json"):
        fetch("org/odd")


def test_offline_mode_is_said(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import OfflineModeIsEnabled

    hub.always = OfflineModeIsEnabled("offline")
    with pytest.raises(HubUnreachable, match="HF_HUB_OFFLINE"):
        fetch("org/open")


@pytest.mark.parametrize(
    "ask",
    [
        lambda: fetch("org/open", endpoint="http://hub.example:8080/"),
        lambda: fetch("org/open"),
    ],
)
def test_the_endpoint_is_the_one_asked_for(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, ask: Callable[[], object]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example:8080")
    ask()
    assert {request.url.netloc for request in hub.requests} == {b"hub.example:8080"}


def one_layer(model: str = "model.safetensors") -> Repo:
    header = {f"model.layers.{n}.input_layernorm.weight": ("F16", [4096]) for n in range(32)}
    return Repo(files={model: safetensors(header, 150_000)}, parameters={"F16": 32 * 4096})


SHARDED = {
    "model.safetensors.index.json": {
        "metadata": {"total_size": 2 * 4096 * 2},
        "weight_map": {"model.norm.weight": "b.safetensors", "model.layers.0.input_layernorm.weight": "a.safetensors"},
    },
    "a.safetensors": safetensors({"model.layers.0.input_layernorm.weight": ("F16", [4096])}),
    "b.safetensors": safetensors({"model.norm.weight": ("F16", [4096])}),
}
QUANTIZE = {"bits": 4, "group_size": 32, "desc_act": True}


@pytest.mark.parametrize(
    ("repo", "asked"),
    [
        (Repo(), ["config.json", "model.safetensors", "tokenizer_config.json"]),
        (one_layer(), ["config.json", "model.safetensors", "model.safetensors"]),
        (Repo(files=SHARDED), ["config.json", "model.safetensors.index.json", "b.safetensors"]),
        (Repo(files={"pytorch_model.bin": b"PK"}), ["config.json", "?blobs=true", "tokenizer_config.json"]),
        (
            Repo(files={"pytorch_model.bin": b"PK", "pytorch_model.bin.index.json": {"weight_map": {}}}),
            ["config.json", "pytorch_model.bin.index.json", "?blobs=true"],
        ),
        (
            Repo(files={"model.safetensors": None, "quantize_config.json": QUANTIZE}),
            ["config.json", "model.safetensors", "quantize_config.json"],
        ),
        (Repo(files={"a.gguf": b"GGUF"}, config=None), ["?blobs=true"]),
        (Repo(listed=False), ["config.json", "model.safetensors.index.json", "model.safetensors"]),
        (
            Repo(listed=False, config=None, files={}),
            ["config.json", "model.safetensors.index.json", "model.safetensors"],
        ),
    ],
)
def test_a_cold_model_takes_four_requests_at_most_and_a_warm_one_none(hub: Hub, repo: Repo, asked: list[str]) -> None:
    hub.repos["org/it"] = repo
    cold = fetch("org/it")
    said = [
        r.url.path.rpartition("/")[2] if "/resolve/" in r.url.path else f"?{r.url.query.decode()}" for r in hub.requests
    ]
    assert said[1:] == asked
    assert len(hub.requests) <= REQUESTS
    hub.requests.clear()
    assert fetch("org/it") == cold
    assert hub.requests == []


def test_tensors_are_in_the_facts(hub: Hub) -> None:
    hub.repos["org/it"] = one_layer()
    tensors = fetch("org/it").contents.tensors
    assert tensors.complete and tensors.total_bytes == 32 * 4096 * 2
    assert [tuple(one) for one in tensors.stored] == [("model.layers.*.input_layernorm.weight", "F16", (4096,), 32, 32)]


def test_a_config_that_is_not_listed_is_found(hub: Hub) -> None:
    repo = one_layer()
    hub.repos["org/it"] = repo
    hub.unlisted = {"config.json"}
    assert fetch("org/it").config == LLAMA


def test_only_the_header_is_fetched(hub: Hub) -> None:
    hub.repos["org/it"] = Repo(files={"model.safetensors": safetensors({"a": ("F16", [4])}) + b"\0" * 500_000})
    assert fetch("org/it").contents.tensors.complete
    asked = {request.headers["range"] for request in hub.requests if "range" in request.headers}
    assert asked == {"bytes=0-99999"}


def test_a_server_without_ranges_does_as_well(hub: Hub) -> None:
    hub.repos["org/ranges"] = one_layer()
    hub.repos["org/whole"] = one_layer()
    hub.repos["org/whole"].ranges = False
    assert fetch("org/whole").contents == fetch("org/ranges").contents


def test_the_file_that_says_how_it_is_quantized(hub: Hub) -> None:
    hub.repos["org/it"] = Repo(files={"model.safetensors": None, "quantize_config.json": QUANTIZE})
    quantization = fetch("org/it").quantization
    assert quantization is not None
    assert quantization.model_dump() == {
        "method": "gptq",
        "bits": 4,
        "group_size": 32,
        "desc_act": True,
        "in_config": False,
    }


def test_facts_without_a_header_that_could_not_be_had_now_are_not_kept(hub: Hub, naps: list[float]) -> None:
    hub.repos["org/it"] = one_layer()
    hub.failing = "model.safetensors"
    assert fetch("org/it").contents.tensors.stored == ()
    assert len(naps) == TRIES - 1
    hub.failing = None
    assert fetch("org/it").contents.tensors.complete
