"""The invariant: each way a start ends has its own cause, with the numbers that cure it, without secrets."""

import pytest

from serving import explain
from serving.causes import _TABLE

from .test_startup_log import START

API = "(APIServer pid=1) "
ENGINE = "(EngineCore pid=2) ERROR 11-25 18:39:23 [core.py:842] "
CONFIG = (
    API + "pydantic_core._pydantic_core.ValidationError: 1 validation error for VllmConfig\n" + API + "  Value error, "
)
KV = (
    "ValueError: To serve at least one request with the model's max seq len (32768), (4.0 "
    "GiB KV cache is needed, which "
    "is larger than the available KV cache memory (1.53 GiB). Based on the available "
    "memory, the estimated maximum "
    "model length is 12528. Try increasing `gpu_memory_utilization`"
)
LENGTH = (
    "User-specified max_model_len (4096) is greater than the derived max_model_len "
    "(max_position_embeddings=1024.0 or "
    "model_max_length=None in model's config.json). To allow overriding this maximum, set the env var"
)
GATED = (
    "OSError: You are trying to access a gated repo.\n"
    "Make sure to have access to it at https://huggingface.co/meta-llama/Llama-2-7b-chat-hf."
)
MISSING = (
    "OSError: org/none is not a local folder and is not a valid model identifier listed "
    "on 'https://huggingface.co/models'"
)
MISMATCH = (
    "Quantization method specified in the model config (awq) does not match the "
    "quantization method specified in the "
    "`quantization` argument (gptq)."
)
CAPABILITY = (
    "The quantization method auto_awq is not supported for the current GPU. Minimum capability: 75. "
    "Current capability: 70."
)
BF16 = (
    "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least "
    "8.0. Your Tesla T4 GPU has "
    "compute capability 7.5. You can use float16 instead"
)
ROOT = API + "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
QUANTIZATION_DTYPE = (
    "torch.float32 is not supported for quantization method auto_awq. Supported dtypes: [torch.float16, torch.bfloat16]"
)
TOKENS = "max_num_batched_tokens (128) must be greater than or equal to max_num_seqs (256)."
OLD_KV = (
    "ValueError: The model's max seq len (4096) is larger than the maximum number of "
    "tokens that can be stored in KV "
    "cache (2096). Try increasing"
)

CASES: list[tuple[str, str, list[str]]] = [
    (GATED, "gated", ["hf_token"]),
    (MISSING, "missing-repo", ["org/none"]),
    (
        "OSError: nope is not a valid git identifier (branch name, tag name",
        "missing-revision",
        ["revision nope"],
    ),
    (CONFIG + MISMATCH, "quantization-mismatch", ["is gptq", "are awq"]),
    (CONFIG + "Cannot find the config file for awq", "not-quantized", ["awq", "fp8"]),
    (CONFIG + "Unknown quantization method: int3. Must be one of ['awq']", "unknown-quantization", ["int3"]),
    (CONFIG + CAPABILITY, "unsupported-capability", ["auto_awq", "75", "70"]),
    (CONFIG + QUANTIZATION_DTYPE, "quantization-dtype", ["auto_awq", "torch.float32"]),
    (ENGINE + BF16, "no-bfloat16", ["Tesla T4", "float16"]),
    (
        CONFIG + "GPTQ group activation ordering (desc_act=True) is no longer supported. Use",
        "desc-act",
        ["desc_act"],
    ),
    (CONFIG + LENGTH, "max-model-len", ["4096", "1024 or less"]),
    (ENGINE + KV + "\n" + ROOT, "kv-cache-too-small", ["32768", "4.0 GiB", "1.53 GiB", "12528 or less"]),
    (OLD_KV, "kv-cache-too-small", ["4096"]),
    (
        ENGINE + "ValueError: No available memory for the cache blocks. Try increasing",
        "no-kv-cache",
        ["weights"],
    ),
    (
        ENGINE + "ValueError: Free memory on device (20.1/79.2 GiB) on startup is less than desired "
        "GPU memory utilization",
        "gpu-in-use",
        ["Somebody else"],
    ),
    (ENGINE + "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate", "gpu-out-of-memory", ["GPUs"]),
    (
        CONFIG + "Total number of attention heads (32) must be divisible by tensor parallel size (3).",
        "tensor-parallel-heads",
        ["32", "3 GPUs"],
    ),
    (ENGINE + "AssertionError: 151936 is not divisible by 5", "tensor-parallel-vocab", ["151936", "5"]),
    (
        ENGINE + "ValueError: The input size is not aligned with the quantized weight shape. This can be",
        "tensor-parallel-groups",
        ["tensor_parallel_size"],
    ),
    (
        CONFIG + "World size (16) is larger than the number of available GPUs (8) in this node.",
        "too-few-gpus",
        ["needs 16", "has 8"],
    ),
    (CONFIG + TOKENS, "batch-sizes", ["128", "256"]),
    (
        API
        + "1 validation error for CacheConfig\n"
        + API
        + "gpu_memory_utilization\n"
        + API
        + "  Input should be less than or equal to 1 [type=less_than_equal]",
        "bad-value",
        ["Input should be less than or equal to 1"],
    ),
    (
        "ValueError: The repository org/it contains custom code which must be executed to correctly load the model.",
        "custom-code",
        ["trust_remote_code"],
    ),
    (
        CONFIG + "Model architectures ['NewForCausalLM'] are not supported for now. Supported architectures:",
        "unsupported-architecture",
        ["NewForCausalLM"],
    ),
    (
        "OSError: org/it does not appear to have a file named config.json. Checkout",
        "missing-file",
        ["config.json"],
    ),
    (
        "usage: vllm serve [model_tag] [options]\nvllm serve: error: unrecognized arguments: --swap-space=4",
        "bad-flag",
        ["--swap-space=4"],
    ),
    (
        "vllm serve: error: argument --dtype: invalid choice: 'bf16' (choose from 'auto')",
        "bad-flag",
        ["argument --dtype: invalid choice: 'bf16'"],
    ),
    (
        "TypeError: Error: --enable-auto-tool-choice requires --tool-call-parser",
        "tool-parser",
        ["--tool-call-parser"],
    ),
    ("OSError: [Errno 98] Address already in use", "port-in-use", ["port"]),
    ("OSError: [Errno 28] No space left on device", "disk-full", ["HF_HOME"]),
    (
        "ERROR: Unexpected bus error encountered in worker. Bus error (core dumped)",
        "shared-memory",
        ["shmem"],
    ),
    ("RuntimeError: Failed to infer device type, please set", "no-gpu", ["gpus"]),
    (
        "RuntimeError: The NVIDIA driver on your system is too old (found version 11040)",
        "old-driver",
        ["CUDA"],
    ),
    (
        "OSError: We couldn't connect to 'https://huggingface.co' to load the files",
        "hub-unreachable",
        ["Hub"],
    ),
    ("huggingface_hub.errors.HfHubHTTPError: 429 Too Many Requests", "hub-rate-limit", ["hf_token"]),
    ("401 Client Error. Invalid credentials in Authorization header", "invalid-token", ["hf_token"]),
    ("/usr/bin/bash: line 1: exec: vllm: not found", "no-vllm", ["image"]),
    (
        API + "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue.",
        "engine-died",
        ["engine"],
    ),
    (
        "ValueError: As of transformers v4.44, default chat template is no longer allowed, so you must provide",
        "no-chat-template",
        ["--chat-template"],
    ),
    (
        CONFIG + "The quantization method 'fp_quant' is deprecated and will be removed",
        "deprecated-quantization",
        ["fp_quant"],
    ),
]


@pytest.mark.parametrize(("log", "code", "texts"), CASES, ids=[code for _, code, _ in CASES])
def test_each_end_has_its_cause(log: str, code: str, texts: list[str]) -> None:
    before = "(APIServer pid=1) INFO 11-25 18:39:00 [utils.py:233] non-default args: {'model': 'org/it'}\n"
    cause = explain(before + log + "\n")
    assert cause.code == code
    assert cause.cure
    assert all(text in str(cause) for text in texts), str(cause)


def test_every_row_of_the_table_has_a_text_that_it_is_held_against() -> None:
    assert {row[1] for row in _TABLE} == {code for _, code, _ in CASES}


@pytest.mark.parametrize(
    ("exit_code", "code"),
    [(2, "bad-flag"), (127, "no-vllm"), (137, "killed"), (-9, "killed"), (-15, "stopped"), (143, "stopped")],
)
def test_the_exit_code_tells_where_the_log_does_not(exit_code: int, code: str) -> None:
    assert explain("INFO all is well", exit_code).code == code
    assert explain("OSError: [Errno 28] No space left on device", exit_code).code == "disk-full"


@pytest.mark.parametrize("exit_code", [None, 0, 1])
def test_what_nobody_can_tell_stays_empty_with_the_last_lines(exit_code: int | None) -> None:
    cause = explain("one\ntwo\n", exit_code)
    assert (cause.what, cause.cure, cause.code, cause.lines) == ("", "", "unknown", ("one", "two"))
    assert explain(None).lines == explain("").lines == ()


def test_only_the_last_lines_are_kept_without_colours_secrets_and_old_states_of_bars() -> None:
    log = "\n".join(
        [
            *(f"line {n}" for n in range(50)),
            "\x1b[32mgreen\x1b[0m",
            " 10%|#   | 1/10\r 90%|###  | 9/10",
            "args: {'hf_token': 'tok-123456', 'api_key': ['k1'], 'model': 'a/b'}",
            "HF_TOKEN=hf_abcdefghijklmno and Bearer abcdef",
            "x" * 5000,
            "",
        ]
    )
    lines = explain(log, limit=6).lines
    assert lines[:2] == ("line 49", "green")
    assert lines[2] == " 90%|###  | 9/10"
    assert lines[3] == "args: {'hf_token': '[secret]', 'api_key': ['[secret]'], 'model': 'a/b'}"
    assert lines[4] == "HF_TOKEN=[secret] and [secret]"
    assert len(lines[5]) == 400
    assert explain(log, limit=0).lines == ()


def test_a_healthy_log_has_no_cause() -> None:
    engine = "(EngineCore pid=2) INFO 11-25 18:39:09 [core.py:105] Initializing a V1 LLM engine with config: "
    shown = "model='org/it', trust_remote_code=True, quantization=auto_awq, enforce_eager=False, max_seq_len=4096"
    log = [engine + shown, *(line for line, _, _ in START), "INFO:     Shutting down"]
    assert explain("\n".join(log), 0).code == "unknown"


def test_the_root_cause_is_found_far_above_the_last_lines() -> None:
    log = ENGINE + KV + "\n" + "\n".join(f"{API}  File x, line {n}" for n in range(200)) + "\n" + ROOT
    assert explain(log).code == "kv-cache-too-small"
