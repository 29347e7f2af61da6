"""The invariant: a config alone gives the parameters that are published for the model."""

import pytest

from serving.weight_families import family_tensors, stored_dtype, tied

from .model_configs import CONFIGS

# Parameters as the Hub counts them (elements as stored: packed words are counted as words), buffers left out.
PARAMETERS = {
    "openai-community/gpt2": 124_439_808,
    "microsoft/DialoGPT-medium": 354_823_168,
    "microsoft/DialoGPT-large": 774_030_080,
    "meta-llama/Llama-2-7b-chat-hf": 6_738_415_616,
    "meta-llama/Llama-2-13b-chat-hf": 13_015_864_320,
    "meta-llama/Llama-2-70b-chat-hf": 68_976_648_192,
    "meta-llama/Llama-3.1-8B-Instruct": 8_030_261_248,
    "meta-llama/Llama-3.1-70B-Instruct": 70_553_706_496,
    "mistralai/Mistral-7B-Instruct-v0.1": 7_241_732_096,
    "mistralai/Mistral-7B-Instruct-v0.3": 7_248_023_552,
    "mistralai/Mixtral-8x7B-Instruct-v0.1": 46_702_792_704,
    "codellama/CodeLlama-13b-Instruct-hf": 13_016_028_160,
    "codellama/CodeLlama-34b-Instruct-hf": 33_743_970_304,
    "WizardLM/WizardCoder-15B-V1.0": 15_517_462_528,
    "Qwen/Qwen2.5-0.5B-Instruct": 494_032_768,
    "Qwen/Qwen2.5-7B-Instruct": 7_615_616_512,
    "Qwen/Qwen2.5-14B-Instruct": 14_770_033_664,
    "Qwen/Qwen2.5-32B-Instruct": 32_763_876_352,
    "Qwen/Qwen2.5-72B-Instruct": 72_706_203_648,
    "Qwen/Qwen3-8B": 8_190_735_360,
    "Qwen/Qwen3-30B-A3B": 30_532_122_624,
    "google/gemma-2-9b-it": 9_241_705_984,
    "microsoft/phi-4": 14_659_507_200,
    "microsoft/Phi-3-mini-4k-instruct": 3_821_079_552,
    "deepseek-ai/DeepSeek-V2-Lite": 15_706_484_224,
    "tiiuae/falcon-7b": 6_921_720_704,
    "ai21labs/AI21-Jamba-1.5-Mini": 51_570_323_328,
    "Qwen/Qwen3-Next-80B-A3B-Instruct": 79_674_391_296,
}


@pytest.mark.parametrize(("repo", "parameters"), PARAMETERS.items())
def test_parameters_are_the_published_ones(repo: str, parameters: int) -> None:
    stored = family_tensors(CONFIGS[repo])
    assert stored is not None
    assert sum(one.elements * one.number for one in stored if len(one.shape) != 4) == parameters


@pytest.mark.parametrize(
    ("repo", "gigabytes"),
    [
        ("openai-community/gpt2", 0.548),  # float32, and the causal masks
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", 5.57),
        ("Qwen/Qwen2.5-72B-Instruct-AWQ", 41.6),
        ("openai/gpt-oss-20b", 13.76),
        ("google/gemma-3-12b-it", 24.37),
        ("deepseek-ai/DeepSeek-V3", 673.1),  # 688.6 with the head for multi-token prediction
    ],
)
def test_files_have_the_size_of_the_real_ones(repo: str, gigabytes: float) -> None:
    assert sum(one.size for one in family_tensors(CONFIGS[repo]) or ()) / 1e9 == pytest.approx(gigabytes, rel=0.002)


def test_a_config_that_lacks_a_size_gives_nothing() -> None:
    config = dict(CONFIGS["Qwen/Qwen3-8B"])
    del config["vocab_size"]
    assert family_tensors(config) is None
    assert family_tensors({}) is None
    assert family_tensors({"model_type": "new", "hidden_size": 8, "num_hidden_layers": 2, "vocab_size": 9}) is None


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "llama"}, None),
        ({"model_type": "llama", "tie_word_embeddings": True}, True),
        ({"model_type": "gemma2"}, True),
        ({"model_type": "gemma2", "tie_word_embeddings": False}, False),
        ({"model_type": "gemma3", "text_config": {"model_type": "gemma3_text"}}, True),
        ({"model_type": "x", "tie_word_embeddings": True, "text_config": {"model_type": "y"}}, True),
    ],
)
def test_tied_embeddings(config: dict[str, object], expected: bool | None) -> None:
    assert tied(config) is expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, "F32"),
        ({"torch_dtype": "float16"}, "F16"),
        ({"dtype": "bfloat16"}, "BF16"),
        ({"dtype": "torch.float32"}, "F32"),
    ],
)
def test_the_dtype_of_the_files(config: dict[str, object], expected: str) -> None:
    assert stored_dtype(config) == expected
