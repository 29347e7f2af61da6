"""A start of the stand-in ends as vLLM's own: ready, or refused at the same stage with the same words.

Invariant: nothing that real vLLM refuses before it takes a request comes up here.
"""

import json
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from emulator import Emulator
from emulator.hub.models import APPROVED, UNAPPROVED
from tests.emulator.vllm_process import Vllm

TINY = "backendai-vllm/tiny-llama"
LLAMA = "meta-llama/Llama-2-7b-chat-hf"
AWQ, GPTQ = "Qwen/Qwen2.5-7B-Instruct-AWQ", "Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4"
MODEL_CONFIG = "1 validation error for ModelConfig\n  Value error, "
VLLM_CONFIG = "1 validation error for VllmConfig\n  Value error, "


@pytest.fixture(scope="module")
def endpoint(running_emulator: Emulator) -> str:
    return running_emulator.hub_endpoint


def folder_with(path: Path, **config: Any) -> str:
    base = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 512,
        "intermediate_size": 1536,
        "num_hidden_layers": 2,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "vocab_size": 512,
        "max_position_embeddings": 4096,
    }
    (path / "config.json").write_text(json.dumps(base | config))
    return str(path)


@pytest.mark.parametrize(
    ("argv", "environ", "said"),
    [
        ([LLAMA], {}, "OSError: You are trying to access a gated repo."),
        ([LLAMA], {"HF_TOKEN": UNAPPROVED}, "OSError: You are trying to access a gated repo."),
        (["acme/none"], {}, "acme/none is not a local folder and is not a valid model identifier listed on"),
        (["/models/none"], {}, "Incorrect path_or_model_id: '/models/none'."),
        ([TINY, "--revision=nope"], {}, "nope is not a valid git identifier"),
        ([TINY], {"HF_TOKEN": "hf_wrong"}, "Invalid credentials in Authorization header"),
        ([TINY], {"HF_ENDPOINT": "http://127.0.0.1:9"}, "We couldn't connect to 'http://127.0.0.1:9'"),
        ([TINY, "--enable-auto-tool-choice"], {}, "--enable-auto-tool-choice requires --tool-call-parser"),
        ([TINY, "--chat-template=./none.jinja"], {}, "appears path-like, but doesn't exist!"),
        ([TINY, "--quantization=awq"], {}, f"{VLLM_CONFIG}Cannot find the config file for awq"),
        ([TINY, "--quantization=gptq"], {}, f"{VLLM_CONFIG}Cannot find the config file for gptq"),
        (
            [TINY, "--quantization=int3"],
            {},
            f"{MODEL_CONFIG}Unknown quantization method: int3. Must be one of [",
        ),
        ([TINY, "--quantization=bitsandbytes"], {}, "Unknown quantization method: bitsandbytes"),
        ([TINY, "--quantization=fp_quant"], {}, "set `--allow-deprecated-quantization`"),
        (
            [AWQ, "--quantization=gptq"],
            {},
            "Quantization method specified in the model config (awq) does not match the quantization method "
            "specified in the `quantization` argument (gptq).",
        ),
        ([GPTQ, "--quantization=awq"], {}, "in the model config (gptq) does not match"),
        ([AWQ, "--quantization=fp8"], {}, "in the model config (awq) does not match"),
        ([AWQ, "--dtype=float32"], {}, "torch.float32 is not supported for quantization method auto_awq."),
        ([AWQ], {"EMULATOR_GPU_CAPABILITY": "70"}, "Minimum capability: 75. Current capability: 70."),
        (
            ["openai-community/gpt2", "--max-model-len=4096"],
            {},
            f"{MODEL_CONFIG}User-specified max_model_len (4096) is greater than the derived max_model_len "
            "(max_position_embeddings=1024.0 or model_max_length=None in model's config.json).",
        ),
        (["gpt2", "--max-model-len=1025"], {}, "User-specified max_model_len (1025) is greater"),
        (
            [AWQ, "--tensor-parallel-size=3"],
            {},
            "Total number of attention heads (28) must be divisible by tensor parallel size (3).",
        ),
        (
            [TINY, "-tp=2"],
            {"EMULATOR_GPUS": "1"},
            "World size (2) is larger than the number of available GPUs (1)",
        ),
        ([TINY], {"EMULATOR_GPUS": "0"}, "Failed to infer device type"),
        (
            [TINY, "--max-num-batched-tokens=128", "--max-num-seqs=256"],
            {},
            "max_num_batched_tokens (128) must be greater than or equal to max_num_seqs (256).",
        ),
        ([TINY, "--gpu-memory-utilization=1.5"], {}, "Input should be less than or equal to 1"),
        ([TINY, "--gpu-memory-utilization=0"], {}, "Input should be greater than 0"),
        (
            [TINY, "--tensor-parallel-size=0"],
            {},
            "tensor_parallel_size\n  Input should be greater than or equal to 1",
        ),
        ([TINY, "--port=99999"], {"EMULATOR_PORT_99999": "99999"}, "bind(): port must be 0-65535."),
        # in the engine
        ([AWQ, "--tensor-parallel-size=7"], {}, "AssertionError: 152064 is not divisible by 7"),
        ([AWQ, "--tensor-parallel-size=14"], {}, "AssertionError: 152064 is not divisible by 14"),
        (["Qwen/Qwen2.5-72B-Instruct"], {}, "torch.OutOfMemoryError: CUDA out of memory."),
        (
            [LLAMA],
            {"HF_TOKEN": APPROVED, "EMULATOR_GPU_GIB": "16"},
            "To serve at least one request with the model's max seq len (4096), (2.0 GiB KV cache is needed, "
            "which is larger than the available KV cache memory (",
        ),
        (
            [LLAMA],
            {"HF_TOKEN": APPROVED, "EMULATOR_GPU_GIB": "14"},
            "No available memory for the cache blocks.",
        ),
    ],
)
def test_refused(endpoint: str, tmp_path: Path, argv: list[str], environ: dict[str, str], said: str) -> None:
    run = Vllm(tmp_path, "serve", *argv, **({"HF_ENDPOINT": endpoint} | environ))
    assert run.ended() == 1
    plain = re.sub(r"^\(\w+ pid=\d+\) ", "", run.log, flags=re.MULTILINE)
    assert said in plain
    assert "Traceback (most recent call last):" in plain


@pytest.mark.parametrize(
    ("config", "argv", "said"),
    [
        (
            {"quantization_config": {"quant_method": "gptq", "group_size": 128, "desc_act": True}},
            [],
            "desc_act=True",
        ),
        ({"architectures": ["FooForCausalLM"]}, [], "['FooForCausalLM'] are not supported for now."),
        (
            {"num_attention_heads": 12, "num_key_value_heads": 4},
            ["-tp=3"],
            "AssertionError: 512 is not divisible by 3",
        ),
        ({"num_key_value_heads": 3}, ["-tp=2"], "AssertionError\n"),
        ({"intermediate_size": 1001}, ["-tp=2"], "AssertionError\n"),
        (
            {"quantization_config": {"quant_method": "awq", "group_size": 128}},
            ["-tp=8"],
            "The input size is not aligned with the quantized weight shape.",
        ),
        (
            {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}},
            ["--max-model-len=8193"],
            "=8192.0 or model_max",
        ),
    ],
)
def test_refused_from_a_folder(tmp_path: Path, config: dict[str, Any], argv: list[str], said: str) -> None:
    run = Vllm(tmp_path, "serve", folder_with(tmp_path, **config), *argv)
    assert run.ended() == 1
    assert said in run.log


def test_a_folder_without_config(tmp_path: Path) -> None:
    run = Vllm(tmp_path, "serve", str(tmp_path))
    assert run.ended() == 1
    assert "does not appear to have a file named config.json" in run.log


@pytest.mark.parametrize(
    ("argv", "environ", "said"),
    [
        (
            [LLAMA, "--max-model-len=2048"],
            {"HF_TOKEN": APPROVED, "EMULATOR_GPU_GIB": "24"},
            "max model len 2048",
        ),
        ([AWQ, "--quantization=awq_marlin"], {}, "quantization='auto_awq'"),
        ([TINY, "--quantization=fp8"], {}, "quantization='fp8'"),
        ([TINY, "--max-num-batched-tokens=128"], {}, "max_num_batched_tokens=128."),
        (
            ["gpt2", "--max-model-len=4096"],
            {"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"},
            "Using max model len 4096",
        ),
        (
            [LLAMA, "--max-model-len=auto"],
            {"HF_TOKEN": APPROVED, "EMULATOR_GPU_GIB": "16"},
            "tokens per request: 1.",
        ),
        ([TINY, "--hf-overrides.max_position_embeddings=512"], {}, "Using max model len 512"),
        (["lmsys/vicuna-13b-v1.5"], {}, "Loading pt checkpoint shards: 100% Completed | 3/3"),
    ],
)
def test_started(endpoint: str, tmp_path: Path, argv: list[str], environ: dict[str, str], said: str) -> None:
    run = Vllm(tmp_path, "serve", *argv, **({"HF_ENDPOINT": endpoint} | environ))
    try:
        assert said in run.wait_for().log
    finally:
        run.stop()


def test_the_log_tells_the_steps_in_the_real_order(endpoint: str, tmp_path: Path) -> None:
    run = Vllm(tmp_path, "serve", AWQ, "--api-key=s3cret", HF_ENDPOINT=endpoint)
    try:
        log = run.wait_for().log
    finally:
        run.stop()
    steps = [
        r"\(APIServer pid=\d+\) INFO \d\d-\d\d [\d:]{8} \[\w+\.py:\d+\] vLLM API server version 0\.32\.0",
        r"non-default args: \{.*'api_key': '\*\*\*'",
        r"Using max model len 32768",
        r"\(EngineCore pid=\d+\) INFO .* Initializing a V1 LLM engine",
        r"Starting to load model Qwen/Qwen2\.5-7B-Instruct-AWQ\.\.\.",
        r"Loading safetensors checkpoint shards:   0% Completed \| 0/2",
        r"Loading safetensors checkpoint shards: 100% Completed \| 2/2",
        r"Model loading took 5\.\d+ GiB memory and [\d.]+ seconds",
        r"Available KV cache memory: \d+\.\d+ GiB",
        r"GPU KV cache size: [\d,]+ tokens, Maximum concurrency for 32,768 tokens per request: [\d.]+x",
        r"init engine \(profile, create kv cache, warmup model\) took",
        r"Starting vLLM server on http://0\.0\.0\.0:8000",
        r"Application startup complete\.",
    ]
    at = 0
    for step in steps:
        found = re.compile(step).search(log, at)
        assert found, f"{step} is missing, or out of order:\n{log}"
        at = found.end()
    assert "s3cret" not in log


def test_it_runs_on_the_python_of_the_path_too(endpoint: str, tmp_path: Path) -> None:
    run = Vllm(tmp_path, "serve", TINY, HF_ENDPOINT=endpoint, EMULATOR_PYTHON="")
    try:
        assert run.wait_for().call("POST", "/v1/completions", {"prompt": "x"}).status == 200
    finally:
        run.stop()


# faults and signals: each process lives a second or two, so all of them run side by side


def test_ends_on_demand(endpoint: str, tmp_path: Path) -> None:
    ends = {
        "1@start": (1, "told to end with exit code 1 at 'start'"),
        "3@loading": (3, "Engine core initialization failed."),
        "0@ready": (0, "Application startup complete."),
        "5@ready+0.3": (5, "told to end with exit code 5 at 'ready'"),
        "never@": (1, "VLLM_STANDIN_EXIT"),
    }
    runs = {asked: Vllm(tmp_path, "serve", TINY, HF_ENDPOINT=endpoint, VLLM_STANDIN_EXIT=asked) for asked in ends}
    for asked, run in runs.items():
        code, said = ends[asked]
        assert run.ended() == code, asked
        assert said in run.log, asked
    assert "Application startup complete." not in runs["3@loading"].log


def test_refuses_connections_while_loading_and_sigterm_is_swallowed_once(endpoint: str, tmp_path: Path) -> None:
    run = Vllm(tmp_path, "serve", TINY, HF_ENDPOINT=endpoint, VLLM_STANDIN_HANG="loading")
    run.wait_for("Starting to load model")
    with pytest.raises(ConnectionRefusedError):
        run.call("GET", "/health")
    run.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert run.process.poll() is None
    run.process.send_signal(signal.SIGTERM)
    assert run.ended() == -signal.SIGTERM


@pytest.mark.parametrize(
    ("moment", "sent", "code"),
    [
        ("non-default args", signal.SIGTERM, -signal.SIGTERM),
        ("Starting to load model", signal.SIGINT, -signal.SIGINT),
        ("Application startup complete.", signal.SIGTERM, 0),
        ("Application startup complete.", signal.SIGINT, 0),
    ],
)
def test_signals(endpoint: str, tmp_path: Path, moment: str, sent: signal.Signals, code: int) -> None:
    slow = "0" if moment.startswith("App") else "5"
    run = Vllm(tmp_path, "serve", TINY, HF_ENDPOINT=endpoint, VLLM_STANDIN_LOAD_SECONDS=slow)
    run.wait_for(moment)
    began = time.monotonic()
    run.process.send_signal(sent)
    assert run.ended() == code
    assert time.monotonic() - began < 2
