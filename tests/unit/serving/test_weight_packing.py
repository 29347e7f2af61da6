"""The invariant: a quantized matrix has the bytes that its method's checkpoints store for it."""

from typing import Any

import pytest

from serving.tensors import DTYPE_BYTES
from serving.weight_packing import pieces

from .model_configs import AWQ, GPTQ

OUT, INTO = 4096, 14336
ALL = OUT * INTO


def compressed(**weights: Any) -> dict[str, Any]:
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": weights}}}


@pytest.mark.parametrize(
    ("carried", "expected"),
    [
        ({}, 2 * ALL),
        (AWQ, ALL / 2 + ALL / 128 * 2.5),
        (GPTQ, ALL / 2 + ALL / 128 * 2.5 + INTO * 4),
        (GPTQ | {"bits": 8, "group_size": -1}, ALL + OUT * 3 + INTO * 4),
        ({"quant_method": "fp8"}, ALL + 4),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, ALL + ALL / 128**2 * 4),
        (compressed(num_bits=8, type="float", strategy="channel"), ALL + OUT * 2),
        (compressed(num_bits=8, type="int", strategy="channel"), ALL + OUT * 2),
        (compressed(num_bits=4, type="int", group_size=128, symmetric=True), ALL / 2 + ALL / 128 * 2),
        (compressed(num_bits=4, type="int", group_size=128, symmetric=False), ALL / 2 + ALL / 128 * 2.5),
        (compressed(num_bits=4, type="float", group_size=16), ALL / 2 + ALL / 16),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, ALL + 4),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, ALL / 2 + ALL / 16),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, ALL / 2 + ALL / 64),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, ALL + OUT * 4),
    ],
)
def test_bytes_of_a_matrix(carried: dict[str, Any], expected: float) -> None:
    total = 0.0
    for _, dtype, shape in pieces(carried, OUT, INTO):
        count = 1
        for length in shape:
            count *= length
        total += count * DTYPE_BYTES[dtype or "BF16"]
    assert total == expected
