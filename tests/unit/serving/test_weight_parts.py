"""The invariant: the name of every tensor in use tells how vLLM divides it; one that doesn't is said to be unknown."""

import pytest

from serving.weight_families import family_tensors
from serving.weight_parts import Split, part_of

from .model_configs import CONFIGS


@pytest.mark.parametrize(
    ("name", "dimensions", "split", "group"),
    [
        ("model.layers.*.self_attn.q_proj.weight", 2, Split.COLUMN, "qkv"),
        ("model.layers.*.self_attn.k_proj.bias", 1, Split.KV, "qkv"),
        ("model.layers.*.self_attn.qkv_proj.weight_packed", 2, Split.QKV, "qkv_proj"),
        ("layers.*.attention.wv.weight", 2, Split.KV, "qkv"),
        ("model.layers.*.self_attn.o_proj.qweight", 2, Split.ROW, "o_proj"),
        ("model.layers.*.self_attn.q_norm.weight", 1, Split.COPY, "q_norm"),
        ("model.layers.*.self_attn.kv_a_proj_with_mqa.weight_scale_inv", 2, Split.COPY, "qkv_a"),
        ("model.layers.*.self_attn.kv_b_proj.weight", 2, Split.COLUMN, "kv_b_proj"),
        ("model.layers.*.mlp.up_proj.weight", 2, Split.COLUMN, "gate_up"),
        ("model.layers.*.mlp.gate.weight", 2, Split.COPY, "gate"),
        ("model.layers.*.mlp.gate.e_score_correction_bias", 1, Split.COPY, "e_score_correction_bias"),
        ("model.layers.*.mlp.experts.*.up_proj.weight", 2, Split.EXPERT, "w13"),
        ("model.layers.*.block_sparse_moe.experts.*.w2.qweight", 2, Split.EXPERT, "w2"),
        ("model.layers.*.mlp.experts.gate_up_proj_blocks", 4, Split.EXPERT, "w13"),
        ("language_model.model.layers.*.feed_forward.experts.down_proj", 3, Split.EXPERT, "w2"),
        ("model.layers.*.mlp.shared_experts.down_proj.weight", 2, Split.ROW, "down_proj"),
        ("model.layers.*.mlp.shared_expert_gate.weight", 2, Split.COPY, "shared_expert_gate"),
        ("model.layers.*.self_attn.q_proj.weight.absmax", 1, Split.COLUMN, "qkv"),
        ("model.embed_tokens.weight", 2, Split.VOCAB, "embed_tokens"),
        ("transformer.word_embeddings.weight", 2, Split.VOCAB, "word_embeddings"),
        ("output.weight", 2, Split.VOCAB, "output"),
        ("transformer.wpe.weight", 2, Split.COPY, "wpe"),
        ("transformer.h.*.attn.c_attn.weight", 2, Split.QKV, "c_attn"),
        ("transformer.h.*.attn.bias", 4, Split.NOTHING, "attn"),
        ("model.layers.*.self_attn.rotary_emb.inv_freq", 1, Split.NOTHING, "inv_freq"),
        ("backbone.layers.*.mixer.A_log", 1, Split.COLUMN, "A_log"),
        ("visual.patch_embed.proj.weight", 5, Split.COPY, "proj"),
        ("visual.blocks.*.attn.qkv.weight", 2, Split.COLUMN, "qkv"),
        ("vision_tower.vision_model.encoder.layers.*.mlp.fc2.weight", 2, Split.ROW, "fc2"),
    ],
)
def test_how_a_tensor_is_divided(name: str, dimensions: int, split: Split, group: str) -> None:
    part = part_of(name, dimensions)
    assert (part.split, part.group.rpartition(".")[2], part.known) == (split, group, True)


def test_an_unknown_matrix_is_taken_as_divided_and_said_to_be_unknown() -> None:
    part = part_of("model.layers.*.novelty.weight", 2)
    assert (part.split, part.known) == (Split.COLUMN, False)


@pytest.mark.parametrize("repo", CONFIGS)
def test_every_tensor_of_the_families_is_known(repo: str) -> None:
    unknown = [one.name for one in family_tensors(CONFIGS[repo]) or () if not part_of(one.name, len(one.shape)).known]
    assert unknown == []
