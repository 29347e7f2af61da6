"""The invariant: two requests tell the tensors of any repo to the byte; what is missing is made up for or said."""

from typing import Any

import pytest

from serving.hub_tensors import read_tensors
from serving.weight_families import family_tensors

from .checkpoints import FakeRepo, files, named, size
from .hub_double import safetensors
from .model_configs import CONFIGS

LLAMA = CONFIGS["meta-llama/Llama-3.1-8B-Instruct"]
SHARDED = (
    ("meta-llama/Llama-3.1-8B-Instruct", 4),
    ("Qwen/Qwen2.5-72B-Instruct-AWQ", 11),
    ("TheBloke/Llama-2-13B-chat-GPTQ", 2),
    ("mistralai/Mixtral-8x7B-Instruct-v0.1", 19),
    ("Qwen/Qwen3-30B-A3B", 16),
    ("deepseek-ai/DeepSeek-V2-Lite", 4),
    ("deepseek-ai/DeepSeek-V3", 163),
    ("openai/gpt-oss-20b", 3),
    ("google/gemma-3-12b-it", 5),
    ("ai21labs/AI21-Jamba-1.5-Mini", 21),
    ("Qwen/Qwen3-Next-80B-A3B-Instruct", 41),
)


@pytest.mark.parametrize(("repo", "shards"), SHARDED)
@pytest.mark.parametrize("total", [True, False])
def test_one_header_of_a_sharded_repo_tells_all(repo: str, shards: int, total: bool) -> None:
    config = CONFIGS[repo]
    tensors = named(config)
    fake = FakeRepo(files(tensors, shards, total=total))
    read = read_tensors(fake, list(fake.contents), config, {})
    assert fake.asked[0] == "model.safetensors.index.json"
    assert len(fake.asked) == 2
    assert (read.complete, read.source) == (True, "headers")
    assert read.total_bytes == size(tensors)
    assert len(read.stored) < 60


@pytest.mark.parametrize("repo", ["openai-community/gpt2", "tiiuae/falcon-7b", "Qwen/Qwen2.5-0.5B-Instruct"])
def test_one_file_is_its_header(repo: str) -> None:
    tensors = named(CONFIGS[repo])
    fake = FakeRepo(files(tensors))
    read = read_tensors(fake, ["config.json", "model.safetensors"], CONFIGS[repo], {})
    assert read.complete and read.total_bytes == size(tensors)
    assert set(read.stored) == {*(family_tensors(CONFIGS[repo]) or ())}


@pytest.mark.parametrize(("padding", "asked"), [(0, 1), (200_000, 2)])
def test_a_long_header_costs_a_second_request(padding: int, asked: int) -> None:
    tensors = named(CONFIGS["openai-community/gpt2"])
    fake = FakeRepo({"model.safetensors": safetensors(tensors, padding)})
    read = read_tensors(fake, ["model.safetensors"], CONFIGS["openai-community/gpt2"], {})
    assert fake.asked == ["model.safetensors"] * asked
    assert read.complete and read.total_bytes == size(tensors)


def test_a_header_that_no_request_is_left_for_is_filled_from_the_config() -> None:
    tensors = named(LLAMA)
    fake = FakeRepo({"model.safetensors": safetensors(tensors, 300_000)}, left=1)
    read = read_tensors(fake, ["model.safetensors"], LLAMA, {})
    assert sum(one.size for one in read.stored) == size(tensors)


def test_files_without_an_index_are_filled_from_the_config() -> None:
    tensors = named(LLAMA)
    contents = {name: content for name, content in files(tensors, 4).items() if name.startswith("model-")}
    fake = FakeRepo(contents)
    read = read_tensors(fake, list(contents), LLAMA, {"BF16": size(tensors) // 2})
    assert sum(one.size for one in read.stored) == size(tensors) == read.total_bytes
    assert len(fake.asked) == 1


def test_a_hub_that_lists_no_files_is_probed() -> None:
    sharded, single = files(named(LLAMA), 4), files(named(CONFIGS["openai-community/gpt2"]))
    assert read_tensors(FakeRepo(sharded), [], LLAMA, {}).complete
    fake = FakeRepo(single)
    assert read_tensors(fake, [], CONFIGS["openai-community/gpt2"], {}).complete
    assert fake.asked == ["model.safetensors.index.json", "model.safetensors"]


def test_an_extrapolation_that_misses_the_total_is_seen() -> None:
    tensors = named(LLAMA)
    odd = {name: (kind, [2 * s[0], *s[1:]] if ".30." in name else s) for name, (kind, s) in tensors.items()}
    fake = FakeRepo(files(odd, 4))
    read = read_tensors(fake, list(fake.contents), LLAMA, {})
    assert not read.complete
    assert read.total_bytes == size(odd)


def test_the_total_of_the_repo_helps_where_the_index_has_a_wrong_one() -> None:
    tensors = named(LLAMA)
    contents = files(tensors, 4)
    contents["model.safetensors.index.json"] = contents["model.safetensors.index.json"].replace(
        str(size(tensors)).encode(), b"17"
    )
    read = read_tensors(FakeRepo(contents), list(contents), LLAMA, {"BF16": size(tensors) // 2})
    assert read.complete and read.total_bytes == size(tensors)


def test_what_is_stored_wins_over_what_the_config_says() -> None:
    config = CONFIGS["Qwen/Qwen2.5-7B-Instruct"] | {"torch_dtype": "bfloat16"}
    stored = named(config | {"torch_dtype": "float32"})
    fake = FakeRepo(files(stored, 7))
    assert read_tensors(fake, list(fake.contents), config, {}).total_bytes == size(stored)


@pytest.mark.parametrize("index", [True, False])
def test_a_bin_repo_is_known_by_its_sizes(index: bool) -> None:
    config = CONFIGS["lmsys/vicuna-13b-v1.5"]
    names = [f"pytorch_model-0000{n}-of-00003.bin" for n in (1, 2, 3)]
    contents: dict[str, bytes] = {name: b"PK" for name in names}
    if index:
        made = files(named(config), 3)["model.safetensors.index.json"]
        contents["pytorch_model.bin.index.json"] = made
    fake = FakeRepo(contents, file_sizes=dict(zip(names, (9_948_728_430, 9_904_165_024, 6_178_983_625), strict=True)))
    read = read_tensors(fake, [*contents, "training_args.bin"], config, {})
    assert fake.asked == ["pytorch_model.bin.index.json", "sizes"][not index :]
    assert read.largest_file == 9_948_728_430
    assert read.total_bytes == pytest.approx(26_031_738_880, rel=1e-4)
    assert read.source == ("index" if index else "files")


@pytest.mark.parametrize("content", [b"null", b"<html>", b""])
@pytest.mark.parametrize("parameters", [{}, {"BF16": 8_030_261_248}])
def test_a_file_that_is_no_safetensors_leaves_the_totals(content: bytes, parameters: dict[str, int]) -> None:
    read = read_tensors(FakeRepo({"model.safetensors": content}), ["model.safetensors"], LLAMA, parameters)
    assert (read.stored, read.complete) == ((), False)
    assert read.total_bytes == 2 * sum(parameters.values())


def test_nothing_is_asked_of_a_repo_without_weights() -> None:
    fake = FakeRepo({})
    read = read_tensors(fake, ["config.json", "README.md"], LLAMA, {})
    assert fake.asked == [] and read.total_bytes == 0


def test_gguf_files_have_a_size() -> None:
    sizes: dict[str, Any] = {"a-Q4_K_M.gguf": 4_920_739_232}
    read = read_tensors(FakeRepo({}, file_sizes=sizes), list(sizes), {}, {})
    assert (read.total_bytes, read.stored) == (4_920_739_232, ())
