"""What changed in vLLM's memory accounting from release to release: one name a rule, the first release that has it.

Read from the sources of 0.8.5, 0.9.2, 0.10.2, 0.11.2, 0.13.0, 0.15.1, 0.17.1, 0.18.1, 0.19.0, 0.20.2, 0.23.0, 0.24.0,
0.25.0, 0.26.0, 0.27.1, 0.28.0, 0.30.0 and 0.32.0; a release in between has the older rule unless something tells
otherwise.
"""

from __future__ import annotations

Release = tuple[int, int]

NEWEST: Release = (0, 32)
OLDEST: Release = (0, 8)

# engine/arg_utils.py
A100_IS_SMALL: Release = (0, 9)  # "a100" in the name: the batch defaults of cards below 70 GiB
SEQS_WITHIN_TOKENS: Release = (0, 10)  # default max_num_seqs <= max_num_batched_tokens
BATCH_WITHIN_LENGTH: Release = (0, 11)  # default max_num_batched_tokens <= max_num_seqs * max_model_len
HUGE_CARDS: Release = (0, 28)  # 16384 tokens from 160 GiB on
UTILIZATION_92: Release = (0, 20)  # gpu_memory_utilization 0.92 instead of 0.9
FP32_BY_CARD: Release = (0, 9)  # a float32 checkpoint becomes bfloat16 where the card has it; before: float16

# v1/core/kv_cache_utils.py
HYBRID_GROUPS: Release = (0, 9)  # sliding windows save memory in models that mix them with full attention
NEED_OF_FIRST_GROUP: Release = (0, 14)  # the start check counts the first group only ...
NEED_OF_ALL_GROUPS: Release = (0, 19)  # ... and all groups (before 0.14: each layer for itself)
TOKENS_BY_CONCURRENCY: Release = (0, 20)  # the log's tokens are max_concurrency * max_model_len
IN_FLIGHT_TWICE: Release = (0, 25)  # asynchronous scheduling: two batches hold blocks beyond a window
NULL_BLOCK_COUNTED: Release = (0, 29)  # the start check leaves the null block out
CHUNKED_GROUPS: Release = (0, 14)  # chunked local attention saves memory where it is mixed with full attention

# models/config.py, platforms/interface.py
MAMBA_PREFIX_CACHING: Release = (0, 25)  # hybrid models keep two states a sequence ("align"); before: one
PREFERRED_BLOCKS: Release = (0, 20)  # the block size is what the attention backend prefers

# v1/worker/gpu_worker.py, utils/mem_utils.py
CONTEXT_OUTSIDE: Release = (0, 9)  # the CUDA context isn't counted against the budget
PERSISTENT_COUNTED: Release = (0, 27)  # what free memory lacks, instead of the peak of torch's allocator alone
GRAPHS_ESTIMATED: Release = (0, 20)  # the estimate for CUDA graphs is taken from the KV cache ...
V2_GRAPHS_ESTIMATED: Release = (0, 29)  # ... by the new runner too: before, its estimate is 0 (vllm#49224)

# v1/sample
FLASHINFER_OFF: Release = (0, 11)  # its sampler runs only when asked for; before, wherever it is installed
SORTLESS_SAMPLER: Release = (0, 17)  # top-k and top-p without sorting the vocabulary
FLASHINFER_SAMPLER: Release = (0, 21)  # no buffer of a row of the vocabulary a multiprocessor
CARRIED_FP8_KV: Release = (0, 14)  # kv_cache_dtype auto follows the checkpoint

# v1/worker/workspace.py, distributed/
WORKSPACES: Release = (0, 12)  # the experts' scratch memory stays between steps
MORE_BUFFERS: Release = (0, 14)  # all-reduce on Hopper and later takes GiBs
MORE_NON_TORCH: Release = (0, 18)  # one GPU: 0.13 GiB before, 0.25 GiB since

# config/vllm.py (use_v2_model_runner): the new model runner, whose sampler copies no logits
V0_GONE: Release = (0, 10)  # before: the old engine on cards below 8.0, and for what FlashAttention couldn't do
V2_QWEN3: Release = (0, 22)  # dense Qwen3 (vllm#39337)
V2_SOME: Release = (0, 23)  # dense models of three families (vllm#43458)
V2_LISTED: Release = (0, 24)  # a list of families
V2_DENSE: Release = (0, 25)  # all that aren't mixtures of experts or hybrid (vllm#44443)
V2_ALL: Release = (0, 29)

V2_FIRST_FAMILY = "Qwen3ForCausalLM"
V2_FIRST_FAMILIES = frozenset({"LlamaForCausalLM", "MistralForCausalLM", V2_FIRST_FAMILY})
V2_FAMILIES = V2_FIRST_FAMILIES | {"DeepseekV2ForCausalLM", "Qwen2MoeForCausalLM", "GraniteMoeForCausalLM"}
