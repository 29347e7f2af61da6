"""The invariant: a phase never goes back, and tells how far it got as soon as the log does."""

import pytest

from serving import Phase, Stage, phase_of

# One start, as vLLM 0.32 logs it; (line, stage, what is shown after it).
START = [
    (
        "(APIServer pid=1) INFO 11-25 18:39:00 [utils.py:233] non-default args: {...}",
        Stage.STARTING,
        "starting vLLM",
    ),
    (
        "(APIServer pid=1) INFO 11-25 18:39:05 [model.py:1724] Using max model len 4096",
        Stage.STARTING,
        "starting vLLM (max_model_len 4096)",
    ),
    (
        "(EngineCore pid=2) INFO 11-25 18:39:09 [gpu_model_runner.py:4117] Starting to load model org/it...",
        Stage.DOWNLOADING,
        "downloading weights",
    ),
    (
        "model-00001-of-00002.safetensors:  45%|████▌     | 2.25G/5.00G [01:00<01:15, 36.6MB/s]",
        Stage.DOWNLOADING,
        "downloading weights (model-00001-of-00002.safetensors 45 %)",
    ),
    (
        "(EngineCore pid=2) INFO 11-25 18:41:09 [weight_utils.py:447] Time spent downloading "
        "weights for org/it: 120 seconds",
        Stage.LOADING,
        "loading weights",
    ),
    (
        "Loading safetensors checkpoint shards:  38% Completed | 3/8 [00:10<00:15,  3.10s/it]",
        Stage.LOADING,
        "loading weights (3/8)",
    ),
    (
        "(EngineCore pid=2) INFO 11-25 18:41:40 [default_loader.py:384] Loading weights took 26.93 seconds",
        Stage.LOADING,
        "loading weights (done)",
    ),
    (
        "(EngineCore pid=2) INFO 11-25 18:41:41 [gpu_model_runner.py:4218] Model loading took "
        "14.2488 GiB memory and 31.6 seconds",
        Stage.WARMING_UP,
        "warming up (weights take 14.2488 GiB)",
    ),
    (
        "(EngineCore pid=2) INFO 11-25 18:41:50 [backends.py:1148] Dynamo bytecode transform time: 8.52 s",
        Stage.WARMING_UP,
        "warming up (compiling)",
    ),
    (
        "(EngineCore pid=2) INFO 11-25 18:42:10 [monitor.py:34] torch.compile takes 28.29 s in total",
        Stage.WARMING_UP,
        "warming up (compiled in 28.29 s)",
    ),
    (
        "(EngineCore pid=2) INFO 11-25 18:42:12 [gpu_worker.py:436] Available KV cache memory: 5.03 GiB",
        Stage.WARMING_UP,
        "warming up (5.03 GiB for the KV cache)",
    ),
    (
        "(EngineCore pid=2) INFO 11-25 18:42:12 [kv_cache_utils.py:1319] GPU KV cache size: "
        "188,512 tokens, "
        "Maximum concurrency for 4,096 tokens per request: 46.02x",
        Stage.WARMING_UP,
        "warming up (KV cache of 188,512 tokens)",
    ),
    (
        "Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  39%|███▉      | 20/51 [00:02<00:03]",
        Stage.WARMING_UP,
        "warming up (capturing graphs 20/51)",
    ),
    (
        "(EngineCore pid=2) INFO 11-25 18:42:18 [gpu_model_runner.py:6053] Graph capturing "
        "finished in 4 secs, took 0.49 GiB",
        Stage.WARMING_UP,
        "warming up (graphs captured)",
    ),
    (
        "(EngineCore pid=2) INFO 11-25 18:42:18 [core.py:283] init engine (profile, create kv "
        "cache, warmup model) took 19 s",
        Stage.WARMING_UP,
        "warming up (engine is ready)",
    ),
    (
        "(APIServer pid=1) INFO 11-25 18:42:20 [api_server.py:640] Starting vLLM server on http://0.0.0.0:8000",
        Stage.WARMING_UP,
        "warming up (starting the server)",
    ),
    ("(APIServer pid=1) INFO:     Application startup complete.", Stage.READY, "server is up"),
]


@pytest.mark.parametrize("lines", range(1, len(START) + 1))
def test_a_start_line_by_line(lines: int) -> None:
    phase = phase_of("\n".join(line for line, _, _ in START[:lines]))
    _, stage, shown = START[lines - 1]
    assert (phase.stage, str(phase)) == (stage, shown)


def test_nothing_yet() -> None:
    assert phase_of(None) == phase_of("") == Phase(Stage.STARTING)
    assert str(phase_of("")) == "starting vLLM"


def test_a_progress_bar_drawn_over_itself_shows_its_last_state() -> None:
    bar = "Loading safetensors checkpoint shards: {}"
    log = "\r".join(bar.format(f"{n * 50:3d}% Completed | {n}/2 [00:0{n}<00:01]") for n in range(3))
    assert str(phase_of(log)) == "loading weights (2/2)"
    assert str(phase_of(log + "\r\n")) == "loading weights (2/2)"


def test_pickled_and_fast_shards_count_too() -> None:
    assert phase_of("Loading pt checkpoint shards:  50% Completed | 1/2").detail == "1/2"
    assert phase_of("Loading fastsafetensors checkpoint shards:  20% Completed | 1/5").detail == "1/5"


def test_a_request_log_after_the_start_changes_nothing() -> None:
    log = "INFO:     Application startup complete.\nINFO:     127.0.0.1 - GET /health 200 OK\nUsing max model len 3"
    assert phase_of(log).stage is Stage.READY


def test_texts_of_older_releases() -> None:
    assert phase_of("INFO 10-07 [model_runner.py:1117] Loading model weights took 2.3185 GB").stage is Stage.WARMING_UP
    assert phase_of("INFO [api_server.py] Starting vLLM API server on http://0.0.0.0:8000").stage is Stage.WARMING_UP
