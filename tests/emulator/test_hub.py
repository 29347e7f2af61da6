"""The Hub stand-in, seen through the real huggingface_hub: the client does what it does with the real Hub.

Invariant: for each row of the Hub's error table the client raises the class the table names.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    BadRequestError,
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    NotASafetensorsRepoError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from emulator import Emulator
from emulator.hub.catalog import Repo, catalog
from emulator.hub.models import APPROVED, UNAPPROVED, hub
from emulator.hub.tensors import parameters

TINY = "backendai-vllm/tiny-llama"
GATED = "meta-llama/Llama-2-7b-chat-hf"
SHARDED = "Qwen/Qwen2.5-7B-Instruct-AWQ"

# the published numbers
PARAMETERS = {
    "openai-community/gpt2": 124_439_808,
    "microsoft/DialoGPT-medium": 354_823_168,
    "microsoft/DialoGPT-large": 774_030_080,
    "meta-llama/Llama-2-7b-chat-hf": 6_738_415_616,
    "meta-llama/Llama-2-13b-chat-hf": 13_015_864_320,
    "meta-llama/Llama-2-70b-chat-hf": 68_976_648_192,
    "lmsys/vicuna-13b-v1.5": 13_015_864_320,
    "mistralai/Mistral-7B-Instruct-v0.1": 7_241_732_096,
    "codellama/CodeLlama-13b-Instruct-hf": 13_016_028_160,
    "codellama/CodeLlama-34b-Instruct-hf": 33_743_970_304,
    "WizardLM/WizardCoder-15B-V1.0": 15_517_462_528,
    "Qwen/Qwen2.5-7B-Instruct": 7_615_616_512,
    "Qwen/Qwen2.5-7B-Instruct-AWQ": 7_615_616_512,
    "Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4": 7_615_616_512,
    "Qwen/Qwen2.5-14B-Instruct": 14_770_033_664,
    "Qwen/Qwen2.5-14B-Instruct-AWQ": 14_770_033_664,
    "Qwen/Qwen2.5-14B-Instruct-GPTQ-Int4": 14_770_033_664,
    "Qwen/Qwen2.5-72B-Instruct": 72_706_203_648,
    "Qwen/Qwen2.5-72B-Instruct-AWQ": 72_957_861_888,
    "Qwen/Qwen2.5-72B-Instruct-GPTQ-Int4": 72_957_861_888,
    TINY: 461_440,
}


@pytest.fixture(scope="module")
def endpoint(running_emulator: Emulator) -> str:
    return running_emulator.hub_endpoint


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    hub.reset()
    yield
    hub.reset()


def api(endpoint: str, token: str | bool = False) -> HfApi:
    return HfApi(endpoint=endpoint, token=token)


@pytest.mark.parametrize("repo", catalog().values(), ids=lambda repo: repo.id)
def test_parameter_counts_are_the_published_ones(repo: Repo) -> None:
    assert parameters(repo.config) == PARAMETERS[repo.id]


# sizes of the real files, in 10^9 bytes
@pytest.mark.parametrize(
    ("repo_id", "gigabytes", "shards"),
    [
        ("openai-community/gpt2", 0.548, 1),
        ("Qwen/Qwen2.5-7B-Instruct", 15.23, 4),
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", 5.57, 2),
        ("Qwen/Qwen2.5-72B-Instruct-AWQ", 41.6, 11),
        ("lmsys/vicuna-13b-v1.5", 26.03, 3),
        ("WizardLM/WizardCoder-15B-V1.0", 31.04, 1),
    ],
)
def test_weight_files_have_the_size_of_the_real_ones(
    endpoint: str, repo_id: str, gigabytes: float, shards: int
) -> None:
    siblings = api(endpoint).model_info(repo_id, files_metadata=True).siblings or []
    sizes = [sibling.size or 0 for sibling in siblings if sibling.rfilename.endswith((".safetensors", ".bin"))]
    assert len(sizes) == shards
    assert sum(sizes) / 1e9 == pytest.approx(gigabytes, rel=0.005)


def test_model_info_of_a_gated_repo_needs_no_token(endpoint: str) -> None:
    info = api(endpoint).model_info(GATED)
    assert info.gated == "manual"
    assert info.sha and len(info.sha) == 40
    assert info.safetensors and info.safetensors.parameters == {"F16": PARAMETERS[GATED]}
    assert info.config == {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}


def test_safetensors_totals_count_buffers_and_packed_words(endpoint: str) -> None:
    gpt2 = api(endpoint).model_info("openai-community/gpt2").safetensors
    awq = api(endpoint).model_info(SHARDED).safetensors
    assert gpt2 and gpt2.total == 137_022_720
    assert awq and awq.total < PARAMETERS[SHARDED] / 3
    assert set(awq.parameters) == {"I32", "F16"}


def test_a_bin_only_repo_has_no_safetensors(endpoint: str) -> None:
    assert api(endpoint).model_info("lmsys/vicuna-13b-v1.5").safetensors is None
    with pytest.raises(NotASafetensorsRepoError):
        api(endpoint).get_safetensors_metadata("lmsys/vicuna-13b-v1.5")


def test_expand_gives_what_was_asked_for_and_no_more(endpoint: str) -> None:
    info = api(endpoint).model_info(GATED, expand=["safetensors", "sha", "gated"])
    assert info.id == GATED and info.gated == "manual" and info.sha and info.safetensors
    assert info.siblings is None and info.config is None
    with pytest.raises(BadRequestError):
        api(endpoint).model_info(GATED, expand=["nonsense"])  # type: ignore[list-item]


def test_revision_is_main_or_the_commit(endpoint: str) -> None:
    sha = api(endpoint).model_info(TINY).sha
    assert api(endpoint).model_info(TINY, revision=sha).sha == sha


def test_a_renamed_repo_redirects(endpoint: str) -> None:
    assert api(endpoint).model_info("gpt2").id == "openai-community/gpt2"
    answer = httpx.get(f"{endpoint}/gpt2/resolve/main/config.json")
    assert (answer.status_code, answer.headers["location"]) == (
        307,
        "/openai-community/gpt2/resolve/main/config.json",
    )


@pytest.mark.parametrize("repo_id", [TINY, "openai-community/gpt2", SHARDED])
def test_safetensors_headers_add_up_to_the_files(endpoint: str, repo_id: str) -> None:
    metadata = api(endpoint).get_safetensors_metadata(repo_id)
    info = api(endpoint).model_info(repo_id, files_metadata=True)
    sizes = {sibling.rfilename: sibling.size for sibling in info.siblings or []}
    stored = sum(metadata.parameter_count.values())
    assert info.safetensors and stored == info.safetensors.total
    for name, file in metadata.files_metadata.items():
        last = max(tensor.data_offsets[1] for tensor in file.tensors.values())
        with httpx.stream("HEAD", f"{endpoint}/{repo_id}/resolve/main/{name}") as head:
            assert int(head.headers["content-length"]) == sizes[name]
        length = httpx.get(f"{endpoint}/{repo_id}/resolve/main/{name}", headers={"Range": "bytes=0-7"}).content
        assert 8 + int.from_bytes(length, "little") + last == sizes[name]


def test_packed_layers_have_the_shapes_of_their_method(endpoint: str) -> None:
    awq = api(endpoint).get_safetensors_metadata(SHARDED)
    gptq = api(endpoint).get_safetensors_metadata("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4")

    def shape(metadata: Any, name: str) -> list[int]:
        file = metadata.files_metadata[metadata.weight_map[f"model.layers.0.self_attn.k_proj.{name}"]]
        return list(file.tensors[f"model.layers.0.self_attn.k_proj.{name}"].shape)

    assert [shape(awq, name) for name in ("qweight", "qzeros", "scales", "bias")] == [
        [3584, 64],
        [28, 64],
        [28, 512],
        [512],
    ]
    assert [shape(gptq, name) for name in ("qweight", "qzeros", "scales", "g_idx")] == [
        [448, 512],
        [28, 64],
        [28, 512],
        [3584],
    ]


@pytest.mark.parametrize(
    ("header", "status", "length", "content_range"),
    [
        ("bytes=0-99", 206, 100, "bytes 0-99/{size}"),
        ("bytes=100-", 206, -100, "bytes 100-{last}/{size}"),
        ("bytes=-16", 206, 16, "bytes {tail}-{last}/{size}"),
        ("bytes=999999999-", 416, 0, "bytes */{size}"),
    ],
)
def test_ranges(endpoint: str, header: str, status: int, length: int, content_range: str) -> None:
    url = f"{endpoint}/{TINY}/resolve/main/model.safetensors"
    size = int(httpx.head(url).headers["content-length"])
    answer = httpx.get(url, headers={"Range": header})
    assert answer.status_code == status
    assert len(answer.content) == (length if length >= 0 else size + length)
    assert answer.headers["content-range"] == content_range.format(size=size, last=size - 1, tail=size - 16)


def test_a_long_body_is_made_as_it_is_sent(endpoint: str) -> None:
    url = f"{endpoint}/{SHARDED}/resolve/main/model-00001-of-00002.safetensors"
    with httpx.stream("GET", url) as answer:
        assert int(answer.headers["content-length"]) > 3.9e9
        assert next(answer.iter_raw(2**16))[8:9] == b"{"
    part = httpx.get(url, headers={"Range": "bytes=4-5000003"}).content
    whole_head = httpx.get(url, headers={"Range": "bytes=0-5000003"}).content
    assert part == whole_head[4:] and len(part) == 5_000_000
    assert set(part[200_000:]) == {0}
    peak_kib = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
    assert peak_kib < 1_000_000


def test_config_and_template_download(endpoint: str, tmp_path: Path) -> None:
    path = api(endpoint).hf_hub_download(TINY, "config.json", cache_dir=tmp_path)
    assert json.loads(Path(path).read_text())["head_dim"] == 64
    path = api(endpoint).hf_hub_download(TINY, "tokenizer_config.json", cache_dir=tmp_path)
    assert "messages" in json.loads(Path(path).read_text())["chat_template"]


@pytest.mark.parametrize("repo_id", ["openai-community/gpt2", "WizardLM/WizardCoder-15B-V1.0"])
def test_some_models_have_no_chat_template(endpoint: str, repo_id: str) -> None:
    config = httpx.get(f"{endpoint}/{repo_id}/resolve/main/tokenizer_config.json").json()
    assert "chat_template" not in config


@pytest.mark.parametrize("repo_id", [TINY, GATED])
def test_an_approved_token_opens_everything(endpoint: str, repo_id: str, tmp_path: Path) -> None:
    mine = api(endpoint, APPROVED)
    mine.auth_check(repo_id)
    assert mine.hf_hub_download(repo_id, "config.json", cache_dir=tmp_path)
    assert mine.whoami()["name"] == "standin-approved"


def test_the_tree_lists_every_file_with_its_size(endpoint: str) -> None:
    listed = {entry.path: entry.size for entry in api(endpoint).list_repo_tree(GATED)}  # type: ignore[union-attr]
    info = api(endpoint).model_info(GATED, files_metadata=True)
    assert listed == {sibling.rfilename: sibling.size for sibling in info.siblings or []}


def test_requests_are_counted(endpoint: str) -> None:
    api(endpoint).model_info(TINY)
    api(endpoint).model_info(TINY)
    assert hub.requests == {f"GET /api/models/{TINY}": 2}


def _set(repo_id: str, **changes: Any) -> None:
    hub.repos[repo_id] = replace(hub.repos[repo_id], **changes)


Call = Callable[[HfApi, Path], object]


def info(hf: HfApi, cache: Path) -> object:
    return hf.model_info(TINY)


def config_of(repo_id: str, file: str = "config.json", revision: str = "main") -> Call:
    return lambda hf, cache: hf.hf_hub_download(repo_id, file, revision=revision, cache_dir=cache)


@pytest.mark.parametrize(
    ("call", "token", "setting", "error", "status", "said"),
    [
        (
            lambda hf, _: hf.model_info("a/missing"),
            False,
            None,
            RepositoryNotFoundError,
            401,
            "Invalid username",
        ),
        (
            lambda hf, _: hf.model_info("a/missing"),
            APPROVED,
            None,
            RepositoryNotFoundError,
            404,
            "Repository Not Found",
        ),
        (
            info,
            UNAPPROVED,
            lambda: _set(TINY, private=True),
            RepositoryNotFoundError,
            404,
            "Repository Not Found",
        ),
        (lambda hf, _: hf.auth_check(GATED), False, None, GatedRepoError, 401, "Please log in."),
        (
            lambda hf, _: hf.auth_check(GATED),
            UNAPPROVED,
            None,
            GatedRepoError,
            403,
            "not in the authorized list",
        ),
        (config_of(GATED), False, None, GatedRepoError, 401, "is restricted"),
        (config_of(GATED), UNAPPROVED, None, GatedRepoError, 403, "to ask for access."),
        (lambda hf, _: hf.get_safetensors_metadata(GATED), False, None, GatedRepoError, 401, "is restricted"),
        (
            lambda hf, _: hf.model_info(TINY, revision="nope"),
            False,
            None,
            RevisionNotFoundError,
            404,
            "Invalid rev id: nope",
        ),
        (config_of(TINY, revision="nope"), False, None, RevisionNotFoundError, 404, "Invalid rev id: nope"),
        (config_of(TINY, file="nothing.json"), False, None, RemoteEntryNotFoundError, 404, "Entry Not Found"),
        (info, "hf_wrong", None, HfHubHTTPError, 401, "Invalid credentials in Authorization header"),
        (info, False, lambda: _set(TINY, disabled=True), DisabledRepoError, 403, "is disabled"),
        (
            info,
            False,
            lambda: setattr(hub, "rate_limited", 55),
            HfHubHTTPError,
            429,
            "Retry after 55 seconds",
        ),
        (info, False, lambda: setattr(hub, "failing", 503), HfHubHTTPError, 503, "Internal Error"),
    ],
)
def test_errors_raise_the_class_of_the_table(
    *,
    endpoint: str,
    tmp_path: Path,
    call: Call,
    token: str | bool,
    setting: Callable[[], None] | None,
    error: type[HfHubHTTPError],
    status: int,
    said: str,
) -> None:
    if setting:
        setting()
    with pytest.raises(HfHubHTTPError) as caught:
        call(api(endpoint, token), tmp_path)
    assert type(caught.value) is error
    assert caught.value.response.status_code == status
    assert said in str(caught.value)
