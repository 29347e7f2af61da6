"""vLLM's start-up checks that need no GPU, done on what the Hub tells: each finds what vLLM would end with.

A check yields problems (the model would not start) and warnings (plain texts: it starts, but).  What a
config.json leaves open isn't judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from .arguments import ExtraArgs, parse_extra_args
from .command import max_model_len_tokens
from .errors import (
    InvalidArgument,
    ModelLenTooLong,
    NotServable,
    ParallelSizeMismatch,
    QuantizationMismatch,
    ServingError,
)
from .flags import table
from .hub_facts import HubFacts
from .model_config import ABSOLUTE_POSITIONS, Shape, derived_max_model_len, is_moe, padded_vocab, shape
from .quantization import family, needs_checkpoint, reads

Finding = ServingError | str

_TEXT_GENERATORS = ("ForCausalLM", "ForConditionalGeneration", "ChatModel", "LMHeadModel")
_OTHER_MODELS = (
    *(
        "ForSequenceClassification",
        "ForTokenClassification",
        "ForTextEncoding",
        "ForMaskedLM",
        "ForQuestionAnswering",
    ),
    *("EmbeddingModel", "RewardModel", "ForRewardModel", "ClassificationModel"),
)
_HALF = ("float16", "half")
_NO_HALF = frozenset({"gemma2", "gemma3", "gemma3_text", "plamo2", "glm4"})  # numerically unstable in float16
_SINGLE = ("float", "float32")
_LARGEST_SUGGESTION = 16  # GPUs
_DESC_ACT_REFUSED_SINCE = (0, 32)
_LEFT_TO_CONFIG = ("awq", "gptq")  # never passed on as a flag: in some releases that forces slower kernels
_BIGCODE_UNDIVIDED_SINCE = (0, 27)


@dataclass(frozen=True)
class ModelRequest:
    """One model as it is meant to be served.  `token`: the Hub token that it will be deployed with."""

    name: str
    model: str
    revision: str | None = None
    quantization: str | None = None
    max_model_len: int | str | None = None
    tensor_parallel_size: int = 1
    dtype: str = "auto"
    token: str | None = field(default=None, repr=False)
    vllm_version: str | None = None
    extra_args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)

    @cached_property
    def extra(self) -> ExtraArgs:
        return parse_extra_args(self.extra_args, self.vllm_version)

    @property
    def config_is_overridden(self) -> bool:
        """True when vLLM won't go by the config.json of the repo."""
        return any(self.extra.last(dest) for dest in ("hf_overrides", "hf_config_path", "rope_scaling", "rope_theta"))

    @property
    def release(self) -> tuple[int, int]:
        return table().release(self.vllm_version)


def findings(request: ModelRequest, facts: HubFacts) -> list[Finding]:
    """What is wrong, or worth knowing, with serving this model like this."""
    found = list(_contents(request, facts))
    if any(isinstance(finding, NotServable) for finding in found):
        return found  # the rest would be said of numbers that aren't there
    checks = _OF_REPO if request.config_is_overridden else (*_OF_REPO, *_OF_CONFIG)
    found += [finding for check in checks for finding in check(request, facts)]
    if request.config_is_overridden:
        found.append("Length and parallelism were not checked: extra_args change the model's config.")
    return found


def _contents(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    repo = facts.repo_id
    if facts.is_adapter:
        cure = "Serve the base model, with --enable-lora and --lora-modules=NAME=REPO in extra_args."
        yield NotServable(f"{repo} is an adapter, not a model.", cure)
    elif facts.has_gguf_only:
        cure = "Use the model's own repo; to make it smaller, one with AWQ or GPTQ weights, or quantization fp8."
        yield NotServable(f"{repo} has GGUF files only, which vLLM doesn't load without a plugin.", cure)
    elif not facts.config and facts.contents.mistral_format:
        yield f"Nothing but access was checked: {repo} has Mistral's own format instead of a config.json."
    elif not facts.architectures:
        what = "no config.json" if not facts.config else "no architecture in its config.json"
        yield NotServable(
            f"{repo} has {what}: vLLM can't tell what to load.", "Use a repo in the format of transformers."
        )
    elif _is_no_generator(facts):
        what = f"{repo} is a {facts.architectures[0]}, which doesn't write text."
        yield NotServable(what, "Use a model that generates text.")
    elif not facts.files.weights:
        yield NotServable(f"{repo} has no weights (.safetensors or .bin).", "Use a repo that has.")


def _is_no_generator(facts: HubFacts) -> bool:
    names = facts.architectures
    return names[0].endswith(_OTHER_MODELS) and not any(name.endswith(_TEXT_GENERATORS) for name in names)


def _weights(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    if facts.files.weights and not facts.has_safetensors:
        yield "The weights are .bin files: the session's memory must hold the largest of them whole."


def _chat(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    if facts.chat_template is False and not request.extra.last("chat_template"):
        yield "It has no chat template: /v1/chat/completions answers 400 unless --chat-template is given."


def _quantization(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    asked, carried = request.quantization, facts.quantization
    if asked and not carried:
        yield from _quantization_not_carried(asked, facts)
    elif asked and carried:
        loads = reads(asked, carried.method)
        if loads is False:
            what = f"quantization is {asked}, but the weights of {facts.repo_id} are {carried.method}."
            yield QuantizationMismatch(what, "Leave quantization out, or use a repo with other weights.")
        elif loads is None:
            yield f"Whether {asked} loads weights of the kind {carried.method} isn't known here."
    if carried:
        yield from _carried(request, facts)


def _quantization_not_carried(asked: str, facts: HubFacts) -> Iterator[Finding]:
    needs = needs_checkpoint(asked)
    if needs:
        name = family(asked).upper()
        what = f"quantization is {asked}, but the weights of {facts.repo_id} aren't quantized."
        cure = f"Use a preset, or search the Hub for {facts.repo_id.rpartition('/')[2]} with {name} weights"
        yield QuantizationMismatch(what, f"{cure}; or quantize while loading, with fp8.")
    elif needs is None:
        yield f"Whether {asked} works on weights that aren't quantized isn't known here."


def _carried(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    carried = facts.quantization
    assert carried is not None
    group = family(carried.method)
    in_groups = carried.desc_act and carried.group_size not in (None, -1)
    if group == "gptq" and in_groups and request.release >= _DESC_ACT_REFUSED_SINCE:
        what = f"The GPTQ weights of {facts.repo_id} are ordered by activation (desc_act) in groups."
        yield QuantizationMismatch(what, "Use a repo with desc_act false, or with AWQ weights.", key="model")
    if not carried.in_config and request.quantization in (None, *_LEFT_TO_CONFIG):
        flag = f"{carried.method}_marlin" if carried.method in _LEFT_TO_CONFIG else carried.method
        yield (
            f"The weights are {carried.method}, but config.json doesn't say so, and vLLM reads it from there: "
            f"set quantization to {flag}, which is passed on as a flag."
        )
    if group in ("awq", "gptq") and request.dtype in _SINGLE:
        what = f"dtype is {request.dtype}, but {group.upper()} weights need float16 or bfloat16."
        yield QuantizationMismatch(what, "Leave dtype at auto.", key="dtype")


def _dtype(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    if request.dtype in _HALF and facts.model_type in _NO_HALF:
        what = f"dtype is {request.dtype}, in which {facts.model_type} is numerically unstable; vLLM refuses it."
        yield InvalidArgument(what, "Use bfloat16.", key="dtype")


def _length(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    try:
        asked = max_model_len_tokens(request.max_model_len)
    except InvalidArgument as problem:
        yield problem
        return
    off = request.extra.is_set("disable_sliding_window")
    longest = derived_max_model_len(facts.config, disable_sliding_window=off)
    if asked is None or longest is None or asked <= longest.tokens:
        return
    what = f"max_model_len is {asked}, but {facts.repo_id} was made for {longest.tokens} tokens ({longest.key})."
    if request.env.get("VLLM_ALLOW_LONG_MAX_MODEL_LEN") not in ("1", "true", "True"):
        yield ModelLenTooLong(what, f"Set max_model_len to {longest.tokens} or less.")
    elif facts.model_type in ABSOLUTE_POSITIONS:
        cure = f"Set max_model_len to {longest.tokens} or less, and remove VLLM_ALLOW_LONG_MAX_MODEL_LEN."
        yield ModelLenTooLong(f"{what} It has no positions beyond, and would crash there.", cure)
    else:
        yield f"{what} VLLM_ALLOW_LONG_MAX_MODEL_LEN lets it start; beyond that length answers may be noise."


def _parallel(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    size = request.tensor_parallel_size
    if size < 1:
        return  # the command line's to refuse
    if reasons := " and ".join(_undivided(facts, size)):
        fitting = [n for n in range(1, _LARGEST_SUGGESTION + 1) if not any(_undivided(facts, n))]
        cure = f"Set tensor_parallel_size to one of {', '.join(map(str, fitting))}."
        yield ParallelSizeMismatch(f"{facts.repo_id} can't be divided among {size} GPUs: {reasons}.", cure)
    if size > 1 and facts.model_type == "gpt_bigcode" and request.release >= _BIGCODE_UNDIVIDED_SINCE:
        yield "vLLM can't divide this family (gpt_bigcode): every GPU would hold most of the weights."


def _undivided(facts: HubFacts, size: int) -> Iterator[str]:
    """What can't be divided by `size`; vLLM's rules, in its order."""
    sizes = shape(facts.config)
    if sizes.heads and sizes.heads % size:
        yield f"it has {sizes.heads} attention heads"
    if sizes.vocab and padded_vocab(sizes.vocab) % size:
        yield f"its vocabulary is padded to {padded_vocab(sizes.vocab)}"
    if sizes.kv_heads and sizes.kv_heads % size and size % sizes.kv_heads:
        yield f"it has {sizes.kv_heads} KV heads"
    if sizes.intermediate and not is_moe(facts.config):
        if sizes.intermediate % size:
            yield f"its intermediate size is {sizes.intermediate}"
        elif _splits_awq_group(facts, sizes, size):
            yield f"its AWQ groups of {facts.quantization and facts.quantization.group_size} would be cut"


def _splits_awq_group(facts: HubFacts, sizes: Shape, size: int) -> bool:
    """AWQ scales belong to groups of inputs, and a group can't be on two GPUs."""
    carried = facts.quantization
    if not carried or family(carried.method) != "awq" or not carried.group_size or carried.group_size < 1:
        return False
    inputs = [sizes.intermediate or 0, (sizes.heads or 0) * (sizes.head_dim or 0)]
    return any(n // size % carried.group_size for n in inputs)


Check = Callable[[ModelRequest, HubFacts], Iterator[Finding]]
_OF_REPO: tuple[Check, ...] = (_quantization, _dtype, _weights, _chat)
_OF_CONFIG: tuple[Check, ...] = (_length, _parallel)
