"""What a server says of its load is read by name from any release, and engines are added up."""

from __future__ import annotations

import pytest

from cli.logs import fresh
from cli.metrics import Load, load_of

V1 = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="org/a,b"} 3.0
vllm:num_requests_running{engine="1",model_name="org/a,b"} 2.0
vllm:num_requests_waiting{engine="0",model_name="org/a,b"} 1.0
vllm:num_requests_waiting{engine="1",model_name="org/a,b"} 0.0
vllm:kv_cache_usage_perc{engine="0",model_name="org/a,b"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="org/a,b"} 0.5
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 7.0
"""
V0 = """\
vllm:num_requests_running{model_name="m"} 1.0
vllm:num_requests_waiting{model_name="m"} 4.0
vllm:gpu_cache_usage_perc{model_name="m"} 1e-3
"""


@pytest.mark.parametrize(
    ("text", "load"),
    [
        (V1, Load(5, 1, 0.5)),
        (V0, Load(1, 4, 0.001)),
        ("vllm:num_requests_running 2\n", Load(2, 0, None)),
        ("vllm:num_requests_running no-number\nvllm:num_requests_running NaN\n", None),
        ("process_cpu_seconds_total 1.0\n", None),
        ("<html>busy</html>", None),
        ("", None),
    ],
)
def test_load(text: str, load: Load | None) -> None:
    assert load_of(text) == load


@pytest.mark.parametrize(
    ("before", "now", "new"),
    [
        ("", "a\n", "a\n"),
        ("a\nb", "a\nbc\nd", "c\nd"),
        ("a\nb\n", "a\nb\n", ""),
        ("a\nb\nc\n", "b\nc\nd\n", "d\n"),  # the cluster has let go of the beginning
        ("a\nb\nc\n", "", ""),  # it has none for a moment
        ("a\nb\n", "x\ny\n", "x\ny\n"),
        ("x\n" * 9000, "x\n" * 9001, "x\n"),
    ],
)
def test_what_is_new_in_a_log(before: str, now: str, new: str) -> None:
    assert fresh(before, now) == new
