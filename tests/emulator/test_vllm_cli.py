"""The stand-in takes exactly the flags of vLLM 0.32.0, with the semantics of its parser.

Invariant: what the real parser refuses is refused here with exit code 2, what it lets through is let through.
"""

import json
from typing import Any

import pytest

from emulator.vllm import cli
from emulator.vllm.journal import Refusal

DATA = json.loads(cli.FLAGS_FILE.read_text())


def parse(*words: str) -> dict[str, Any]:
    return vars(cli.parse(["serve", *words]))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["m", "--max-model-len=32k"], {"model": "m", "max_model_len": 32000}),
        (["m", "--max-model-len=32K"], {"max_model_len": 32768}),
        (["m", "--max-model-len=1.5k"], {"max_model_len": 1500}),
        (["m", "--max-model-len=auto"], {"max_model_len": -1}),
        (["m", "--max-model-len", "-1"], {"max_model_len": -1}),
        (["m", "--tensor-parallel", "2"], {"tensor_parallel_size": 2}),
        (["m", "-tp", "2", "-q", "awq"], {"tensor_parallel_size": 2, "quantization": "awq"}),
        (["m", "--max_model_len", "5"], {"max_model_len": 5}),
        (["m", "--port=1", "--port=2"], {"port": 2}),
        (["m", "--api-key=-x"], {"api_key": ["-x"]}),
        (["m", "--no-enforce-eager"], {"enforce_eager": False}),
        (["m", "--enforce-eager", "--trust-remote-code"], {"enforce_eager": True, "trust_remote_code": True}),
        (["m", "--served-model-name", "a", "b"], {"served_model_name": ["a", "b"]}),
        (["m", "--hf-overrides", '{"a": 1}'], {"hf_overrides": {"a": 1}}),
        (["m", "--hf-overrides.rope_scaling.factor", "2"], {"hf_overrides": {"rope_scaling": {"factor": 2}}}),
        (["--model", "m", "--port=1"], {"model": "m", "port": 1}),
        (["--port=1", "--model=m"], {"model": "m", "port": 1}),
        (["m", "-O3"], {"optimization_level": "3"}),
        (["m", "--kv-cache-dtype=fp8"], {"kv_cache_dtype": "fp8"}),
        (["m", "--dcp-comm-backend=None"], {"dcp_comm_backend": None}),
        (["m", "--moe-backend=FlashInfer-TRTLLM"], {"moe_backend": "flashinfer_trtllm"}),
        (["m", '--hf-overrides={"a": '], {"hf_overrides": '{"a": '}),
        (["m", "--prefix-match-unit=16"], {"prefix_match_unit": 16}),
        (
            ["m", "--lora-modules", "a=x", '{"name": "b", "path": "y"}', ""],
            {"lora_modules": [{"name": "a", "path": "x"}, {"name": "b", "path": "y"}]},
        ),
        # let through by the parser, to fail later
        (["m", "--quantization=int3"], {"quantization": "int3"}),
        (["m", "--load-format=nonsense"], {"load_format": "nonsense"}),
        (["m", "--gpu-memory-utilization=1.5"], {"gpu_memory_utilization": 1.5}),
        (["m", "--port=99999"], {"port": 99999}),
        (["m", "--tensor-parallel-size=0"], {"tensor_parallel_size": 0}),
        # a flag with nargs='+' swallows the model: another one is served
        (["--api-key", "k1", "acme/m"], {"api_key": ["k1", "acme/m"], "model": "Qwen/Qwen3-0.6B"}),
        (["--api-key=k1", "acme/m"], {"api_key": ["k1"], "model": "acme/m"}),
    ],
)
def test_accepted(words: list[str], expected: dict[str, Any]) -> None:
    assert {key: value for key, value in parse(*words).items() if key in expected} == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["m", "--no-such-flag=1"], "vllm: error: unrecognized arguments: --no-such-flag=1"),
        (["m", "--tp=2"], "unrecognized arguments: --tp=2"),
        (["m", "--trust-remote-code", "true"], "unrecognized arguments: true"),
        (["m", "n"], "unrecognized arguments: n"),
        (["m", "--port=x"], "argument --port: invalid int value: 'x'"),
        (["m", "--max-model-len=1e3"], "invalid human_readable_int_or_auto value: '1e3'"),
        (["m", "--max-model-len=1.5K"], "Decimals are not allowed with binary suffixes"),
        (["m", "--dtype=bf16"], "argument --dtype: invalid choice: 'bf16'"),
        (["m", "--kv-cache-dtype=int8"], "argument --kv-cache-dtype: invalid choice: 'int8'"),
        (["m", "--api-key", "-x"], "argument --api-key: expected at least one argument"),
        (["m", "--kv-cache-memory-bytes=x"], "Value x cannot be converted to"),
        (["m", "--compilation-config=nojson"], "Value nojson cannot be converted to"),
        (["m", "--lora-modules=x"], "Invalid JSON format for --lora-modules: x"),
        (["m", '--lora-modules={"name": "b"}'], "Invalid fields for --lora-modules"),
        (["m", "--lora-modules=1"], "Invalid fields for --lora-modules"),
    ],
)
def test_refused_with_exit_code_2(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(*words)
    errors = capsys.readouterr().err
    assert caught.value.code == 2
    assert said in errors and errors.startswith("usage: vllm")


def test_a_served_name_in_front_of_the_model_is_refused() -> None:
    with pytest.raises(Refusal, match="`model` should be provided as the first positional argument"):
        parse("--served-model-name", "n", "acme/m")
    assert parse("acme/m", "--served-model-name", "n")["served_model_name"] == ["n"]


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        (["--chat-template=./none.jinja"], "vllm.exceptions.VLLMValidationError", "appears path-like"),
        (["--grpc-port=1"], "ValueError", "--grpc-port requires VLLM_USE_RUST_FRONTEND=1"),
        (["--enable-auto-tool-choice"], "TypeError", "requires --tool-call-parser"),
        (["--enable-log-outputs"], "TypeError", "requires --enable-log-requests"),
        (["--sse-keep-alive-interval=-1"], "ValueError", "must be a non-negative integer"),
        (["--enable-per-request-metrics", "--disable-log-stats"], "ValueError", "remove --disable-log-stats"),
        (["--data-parallel-multi-port-external-lb"], "ValueError", "requires --data-parallel-size > 1"),
        (["-dpm", "--data-parallel-size=2"], "ValueError", "requires --data-parallel-size-local >= 2"),
    ],
)
def test_refused_once_it_is_parsed(words: list[str], kind: str, said: str) -> None:
    with pytest.raises(Refusal, match=said) as caught:
        cli.validate(cli.parse(["serve", "m", *words]))
    assert caught.value.kind == kind


@pytest.mark.parametrize("words", [["--chat-template=template_chatml.jinja"], ["--chat-template={{ messages }}"]])
def test_templates_that_need_no_file(words: list[str]) -> None:
    cli.validate(cli.parse(["serve", "m", *words]))


@pytest.mark.parametrize("flag", [name for flag in DATA["gone"] for name in flag["flags"]])
def test_flags_of_older_releases_are_refused(flag: str) -> None:
    with pytest.raises(SystemExit) as caught:
        parse("m", f"{flag}=1")
    assert caught.value.code == 2


def test_every_flag_of_the_release_has_its_default() -> None:
    parsed = parse("m")
    for flag in DATA["flags"]:
        if flag["type"] != "help" and flag["dest"] not in ("model", "model_tag"):
            assert parsed[flag["dest"]] == flag["default"], flag["flags"]
    assert len(DATA["flags"]) == 318


def test_secrets_are_masked_in_the_log_of_arguments() -> None:
    shown = parse("m", "--api-key=k1", "--hf-token=hf_x", "--port=8000", "--max-model-len=5")["non_default"]
    assert shown == {"model_tag": "m", "api_key": "***", "hf_token": "***", "max_model_len": 5}


@pytest.mark.parametrize(("words", "said"), [(["--version"], "0.32.0\n"), (["serve", "--help"], "usage: vllm serve")])
def test_version_and_help(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.parse(words)
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(said)
