"""The peak of vLLM's profile run: one forward pass of max_num_batched_tokens tokens, then one sampling step.  In bytes.

`GPUModelRunner.profile_run` (v1/worker/gpu_model_runner.py; the new runner: v1/worker/gpu/model_runner.py).  What is
alive at the largest moment decides, so each moment is counted for itself and the largest taken:

encoder   pictures of the largest size through the vision tower, whose output stays while the rest runs
compiling with torch.compile and a cold cache, a copy of the embedding table beside two hidden states
forward   the MLP of one layer (`gate_up_proj`, activation), or the experts, or the latent attention's projections
sampling  the logits of max_num_seqs sequences, and in the old runner what float32 makes of them
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .engine import Engine, uses_mla
from .estimates import GIB, Range
from .model_config import Sizes, padded_vocab, text_config
from .overheads import expert_scratch, moe_workspace, staying
from .vllm_eras import FLASHINFER_OFF, SORTLESS_SAMPLER

Config = Mapping[str, Any]
# Families whose MLP keeps the up projection while the down projection runs: model_executor/models, files with
# "gate_up, _ = self.gate_up_proj(x)".
_KEEPS_GATE = ("qwen", "gemma", "cohere", "glm4", "granite", "internlm2", "minicpm", "deepseek", "exaone")
_KEEPS_GATE_TOO = ("stablelm", "orion", "solar", "ernie", "mimo", "kimi", "longcat")
_LOGITS_IN_SINGLE = 12  # bytes a logit: float32, its probabilities, and random numbers
_LOGITS_SORTED = 36  # before 0.17: float32, sorted values and indices, and the sort's own copies
_FEW = 8  # sequences: below, the newer sampler sorts as well
_EXPERT_HIDDEN = 5.5  # hidden states alive while experts run
_LATENT_ROWS = 64 * 1024
_MERGED = 4  # patches a picture token, where the config doesn't say
_PICTURE_TOKENS = 16384  # of the largest picture of the Qwen-VL family
_ENCODER_REST = 0.08 * GIB


def activation(config: Config, found: Sizes, engine: Engine) -> Range:
    """The peak less what stays (`overheads.staying`).

    Up to 0.10 vLLM's images have FlashInfer's sampler and most installations by pip haven't: the likely value is
    between the two.
    Of pipeline stages, the first compiles the embedding and the last samples; vLLM's KV cache is as small as on the
    stage with the least room, so the larger of the two counts.
    """
    stays = staying(found, engine)
    text = text_config(config)
    tower = _encoder(config, found, engine) if engine.multimodal else (0.0, 0.0)
    forward = stays + _forward(text, found, engine)
    sampling = stays + _sampling(text, found, engine)
    sorted_low = stays + _sampling(text, found, engine, sorts=False)
    low, run = max(forward, sampling), max(forward, sampling)
    high = max(run + tower[0], tower[1])
    if engine.release < FLASHINFER_OFF and not engine.v0_engine:  # its sampler, which sorts nothing, may be installed
        low = max(forward, sorted_low)
        run = (low + run) / 2
    likely = max(run + tower[0], tower[1])
    if engine.multimodal:  # pictures become embeddings outside of what is compiled
        high = max(likely + 2 * tower[0], 2 * tower[1]) + 0.3 * GIB
    elif not engine.enforce_eager:
        likely = max(likely, _compiling(found, engine))
    if found.experts:
        high += 0.25 * expert_scratch(found, engine)
    return Range(max(0.0, min(low, likely) - stays), likely - stays, max(high, likely) * 1.03 - stays + 0.02 * GIB)


def _forward(text: Config, found: Sizes, engine: Engine) -> float:
    """The largest moment of a layer, without what stays."""
    tokens, size, ranks = engine.max_num_batched_tokens, engine.dtype_bytes, engine.tensor_parallel_size
    hidden = tokens * size * found.hidden
    family = str(text.get("model_type"))
    parts = [tokens * size * 3 * found.intermediate / ranks + _mlp_hidden(family, found) * hidden]
    if found.experts:
        shared = text.get("shared_expert_intermediate_size") or found.expert_intermediate * _shared(text)
        parts[0] = parts[0] if _has_dense(text) else 0.0
        scratch = 0 if moe_workspace(found, engine) else expert_scratch(found, engine)
        parts.append(_EXPERT_HIDDEN * hidden + tokens * size * 3 * shared / ranks + scratch)
    if uses_mla(text):
        rows = min(_LATENT_ROWS, 8 * engine.max_model_len)
        width = (text.get("qk_nope_head_dim") or 0) + (text.get("v_head_dim") or 0)
        parts.append(rows * max(1, found.heads // ranks) * width * size + 2 * hidden)
    if recurrent := _recurrent_width(text):
        parts.append(tokens * size * recurrent / ranks + 2 * hidden)
    return max(parts)


def _mlp_hidden(family: str, found: Sizes) -> float:
    """Hidden states alive beside them: the residual, the layer's input, and what the family's code keeps."""
    if not found.gated:
        return 2
    return 4 if any(part in family for part in (*_KEEPS_GATE, *_KEEPS_GATE_TOO)) else 3


def _shared(text: Config) -> int:
    value = text.get("n_shared_experts") or text.get("num_shared_experts") or 0
    return value if isinstance(value, int) else 0


def _has_dense(text: Config) -> bool:
    """True where some layers have a plain MLP beside layers of experts."""
    every = (text.get(key) for key in ("interleave_moe_layer_step", "expert_layer_period", "decoder_sparse_step"))
    alternate = any(isinstance(step, int) and step > 1 for step in every)
    return alternate or bool(text.get("first_k_dense_replace") or text.get("mlp_only_layers"))


def _recurrent_width(text: Config) -> float:
    """Numbers a token that a recurrent layer's projections hold: what goes in, half of it again comes out."""
    keys = (text.get("linear_num_key_heads") or 0) * (text.get("linear_key_head_dim") or 0)
    values = (text.get("linear_num_value_heads") or 0) * (text.get("linear_value_head_dim") or 0)
    inner = (text.get("mamba_num_heads") or 0) * (text.get("mamba_head_dim") or 0)
    if not inner and text.get("mamba_d_state"):
        inner = text.get("mamba_d_ssm") or int((text.get("mamba_expand") or 2) * (text.get("hidden_size") or 0))
    return 1.5 * (2 * (keys + values) + 2 * inner)


def _sampling(text: Config, found: Sizes, engine: Engine, *, sorts: bool = True) -> float:
    """Logits of all sequences and the hidden states of all tokens, without what stays.

    The new runner's sampler leaves the logits alone where no request asks for more (`Sampler.apply_sampling_params`);
    the old one's copies them to float32 (`Sampler.forward`) and, before 0.17, sorts them (`apply_top_k_top_p`).
    Ranks gather all logits (`LogitsProcessor._gather_logits`).
    """
    rows = min(engine.max_num_seqs, engine.max_num_batched_tokens)
    size = engine.dtype_bytes
    hidden = (engine.max_num_batched_tokens + rows) * found.hidden * size
    logits = rows * padded_vocab(found.vocab)
    if engine.v2_runner:
        copies = 2 if engine.tensor_parallel_size > 1 or text.get("final_logit_softcapping") else 1
        return hidden + logits * size * copies
    sorting = sorts and (engine.release < SORTLESS_SAMPLER or rows < _FEW)
    return hidden + logits * (size + (_LOGITS_SORTED if sorting else _LOGITS_IN_SINGLE))


def _compiling(found: Sizes, engine: Engine) -> float:
    """A copy of this rank's part of the embedding table, and two hidden states."""
    table = padded_vocab(found.vocab) / engine.tensor_parallel_size * found.hidden * engine.dtype_bytes
    return table + 2 * engine.max_num_batched_tokens * found.hidden * engine.dtype_bytes


def _encoder(config: Config, found: Sizes, engine: Engine) -> tuple[float, float]:
    """(what stays of the encoder's output, its own peak with it)."""
    vision = config.get("vision_config") or config.get("visual") or {}
    tokens = engine.max_num_batched_tokens
    if "qwen" in str(config.get("model_type")) or "mimo" in str(config.get("model_type")):
        tokens = max(tokens, min(_PICTURE_TOKENS, engine.max_model_len))
    cached = tokens * found.hidden * engine.dtype_bytes + _ENCODER_REST
    width, inner = vision.get("hidden_size") or vision.get("embed_dim") or 1024, vision.get("intermediate_size") or 0
    patches = tokens * _patches(config, vision)
    return cached, patches * engine.dtype_bytes * (2 * (inner or 4 * width) + 4 * width) + cached


def _patches(config: Config, vision: Config) -> float:
    """Patches that become one token of the language model."""
    merge = config.get("spatial_merge_size") or vision.get("spatial_merge_size")
    if isinstance(merge, int):
        return merge * merge
    image, patch, tokens = vision.get("image_size"), vision.get("patch_size"), config.get("mm_tokens_per_image")
    if isinstance(image, int) and isinstance(patch, int) and tokens:
        return float((image // patch) ** 2 / tokens)
    return 1 if str(config.get("model_type")).startswith("llava") else _MERGED
