"""The invariant: the weights on one GPU are what vLLM's log says, within 1 %, and follow from first principles."""

import time
from typing import Any

import pytest

from serving.estimates import GIB
from serving.tensors import Stored, Tensors
from serving.weights import Weights, weights_of

from .checkpoints import told
from .engines import A100, B200, engine, facts
from .model_configs import AWQ, CONFIGS, GPTQ, Config


def weights(repo: str | Config, **changes: Any) -> Weights:
    """From what the Hub would tell of the repo's tensors."""
    config = CONFIGS[repo] if isinstance(repo, str) else repo
    found = weights_of(facts(config, told(config)), engine(**changes))
    assert found is not None
    return found


# Measured on one H200 with vLLM 0.32.0 and dummy weights, TP 1: GiB as logged, and GiB of the tensors alone.
MEASURED = [
    ("openai-community/gpt2", None, 0.2378, 0.2319),
    ("meta-llama/Llama-3.1-8B-Instruct", None, 15.0045, 14.9888),
    ("meta-llama/Llama-2-7b-chat-hf", None, 12.5523, 12.5523),
    ("TheBloke/Llama-2-7B-Chat-AWQ", "awq", 3.7447, 3.6939),
    ("TheBloke/Llama-2-7B-Chat-GPTQ", "gptq", 3.674, 3.6232),
    ("Qwen/Qwen2.5-7B-Instruct", None, 14.2897, 14.193),
    ("WizardLM/WizardCoder-15B-V1.0", None, 29.0071, 28.9667),
    ("mistralai/Mixtral-8x7B-Instruct-v0.1", None, 86.9986, 86.9985),
    ("meta-llama/Llama-2-7b-chat-hf", "fp8", 6.7086, 6.521),
    ("meta-llama/Llama-3.1-8B-Instruct", "fp8", 8.5123, 8.4888),
]


@pytest.mark.parametrize(("repo", "quantization", "logged", "bare"), MEASURED)
def test_weights_are_as_measured(repo: str, quantization: str | None, logged: float, bare: float) -> None:
    found = weights(repo, quantization=quantization)
    assert found.per_gpu.gib == pytest.approx(logged, rel=0.001)
    assert found.per_gpu.low / GIB == pytest.approx(bare, rel=0.0005)
    assert found.per_gpu.low <= found.per_gpu.likely <= found.per_gpu.high
    assert found.notes == ()


# From "Model loading took X GiB" of published logs.
PUBLISHED: list[tuple[str, dict[str, Any], float]] = [
    ("deepseek-ai/DeepSeek-V2-Lite", {"release": (0, 5)}, 29.3010),  # vllm-project/vllm#4650
    # vllm-project/vllm#15607: DeepSeek-Coder-V2-Lite, which has the same sizes
    ("deepseek-ai/DeepSeek-V2-Lite", {"release": (0, 8), "tensor_parallel_size": 4}, 7.3858),
]


@pytest.mark.parametrize(("repo", "changes", "logged"), PUBLISHED)
def test_weights_are_as_published(repo: str, changes: dict[str, Any], logged: float) -> None:
    assert weights(repo, **changes).per_gpu.gib == pytest.approx(logged, rel=0.002)


LLAMA = CONFIGS["meta-llama/Llama-3.1-8B-Instruct"]
ROPE = 131072 * 128 * 2


def matrices(tp: int, kv: int) -> int:
    """Elements of a layer of Llama-3.1-8B on one rank."""
    heads = (32 // tp + 2 * kv) * 128 * 4096 + 32 // tp * 128 * 4096
    return heads + 3 * 14336 // tp * 4096 + 2 * 4096


@pytest.mark.parametrize(("tp", "kv"), [(1, 8), (2, 4), (4, 2), (8, 1), (16, 1)])
def test_attention_heads_are_divided_and_kv_heads_at_least_once(tp: int, kv: int) -> None:
    expected = 2 * (32 * matrices(tp, kv) + 2 * 128256 // tp * 4096 + 4096) + ROPE
    assert weights(LLAMA, tensor_parallel_size=tp).per_gpu.low == pytest.approx(expected, rel=1e-9)


def test_packed_projections_are_divided_by_heads() -> None:
    config = CONFIGS["microsoft/phi-4"]  # 40 heads, 10 KV heads of 128
    layer = (40 + 2 * 10) // 2 * 128 * 5120 + 20 * 128 * 5120 + 3 * 17920 // 2 * 5120 + 2 * 5120
    expected = 2 * (40 * layer + 2 * 100352 // 2 * 5120 + 5120) + 16384 * 128 * 2
    assert weights(config, tensor_parallel_size=2).per_gpu.low == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("vocab", "padded"), [(50257, 50304), (32000, 32000), (32001, 32064), (151936, 151936)])
def test_the_vocabulary_is_padded(vocab: int, padded: int) -> None:
    more = weights(LLAMA | {"vocab_size": vocab}).per_gpu.low - weights(LLAMA | {"vocab_size": 64}).per_gpu.low
    assert more == 2 * 2 * (padded - 64) * 4096


def test_tied_embeddings_are_held_once() -> None:
    untied = weights(LLAMA).per_gpu.low
    tied = LLAMA | {"tie_word_embeddings": True}
    assert untied - weights(tied).per_gpu.low == 128256 * 4096 * 2
    stored = Tensors(stored=(Stored("lm_head.weight", "BF16", (128256, 4096)),), complete=True)
    whole = weights_of(facts(tied, stored), engine())
    assert whole is not None and whole.per_gpu.low == ROPE, "a tied embedding that is stored isn't loaded"


def test_an_output_embedding_that_is_not_stored_is_made() -> None:
    stored = Tensors(stored=(Stored("model.embed_tokens.weight", "BF16", (128256, 4096)),), complete=True)
    found = weights_of(facts(LLAMA, stored), engine())
    assert found is not None and found.per_gpu.low == 2 * 128256 * 4096 * 2 + ROPE


def test_float32_is_loaded_in_the_dtype_of_the_engine() -> None:
    config = CONFIGS["microsoft/DialoGPT-large"]  # stored in float32, with causal masks
    half, whole = weights(config), weights(config, dtype="float32", dtype_bytes=4)
    assert half.per_gpu.low == 2 * (774_030_080 + (50304 - 50257) * 1280)
    assert whole.per_gpu.low == 2 * half.per_gpu.low
    assert half.total_file_bytes == 4 * (774_030_080 + 36 * 1024 * 1024)


@pytest.mark.parametrize(
    ("changes", "experts"),
    [
        ({}, 128),
        ({"tensor_parallel_size": 4}, 32),
        ({"tensor_parallel_size": 4, "expert_parallel": True}, 32),
        ({"tensor_parallel_size": 2, "data_parallel_size": 2}, 32),
        ({"tensor_parallel_size": 2, "data_parallel_size": 3, "expert_parallel": True}, 22),
    ],
)
def test_experts_are_divided(changes: dict[str, Any], experts: float) -> None:
    tp = changes.get("tensor_parallel_size", 1)
    attention = (32 // tp + 2 * 4 // min(tp, 4)) * 128 * 2048 + 32 // tp * 128 * 2048
    layer = attention + experts * 3 * 768 * 2048 + 128 * 2048 + 2 * 2048 + 2 * 128
    expected = 2 * (48 * layer + 2 * 151936 // tp * 2048 + 2048) + 40960 * 128 * 2
    assert weights("Qwen/Qwen3-30B-A3B", **changes).per_gpu.low == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("tp", [1, 2, 8])
def test_latent_projections_into_the_rank_are_on_every_gpu(tp: int) -> None:
    attention = (16 * 192 * 2048 + 16 * 256 * 512 + 16 * 128 * 2048) // tp + 576 * 2048 + 512
    sparse = 64 * 3 * 1408 * 2048 // tp + 3 * 2816 * 2048 // tp + 64 * 2048
    dense = 3 * 10944 * 2048 // tp
    expected = 27 * (attention + 2 * 2048) + 26 * sparse + dense + 2 * 102400 * 2048 // tp + 2048
    rope = 163840 * 64 * 4  # float32 when eager
    found = weights("deepseek-ai/DeepSeek-V2-Lite", tensor_parallel_size=tp)
    assert found.per_gpu.low == pytest.approx(2 * expected + rope, rel=1e-9)


def test_a_quantized_latent_projection_has_an_unpacked_copy() -> None:
    fp8 = CONFIGS["deepseek-ai/DeepSeek-V3"]
    held = weights(fp8, tensor_parallel_size=8)
    stored = 61 * 128 * 256 * 512 / 8
    assert held.per_gpu.low == pytest.approx(673.1e9 / 8 + 2 * stored + 61 * 4.7e6 * 7 / 8 * 1.6, rel=0.01)
    assert 78 < held.per_gpu.gib < 81


def test_int4_parts_and_unquantized_parts() -> None:
    config = CONFIGS["Qwen/Qwen2.5-7B-Instruct"]
    linear = 28 * ((28 + 8) * 128 * 3584 + 28 * 128 * 3584 + 3 * 18944 * 3584)
    rest = 2 * (2 * 152064 * 3584 + 28 * (36 * 128 + 2 * 3584) + 3584) + 32768 * 128 * 2
    group = linear / 128
    for carried, zeros, card in ((AWQ, 0.5, A100), (AWQ, 2.0, None), (GPTQ, 0.5, A100), (GPTQ, 0.5, None)):
        found = weights(config | {"quantization_config": carried}, quantization="x", **({"gpu": card} if card else {}))
        assert found.per_gpu.low == pytest.approx(linear / 2 + group * (2 + zeros) + rest, rel=1e-6)


def test_machete_came_to_awq_with_020() -> None:
    repo = "Qwen/Qwen2.5-7B-Instruct-AWQ"
    assert weights(repo, release=(0, 18)).per_gpu.low == weights(repo, gpu=A100).per_gpu.low
    assert weights(repo, release=(0, 31)).per_gpu.gib == pytest.approx(
        5.38, abs=0.01
    )  # from a public log of 0.31 with Machete


def test_the_scales_of_rows_in_one_group_are_on_every_gpu() -> None:
    column = {"quantization_config": GPTQ | {"group_size": -1}}
    whole, half = (weights(LLAMA | column, tensor_parallel_size=tp).per_gpu.low for tp in (1, 2))
    rows = 32 * 2 * 4096 * (2 + 0.5)  # o_proj's and down_proj's scales and zeros
    kept = ROPE + 2 * (65 * 4096) + rows
    assert half - kept == pytest.approx((whole - kept) / 2, rel=1e-6)


def test_fp8_in_blocks() -> None:
    carried = {"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"}
    linear = 32 * (matrices(1, 8) - 2 * 4096)
    rest = 2 * (2 * 128256 * 4096 + 65 * 4096) + ROPE
    found = weights(LLAMA | {"quantization_config": carried}, quantization="fp8")
    assert found.per_gpu.low == pytest.approx(linear * (1 + 4 / 128**2) + rest, rel=1e-9)


@pytest.mark.parametrize(("method", "width"), [("fp8", 1), ("bitsandbytes", 0.5625), ("mxfp8", 1 + 1 / 32), (None, 2)])
def test_what_is_quantized_while_loading(method: str | None, width: float) -> None:
    linear = 32 * (matrices(1, 8) - 2 * 4096)
    rest = 2 * (2 * 128256 * 4096 + 65 * 4096) + ROPE
    assert weights(LLAMA, quantization=method).per_gpu.low == pytest.approx(linear * width + rest, rel=1e-9)


def test_earlier_releases_quantize_after_loading_everything() -> None:
    before = weights(LLAMA, quantization="fp8", release=(0, 13))
    assert before.load_peak == weights(LLAMA).per_gpu.low
    assert before.notes
    assert weights(LLAMA, quantization="fp8").load_peak == 0


def test_the_router_of_experts_is_not_quantized() -> None:
    repo = "mistralai/Mixtral-8x7B-Instruct-v0.1"
    saved = weights(repo).per_gpu.low - weights(repo, quantization="fp8").per_gpu.low
    assert saved == 32 * ((32 + 16) * 128 * 4096 + 4096 * 4096 + 8 * 3 * 14336 * 4096)
    only = weights(repo).per_gpu.low - weights(repo, quantization="experts_int8").per_gpu.low
    assert only == 32 * 8 * 3 * 14336 * 4096


@pytest.mark.parametrize(
    ("changes", "inner", "hidden"),
    [
        ({}, 2880, 2880),
        ({"gpu": A100}, 2944, 3072),
        ({"gpu": B200}, 2944, 3072),
        ({"gpu": B200, "release": (0, 18)}, 3072, 3072),
        ({"tensor_parallel_size": 2}, 1472, 2880),
    ],
)
def test_mxfp4_experts_are_padded_for_the_kernel(changes: dict[str, Any], inner: int, hidden: int) -> None:
    experts = 24 * 32 * (3 * inner * hidden * (1 / 2 + 1 / 32) + (2 * inner + hidden) * 2)
    found = weights("openai/gpt-oss-20b", quantization="mxfp4", **changes)
    tp = changes.get("tensor_parallel_size", 1)
    others = 24 * (80 * 64 * 2880 + 64 * 64 * 2880) / tp * 2 + 2 * 201088 * 2880 * 2 / tp + 131072 * 64 * 4
    assert found.per_gpu.low == pytest.approx(experts + others, rel=0.001)


def test_a_vision_tower_is_loaded_too() -> None:
    config = CONFIGS["google/gemma-3-12b-it"]
    rope = 131072 * 256 * 2 * (8 + 1)  # stretched eightfold for full attention, plain for sliding windows
    found = weights(config, tensor_parallel_size=1)
    assert found.per_gpu.low == pytest.approx(2 * 12_187_325_040 + rope, rel=0.001)
    halved = weights(config, tensor_parallel_size=2).per_gpu.low
    assert halved == pytest.approx(12_187_325_040 + rope, rel=0.003)


@pytest.mark.parametrize("repo", ["ai21labs/AI21-Jamba-1.5-Mini", "Qwen/Qwen3-Next-80B-A3B-Instruct"])
def test_recurrent_layers_are_divided(repo: str) -> None:
    whole, half = weights(repo).per_gpu.low, weights(repo, tensor_parallel_size=2).per_gpu.low
    assert half == pytest.approx(whole / 2, rel=0.002)


def test_the_largest_stage_of_a_pipeline_counts() -> None:
    config = CONFIGS["Qwen/Qwen2.5-7B-Instruct"]  # 28 layers
    embedding = 152064 * 3584 * 2
    layer = (weights(config).per_gpu.low - 2 * embedding - 3584 * 2 - 32768 * 128 * 2) / 28
    for stages, layers in ((2, 14), (3, 10), (4, 7)):
        found = weights(config, pipeline_parallel_size=stages).per_gpu.low - 32768 * 128 * 2
        middle, last = layers * layer, 28 // stages * layer + embedding + 3584 * 2
        assert found == pytest.approx(max(middle, last), rel=1e-6)


def test_a_model_without_tensor_parallel_plan_is_divided_in_attention_only() -> None:
    repo = "WizardLM/WizardCoder-15B-V1.0"
    # As vLLM 0.32.0 itself makes the model: bytes of parameters and buffers of one rank.
    for tp, gib in ((1, 28.9667), (2, 25.8724), (8, 23.5516)):
        assert weights(repo, tensor_parallel_size=tp).per_gpu.low / GIB == pytest.approx(gib, rel=1e-5)
    embeddings = 49216 * 6144
    one, two = (weights(repo, tensor_parallel_size=tp, release=(0, 26)).per_gpu.low for tp in (1, 2))
    assert one - two == embeddings, "before, only the vocabulary was"
    before = weights(repo, tensor_parallel_size=2, release=(0, 20)).per_gpu.low
    assert before < 0.55 * one, "and before that vLLM had a model of its own"


# Bytes of parameters and buffers of one rank, in GiB, of the models that vLLM 0.32.0 itself makes of these configs
# (its CPU build, on torch's meta device, with the size of the tensor-parallel group set).
MADE_BY_VLLM = [
    ("lmsys/vicuna-13b-v1.5", 1, 24.2449),
    ("lmsys/vicuna-13b-v1.5", 8, 3.0321),
    ("mistralai/Mixtral-8x7B-Instruct-v0.1", 2, 43.5044),
    ("mistralai/Mixtral-8x7B-Instruct-v0.1", 8, 10.8838),
    ("Qwen/Qwen2.5-0.5B-Instruct", 2, 0.4641),
    ("Qwen/Qwen3-8B", 8, 1.9173),
    ("Qwen/Qwen3-30B-A3B", 2, 28.4569),
    ("Qwen/Qwen3-30B-A3B", 8, 7.1629),
    ("google/gemma-2-9b-it", 1, 17.2179),
    ("google/gemma-2-9b-it", 8, 2.1566),
    ("microsoft/phi-4", 2, 13.6570),
    ("microsoft/Phi-3-mini-4k-instruct", 8, 0.8907),
    ("tiiuae/falcon-7b", 1, 12.8930),
    ("ai21labs/AI21-Jamba-1.5-Mini", 1, 96.0640),
    ("ai21labs/AI21-Jamba-1.5-Mini", 8, 12.0102),
    ("Qwen/Qwen3-Next-80B-A3B-Instruct", 2, 74.2810),
    ("Qwen/Qwen3-Next-80B-A3B-Instruct", 8, 18.6820),
]


@pytest.mark.parametrize(("repo", "tp", "gib"), MADE_BY_VLLM)
def test_one_rank_holds_what_vllm_makes(repo: str, tp: int, gib: float) -> None:
    assert weights(repo, tensor_parallel_size=tp).per_gpu.low / GIB == pytest.approx(gib, rel=1e-4, abs=6e-5)


def test_prediction_heads_are_not_loaded() -> None:
    stored = (
        Stored("model.norm.weight", "BF16", (4096,)),
        Stored("nextn.model.layers.*.eh_proj.weight", "BF16", (9, 9), 1, 1),
    )
    found = weights_of(facts(LLAMA | {"tie_word_embeddings": True}, Tensors(stored=stored, complete=True)), engine())
    assert found is not None and found.per_gpu.low == 4096 * 2 + ROPE


def test_a_config_alone_is_enough() -> None:
    found = weights_of(facts(LLAMA), engine())
    assert found is not None
    assert found.per_gpu.likely == weights(LLAMA).per_gpu.likely
    assert found.notes, "it says what it is from"


def test_bin_files_alone_are_as_good() -> None:
    tensors = Tensors(total_bytes=26_031_869_440, source="files", largest_file=9_948_728_430)
    names = ("pytorch_model-00001-of-00003.bin",)
    found = weights_of(facts(CONFIGS["lmsys/vicuna-13b-v1.5"], tensors, names), engine(dtype="float16"))
    assert found is not None
    assert found.per_gpu.low == 2 * 13_015_864_320 + 4096 * 128 * 2
    assert (found.largest_bin, found.total_file_bytes) == (9_948_728_430, 26_031_869_440)


def test_an_unknown_family_is_sized_by_its_files_and_says_so() -> None:
    tensors = Tensors(total_bytes=20 * GIB, source="parameters")
    found = weights_of(facts({"model_type": "new"}, tensors), engine(tensor_parallel_size=2))
    assert found is not None
    assert found.per_gpu.gib == pytest.approx(10, rel=0.05)
    assert found.per_gpu.high > 1.2 * found.per_gpu.low
    assert found.notes
    assert weights_of(facts({"model_type": "new"}), engine()) is None


def test_bytes_that_no_tensor_accounts_for_are_counted() -> None:
    stored = (
        Stored("model.embed_tokens.weight", "BF16", (128256, 4096)),
        Stored("model.layers.*.odd.weight", "", (), 32, 32),
    )
    config = LLAMA | {"tie_word_embeddings": True}
    tensors = Tensors(stored=stored, total_bytes=10 * GIB, source="headers")
    found = weights_of(facts(config, tensors), engine(tensor_parallel_size=2))
    assert found is not None
    assert found.per_gpu.likely == pytest.approx(5 * GIB + ROPE, rel=0.02)
    assert "odd" in found.notes[0]


def test_it_takes_less_than_5_ms() -> None:
    for repo, config in CONFIGS.items():
        known = facts(config, told(config))
        used = engine(tensor_parallel_size=2)
        weights_of(known, used)
        took = []
        for _ in range(5):
            started = time.process_time()
            weights_of(known, used)
            took.append(time.process_time() - started)
        assert min(took) < 0.005, repo
        if "DeepSeek-V3" in repo:
            assert len(known.contents.model_dump_json()) < 8000
