"""vLLM's start-up checks that need no GPU, done on what the Hub tells: each finds what vLLM would end with.

A check yields problems (the model would not start) and warnings (plain texts: it starts, but).  What a
config.json leaves open isn't judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .command import max_model_len_tokens
from .errors import (
    InvalidArgument,
    ModelLenTooLong,
    NotServable,
    QuantizationMismatch,
    ServingError,
)
from .hub_facts import HubFacts
from .model_config import ABSOLUTE_POSITIONS, derived_max_model_len
from .model_request import ModelRequest
from .quantization import family, needs_checkpoint, reads
from .rules_parallel import family_is_divided, parallel

__all__ = ["Finding", "ModelRequest", "findings"]

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
_DESC_ACT_REFUSED_SINCE = (0, 32)
_LEFT_TO_CONFIG = ("awq", "gptq")  # never passed on as a flag: in some releases that forces slower kernels


def findings(request: ModelRequest, facts: HubFacts) -> list[Finding]:
    """What is wrong, or worth knowing, with serving this model like this."""
    found = list(contents(request, facts))
    if any(isinstance(finding, NotServable) for finding in found):
        return found  # the rest would be said of numbers that aren't there
    checks = _OF_REPO if request.config_is_overridden else (*_OF_REPO, *_OF_CONFIG)
    found += [finding for check in checks for finding in check(request, facts)]
    if request.config_is_overridden:
        found.append("Length and parallelism were not checked: extra_args change the model's config.")
    return found


def contents(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
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


def weights(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    if facts.files.weights and not facts.has_safetensors:
        yield "The weights are .bin files: the session's memory must hold the largest of them whole."


def chat(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    if facts.chat_template is False and not request.extra.last("chat_template"):
        yield "It has no chat template: /v1/chat/completions answers 400 unless --chat-template is given."


def quantization(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
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


def dtype(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    if request.dtype in _HALF and facts.model_type in _NO_HALF:
        what = f"dtype is {request.dtype}, in which {facts.model_type} is numerically unstable; vLLM refuses it."
        yield InvalidArgument(what, "Use bfloat16.", key="dtype")


def length(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
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


Check = Callable[[ModelRequest, HubFacts], Iterator[Finding]]
_OF_REPO: tuple[Check, ...] = (quantization, dtype, weights, chat)
_OF_CONFIG: tuple[Check, ...] = (length, parallel, family_is_divided)
