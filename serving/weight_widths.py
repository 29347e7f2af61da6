"""How many bytes an element has once vLLM has loaded it: dtype conversion, and what quantization methods keep.

Sources (vLLM 0.32.0, model_executor/layers/quantization): fp8.py, auto_awq.py, auto_gptq.py, mxfp4.py, online/,
experts_int8.py; bitsandbytes.py of 0.27; kernels/linear/mixed_precision/machete.py and marlin.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .model_config import text_config
from .quantization import AWQ, carried_by
from .tensors import DTYPE_BYTES, FLOATS, Stored
from .weight_parts import Part, Split

if TYPE_CHECKING:
    from .engine import Engine

HOPPER = (9, 0)
_DATACENTRE_BLACKWELL = 10  # major compute capability
_MACHETE_AWQ_SINCE = (0, 20)  # before, AWQ went to Marlin on every card
_ONE_MXFP4_TABLE_SINCE = (0, 21)  # fused_moe/oracle/mxfp4.py; before, quantization/mxfp4.py
_WORD = 8  # int4 values in one int32
# `--quantization` of a checkpoint that isn't quantized -> bytes that one weight of a linear layer comes to.
_ONLINE = {
    "fp8": 1.0,
    "fp8_per_tensor": 1.0,
    "fp8_per_channel": 1.0,
    "fp8_per_block": 1.0 + 4 / 128**2,
    "ptpc_fp8": 1.0,
    "int8_per_channel_weight_only": 1.0,
    "rtn": 1.0,
    "mxfp8": 1.0 + 1 / 32,
    "nvfp4_per_token": 0.5 + 1 / 16,
    "bitsandbytes": 0.5 + 4 / 64,  # nf4, and a float32 for each 64 of them
}
_EXPERTS_ONLY = frozenset({"experts_int8", "moe_wna16"})
# Parameters that keep float32 whatever the model's dtype is.
_FLOAT32 = frozenset({"weight_scale_inv", "weight_scale_2", "input_scale", "weight_global_scale", "input_global_scale"})
_FLOAT32_NAMES = ("e_score_correction_bias",)
_ZEROS = frozenset({"qzeros", "weight_zero_point"})
_DROPPED = frozenset(
    {"quant_map", "nested_absmax", "nested_quant_map", "weight_shape", "k_scale", "v_scale", "q_scale"}
)


class Widths:
    """The widths of one model's tensors under one engine."""

    def __init__(self, config: Mapping[str, Any], engine: Engine) -> None:
        self.engine = engine
        carried = carried_by(config) or {}
        self.method = str(carried.get("quant_method", "")).lower()
        self._carried = carried
        self._text = text_config(config)
        asked = engine.quantization
        self.online = _ONLINE.get(asked) if asked and not self.method else None
        self._experts_only = 1.0 if asked == "experts_int8" and not self.method else None

    def online_width(self, stored: Stored, part: Part) -> float | None:
        """Bytes of an element that is quantized while loading; None for one that isn't."""
        if stored.dtype not in FLOATS or part.leaf != "weight" or len(stored.shape) < 2:  # noqa: PLR2004
            return None
        if part.split is Split.EXPERT and self._experts_only is not None:
            return self._experts_only
        return self.online if part.linear else None

    def of(self, stored: Stored, part: Part) -> float:
        """Bytes of one stored element once it is loaded."""
        leaf, dtype = part.leaf, stored.dtype
        if leaf in _DROPPED:
            return 0.0
        if leaf.endswith("g_idx"):
            return 8.0 if self._carried.get("desc_act") is True and self._carried.get("group_size") != -1 else 0.0
        if leaf == "absmax":
            return 4.0  # the loader undoes the second quantization of bitsandbytes
        if leaf in _ZEROS and dtype == "I32" and part.split is not Split.EXPERT and self._machete_zeros():
            return float(_WORD * self.engine.dtype_bytes)
        if stored.name.endswith(".A_log"):
            return 4.0  # mamba's mixers make float32 of it
        if dtype in FLOATS:
            keeps = leaf in _FLOAT32 or stored.name.endswith(_FLOAT32_NAMES)
            return 4.0 if keeps and dtype == "F32" else float(self.engine.dtype_bytes)
        return DTYPE_BYTES.get(dtype, float(self.engine.dtype_bytes))

    def _machete_zeros(self) -> bool:
        """Machete, Hopper's kernel for int4, keeps zero points as 16-bit floats, scaled beforehand.

        GPTQ's are not among them: what is loaded of it is symmetric.
        """
        engine = self.engine
        if engine.gpu.capability != HOPPER:
            return False
        return self.method == "compressed-tensors" or (
            self.method in AWQ
            and self._carried.get("zero_point", True) is True
            and engine.release >= _MACHETE_AWQ_SINCE
        )

    def latent_copy(self) -> float:
        """Bytes a layer and rank of W_UK and W_UV, which MLA keeps unpacked beside a quantized kv_b_proj.

        vLLM's layers/attention/mla_attention.py, process_weights_after_loading: of an unquantized projection
        they are views.
        """
        text, engine = self._text, self.engine
        if not text.get("kv_lora_rank") or not (self.method or self.online):
            return 0.0
        heads = float(text["num_attention_heads"]) / engine.tensor_parallel_size
        values = float(text["qk_nope_head_dim"] + text["v_head_dim"]) * text["kv_lora_rank"]
        return float(heads * values * engine.dtype_bytes)

    def mxfp4_padding(self, inner: int, hidden: int) -> tuple[int, int]:
        """The sizes of gpt-oss's experts on one rank, as the kernel of the card wants them.

        fused_moe/oracle/mxfp4.py, mxfp4_round_up_hidden_size_and_intermediate_size: Triton on Hopper, TRT-LLM
        kernels on datacentre Blackwell, Marlin on everything else of NVIDIA.  Before 0.21 quantization/mxfp4.py:
        Triton on consumer Blackwell too.
        """
        capability, one_table = self.engine.gpu.capability, self.engine.release >= _ONE_MXFP4_TABLE_SINCE
        if capability is None:  # ROCm
            return _up(inner, 256), _up(hidden, 256)
        major = capability[0]
        if major == HOPPER[0] or (major > _DATACENTRE_BLACKWELL and not one_table):
            return _up(inner, 64), hidden
        old_blackwell = major == _DATACENTRE_BLACKWELL and not one_table
        return _up(inner, 256 if old_blackwell else 128), _up(hidden, 256)


def _up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
