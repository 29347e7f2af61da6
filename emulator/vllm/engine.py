"""One start of `vllm serve`, from flags to a ready server: its log lines, its waiting, its ends."""

import argparse
import math
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any, NoReturn

from emulator.vllm import checks, cli, memory, server
from emulator.vllm.api import Api
from emulator.vllm.faults import Faults, read_faults
from emulator.vllm.journal import API, ENGINE, Refusal, leave, log, raw, report
from emulator.vllm.memory import Card, Memory
from emulator.vllm.repo import Model, read_model

# Shares of the load time: before the weights, the weights, compile, graph capture.
_BEFORE, _WEIGHTS, _COMPILE, _CAPTURE = 0.1, 0.6, 0.2, 0.1
_SHARD_BARS = {".safetensors": "safetensors", ".bin": "pt"}


def main(argv: Sequence[str]) -> NoReturn:
    """Run until a signal or a fault ends the process; exit codes as the real program's."""
    try:
        args = cli.parse(argv)
        cli.validate(args)
        if args.config:
            raise Refusal("NotImplementedError", "the stand-in reads no --config file: pass the flags")
        _run(args, read_faults())
    except Refusal as refusal:
        report(refusal)
        leave(1)


def _run(args: argparse.Namespace, faults: Faults) -> NoReturn:
    log(API, "utils.py:299", f"vLLM API server version {args.version}, serving model {args.model}")
    log(API, "utils.py:233", f"non-default args: {args.non_default}")
    _exit_if_asked(faults, "start")
    socket = server.bind(args.host, args.port)
    model, start = _configure(args)
    sizes = _load(start, model, faults)
    api = Api(args, sizes, model.chat_template, faults, vocab=start.size.vocab)
    signal.signal(signal.SIGTERM, _stop_serving)
    signal.signal(signal.SIGINT, _stop_serving)
    log(API, "api_server.py:612", "Supported tasks: ['generate']")
    log(API, "api_server.py:640", f"Starting vLLM server on http://{args.host or '0.0.0.0'}:{args.port}")
    raw(API, f"INFO:     Started server process [{os.getpid()}]\nINFO:     Waiting for application startup.")
    server.listen(socket, api, access_log=not args.disable_uvicorn_access_log)
    raw(API, "INFO:     Application startup complete.")
    _exit_if_asked(faults, "ready")
    socket.serve_forever(poll_interval=60)
    leave(0)


def card_of(environ: Mapping[str, str] = os.environ) -> Card:
    """The GPU the emulator says the session has: EMULATOR_GPU_NAME, _GIB, _CAPABILITY and EMULATOR_GPUS."""
    gpus = environ.get("EMULATOR_GPUS")
    return Card(
        name=environ.get("EMULATOR_GPU_NAME", "NVIDIA H100 80GB HBM3"),
        gib=float(environ.get("EMULATOR_GPU_GIB", "79.2")),
        capability=int(environ.get("EMULATOR_GPU_CAPABILITY", "90")),
        gpus=math.ceil(float(gpus)) if gpus else None,
    )


def _configure(args: argparse.Namespace) -> tuple[Model, checks.Start]:
    """The config stage: read the model, refuse what cannot start, settle the batch defaults."""
    card = card_of()
    if card.gpus == 0:
        text = (
            "Failed to infer device type, please set the environment variable `VLLM_LOGGING_LEVEL=DEBUG` "
            "to turn on verbose logging to help debug the issue."
        )
        raise Refusal("RuntimeError", text)
    token = args.hf_token if isinstance(args.hf_token, str) else None
    model = read_model(args.model, args.revision, token)
    config = model.config | (args.hf_overrides if isinstance(args.hf_overrides, dict) else {})
    start = checks.start_of(args, config, card)
    log(API, "model.py:561", f"Resolved architecture: {config['architectures'][0]}")
    _settle_batch(args, card, start.max_model_len)
    checks.check_config(start)
    if args.max_model_len != -1:
        log(API, "model.py:1724", f"Using max model len {start.max_model_len}")
    text = f"Chunked prefill is enabled with max_num_batched_tokens={args.max_num_batched_tokens}."
    log(API, "scheduler.py:239", text)
    return model._replace(config=config), start


def _settle_batch(args: argparse.Namespace, card: Card, length: int) -> None:
    """Fill what the user left open, each bounded by the other as vLLM does it."""
    tokens, seqs = memory.batch_defaults(card)
    asked_seqs = args.max_num_seqs
    args.max_num_seqs = seqs if asked_seqs is None else asked_seqs
    if args.max_num_batched_tokens is None:
        args.max_num_batched_tokens = min(tokens, args.max_num_seqs * length) if length > 0 else tokens
    if asked_seqs is None:
        args.max_num_seqs = min(args.max_num_seqs, args.max_num_batched_tokens)


def _load(start: checks.Start, model: Model, faults: Faults) -> Memory:
    """The engine's part: build, load, size the KV cache. Takes `load_seconds`; may never end, on demand."""
    args, began = start.args, time.monotonic()
    text = f"Initializing a V1 LLM engine (v{args.version}) with config: {_engine_config(start)}"
    log(ENGINE, "core.py:105", text)
    time.sleep(faults.load_seconds * _BEFORE)
    # The first SIGTERM is swallowed while the engine loads; SIGINT ends the process as any other's.
    signal.signal(signal.SIGTERM, _swallow)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    log(ENGINE, "gpu_model_runner.py:4117", f"Starting to load model {args.model}...")
    checks.check_build(start)
    weights = memory.loaded_gib(args, model.config, start.card)
    while faults.hang:
        signal.pause()
    _exit_if_asked(faults, "loading")
    _load_weights(model.weights, faults.load_seconds * _WEIGHTS)
    text = f"Model loading took {weights:.4f} GiB memory and {time.monotonic() - began:.6f} seconds"
    log(ENGINE, "gpu_model_runner.py:4218", text)
    sizes = _warm_up(start, weights, faults.load_seconds)
    text = f"init engine (profile, create kv cache, warmup model) took {time.monotonic() - began:.2f} s"
    log(ENGINE, "core.py:272", text)
    return sizes


def _warm_up(start: checks.Start, weights: float, load_seconds: float) -> Memory:
    """Compile, size the KV cache, capture graphs; the first and the last not with --enforce-eager."""
    args = start.args
    compile_seconds, capture_seconds = load_seconds * _COMPILE, load_seconds * _CAPTURE
    time.sleep(compile_seconds)
    if not args.enforce_eager:
        log(ENGINE, "monitor.py:76", f"torch.compile took {compile_seconds:.2f} s in total")
    sizes = memory.plan(args, start.config, start.card, weights, start.max_model_len)
    log(ENGINE, "gpu_worker.py:436", f"Available KV cache memory: {sizes.available:.2f} GiB")
    text = (
        f"GPU KV cache size: {sizes.tokens:,} tokens, Maximum concurrency for {sizes.max_model_len:,} tokens "
        f"per request: {sizes.concurrency:.2f}x"
    )
    log(ENGINE, "kv_cache_utils.py:1329", text)
    time.sleep(capture_seconds)
    if not args.enforce_eager:
        text = f"Graph capturing finished in {capture_seconds:.0f} secs, took {sizes.graphs:.2f} GiB"
        log(ENGINE, "gpu_model_runner.py:5246", text)
    return sizes


def _load_weights(files: list[str], seconds: float) -> None:
    began, count = time.monotonic(), max(1, len(files))
    kind = next((bar for ending, bar in _SHARD_BARS.items() if files and files[0].endswith(ending)), "safetensors")
    for done in range(count + 1):
        took = time.monotonic() - began
        share = f"{100 * done // count:3d}% Completed | {done}/{count}"
        raw(ENGINE, f"Loading {kind} checkpoint shards: {share} [{_clock(took)}<{_clock(seconds - took)}]")
        if done < count:
            time.sleep(seconds / count)
    log(ENGINE, "default_loader.py:384", f"Loading weights took {time.monotonic() - began:.2f} seconds")


def _clock(seconds: float) -> str:
    whole = max(0, int(seconds))
    return f"{whole // 60:02d}:{whole % 60:02d}"


def _engine_config(start: checks.Start) -> str:
    args = start.args
    shown: dict[str, Any] = {
        "model": args.model,
        "revision": args.revision,
        "max_seq_len": start.max_model_len,
        "tensor_parallel_size": args.tensor_parallel_size,
        "quantization": start.method or None,
        "enforce_eager": args.enforce_eager,
        "kv_cache_dtype": args.kv_cache_dtype,
    }
    return ", ".join(f"{key}={value!r}" for key, value in shown.items())


def _exit_if_asked(faults: Faults, phase: str) -> None:
    """End the process at its phase, at once or in a while; a failure leaves a cause in the log."""
    if faults.exit is None or faults.exit.phase != phase:
        return
    code, _, seconds = faults.exit

    def end() -> None:
        if code:
            text = f"the stand-in was told to end with exit code {code} at {phase!r} (VLLM_STANDIN_EXIT)"
            report(Refusal("RuntimeError", text, source=API if phase == "start" else ENGINE))
        leave(code)

    if seconds:
        threading.Timer(seconds, end).start()
    else:
        end()


def _swallow(signum: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _stop_serving(signum: int, frame: FrameType | None) -> None:
    raw(API, "INFO:     Shutting down\nINFO:     Waiting for application shutdown.")
    raw(API, f"INFO:     Application shutdown complete.\nINFO:     Finished server process [{os.getpid()}]")
    leave(0)
