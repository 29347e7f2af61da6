"""The invariant: a start's figures are read from the log of every release, and from the metrics where it is silent."""

from __future__ import annotations

import pytest

from serving.server_figures import Figures, figures_of

V0_32 = """\
(EngineCore pid=71) INFO 11-24 18:12:04 [gpu_model_runner.py:4218] Model loading took 14.2717 GiB memory and 3.1 seconds
(EngineCore pid=71) INFO 11-24 18:12:20 [gpu_worker.py:436] Available KV cache memory: 17.81 GiB
(EngineCore pid=71) INFO 11-24 18:12:20 [kv_cache_utils.py:1329] GPU KV cache size: 333,472 tokens, \
Maximum concurrency for 8,192 tokens per request: 40.71x
"""
TWO_RANKS = """\
(Worker_TP0 pid=9) INFO 05-01 10:00:00 [gpu_model_runner.py:1843] Model loading took 19.4112 GiB and 8.9 seconds
(Worker_TP1 pid=8) INFO 05-01 10:00:00 [gpu_model_runner.py:1843] Model loading took 19.5000 GiB and 9.1 seconds
(Worker_TP0 pid=9) INFO 05-01 10:00:09 [gpu_worker.py:232] Available KV cache memory: 14.00 GiB
(Worker_TP1 pid=8) INFO 05-01 10:00:09 [gpu_worker.py:232] Available KV cache memory: 13.50 GiB
INFO 05-01 10:00:10 [kv_cache_utils.py:833] GPU KV cache size: 176,944 tokens
INFO 05-01 10:00:10 [kv_cache_utils.py:837] Maximum concurrency for 8,192 tokens per request: 21.60x
"""
V0 = """\
INFO 02-01 10:00:00 model_runner.py:1115] Loading model weights took 14.2487 GB
INFO 02-01 10:00:05 worker.py:266] model weights take 14.25GiB; the rest of the memory reserved for KV Cache is 5.07GiB.
INFO 02-01 10:00:05 executor_base.py:110] # CUDA blocks: 5933, # CPU blocks: 4681
INFO 02-01 10:00:05 executor_base.py:115] Maximum concurrency for 4096 tokens per request: 23.18x
"""
METRICS = """\
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="16",engine="0",kv_cache_max_concurrency="40.71",kv_cache_size_tokens="333472",\
num_gpu_blocks="20842"} 1.0
"""
OLD_METRICS = 'vllm:cache_config_info{block_size="16",num_gpu_blocks="100",kv_cache_size_tokens="None"} 1.0\n'


@pytest.mark.parametrize(
    ("log", "metrics", "figures"),
    [
        (V0_32, None, Figures(14.2717, 17.81, 333472, 40.71)),
        (TWO_RANKS, "", Figures(19.5, 13.5, 176944, 21.6)),
        (V0.replace("CUDA", "GPU"), None, Figures(14.2487, 5.07, 94928, 23.18)),
        ("", METRICS, Figures(None, None, 333472, 40.71)),
        (None, OLD_METRICS, Figures(None, None, 1600, None)),
        ("nothing of the kind", "# nothing", Figures()),
    ],
    ids=["0.32", "two ranks", "V0", "metrics only", "old metrics", "nothing"],
)
def test_figures(log: str | None, metrics: str | None, figures: Figures) -> None:
    assert figures_of(log, metrics) == figures
    assert bool(figures) is bool(figures.as_dict())
