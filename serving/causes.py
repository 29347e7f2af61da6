"""Why a vLLM has ended, told from its log: one table of what it says, what that means and what cures it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .log_lines import last_lines, lines_of

KEPT_LINES = 20
_SEARCHED_CHARACTERS = 2000  # of a line
_SEARCHED_LINES = 2000  # from the end; a cause stands near it, and logs of servers that ran for long are long


@dataclass(frozen=True)
class Cause:
    """Why it ended.  `what` and `cure` are empty when nobody can tell; `lines` are the log's last ones."""

    what: str = ""
    cure: str = ""
    lines: tuple[str, ...] = ()
    code: str = "unknown"

    def __str__(self) -> str:
        return f"{self.what} Cure: {self.cure}" if self.cure else self.what


# What the log says -> code, meaning, cure; {1} is what the pattern's first group has found.
# The first row that matches counts, so what is special stands above what is general.
_TABLE: tuple[tuple[str, str, str, str], ...] = (
    (
        r"trying to access a gated repo",
        "gated",
        "The model is gated, and the session's Hub token has no access to it.",
        "Ask for access on the model's page, and set hf_token to a token of that account.",
    ),
    (
        r"(\S{1,200}) is not a local folder and is not a valid model identifier",
        "missing-repo",
        "There is no model {1} on the Hub, or none that this token may see.",
        "Check the name; if the repo is private, set hf_token.",
    ),
    (
        r"(\S{1,200}) is not a valid git identifier",
        "missing-revision",
        "The model has no revision {1}.",
        "Set revision to a branch, tag or commit that the repo has.",
    ),
    (
        r"Quantization method specified in the model config \((\S+?)\) does not match.*?argument \((\S+?)\)",
        "quantization-mismatch",
        "quantization is {2}, but the weights are {1}.",
        "Leave quantization out: vLLM reads it from the model.",
    ),
    (
        r"Cannot find the config file for (\S+)",
        "not-quantized",
        "quantization is {1}, but the weights aren't quantized.",
        "Use a preset or a repo with {1} weights and leave quantization out, or set fp8.",
    ),
    (
        r"Unknown quantization method: (\S+?)\.",
        "unknown-quantization",
        "This vLLM has no quantization {1}.",
        "Use awq or gptq weights, or fp8.",
    ),
    (
        r"quantization method '?([\w-]+)'? is deprecated",
        "deprecated-quantization",
        "The quantization {1} is deprecated, and vLLM refuses it as such.",
        "Use another one, or add --allow-deprecated-quantization to extra_args.",
    ),
    (
        r"quantization method (\S+) is not supported for the current GPU\. "
        r"Minimum capability: (\d+)\. Current capability: (\d+)",
        "unsupported-capability",
        "The quantization {1} needs a GPU of compute capability {2}, and this one has {3}.",
        "Use a resource group with newer GPUs, or weights that aren't quantized (or gptq).",
    ),
    (
        r"(\S{1,200}) is not supported for quantization method (\S+?)\.",
        "quantization-dtype",
        "The quantization {2} doesn't go with dtype {1}.",
        "Leave dtype at auto.",
    ),
    (
        r"Bfloat16 is only supported on GPUs with compute capability of at least (\S+)\. Your (.+?) GPU",
        "no-bfloat16",
        "dtype is bfloat16, which the {2} doesn't have (compute capability {1} is needed).",
        "Set dtype to float16 or leave it at auto.",
    ),
    (
        r"group activation ordering \(desc_act=True\) is no longer supported",
        "desc-act",
        "The GPTQ weights are ordered by activation (desc_act), which this vLLM no longer loads.",
        "Use a repo with desc_act false, or with AWQ weights.",
    ),
    (
        r"User-specified max_model_len \((\d+)\) is greater than the derived max_model_len \(\w+=(\d+)",
        "max-model-len",
        "max_model_len is {1}, but the model was made for {2} tokens.",
        "Set max_model_len to {2} or less.",
    ),
    (
        r"max seq len \((\d+)\).*?\(?([\d.]+) GiB KV cache is needed.*?"
        r"available KV cache memory \(([\d.]+) GiB\).*?estimated maximum model length is (\d+)",
        "kv-cache-too-small",
        "One sequence of {1} tokens needs {2} GiB of KV cache, and {3} GiB are left beside the weights.",
        "Set max_model_len to {4} or less, kv_cache_dtype to fp8, or use more GPUs.",
    ),
    (
        r"max seq len \((\d+)\).*?(?:is larger than the available KV cache memory \(([\d.]+) GiB\)"
        r"|number of tokens that can be stored in KV cache \((\d+)\))",
        "kv-cache-too-small",
        "There isn't enough KV cache beside the weights for one sequence of {1} tokens.",
        "Lower max_model_len, set kv_cache_dtype to fp8, or use more GPUs.",
    ),
    (
        r"No available memory for the cache blocks",
        "no-kv-cache",
        "The weights leave no memory for a KV cache.",
        "Use more GPUs (with tensor_parallel_size), larger ones, or quantized weights.",
    ),
    (
        r"Free memory on device .*?is less than desired GPU memory utilization",
        "gpu-in-use",
        "Somebody else uses memory of this GPU.",
        "Lower gpu_memory_utilization, or use a whole GPU.",
    ),
    (
        r"CUDA out of memory|torch\.OutOfMemoryError|OutOfMemoryError: ",
        "gpu-out-of-memory",
        "The GPU's memory isn't enough.",
        "Use more GPUs (with tensor_parallel_size), larger ones, or quantized weights.",
    ),
    (
        r"Total number of attention heads \((\d+)\) must be divisible by tensor parallel size \((\d+)\)",
        "tensor-parallel-heads",
        "The model's {1} attention heads can't be divided among {2} GPUs.",
        "Set tensor_parallel_size to a divisor of {1}.",
    ),
    (
        r"AssertionError: (\d+) is not divisible by (\d+)",
        "tensor-parallel-vocab",
        "A size of the model ({1}) can't be divided by tensor_parallel_size {2}.",
        "Set tensor_parallel_size to a divisor, such as 1, 2 or 4.",
    ),
    (
        r"input size is not aligned with the quantized weight shape",
        "tensor-parallel-groups",
        "tensor_parallel_size cuts the groups of the quantized weights.",
        "Lower tensor_parallel_size.",
    ),
    (
        r"World size \((\d+)\) is larger than the number of available GPUs \((\d+)\)",
        "too-few-gpus",
        "tensor_parallel_size needs {1} GPUs, and the session has {2}.",
        "Set gpus to {1}, or tensor_parallel_size to {2}.",
    ),
    (
        r"max_num_batched_tokens \((\d+)\) must be greater than or equal to max_num_seqs \((\d+)\)",
        "batch-sizes",
        "--max-num-batched-tokens ({1}) is less than --max-num-seqs ({2}).",
        "Raise the first, or lower the second, in extra_args.",
    ),
    (
        r"(?:gpu_memory_utilization|tensor_parallel_size|pipeline_parallel_size|max_num_\w+)\s+"
        r"(Input should be [\w ]+\d)",
        "bad-value",
        "vLLM refuses a number: {1}.",
        "Correct it; the lines below name it.",
    ),
    (
        r"contains custom code which must be executed|(?:argument|option) .?trust_remote_code=True",
        "custom-code",
        "The model brings code of its own, which vLLM only runs when told to.",
        "Look at the code in the repo; if you trust it, set trust_remote_code to true.",
    ),
    (
        r"Model architectures (\[.*?\]) (?:are not supported|failed to be inspected)",
        "unsupported-architecture",
        "This vLLM doesn't know models of the kind {1}.",
        "Use an image with a newer vLLM, or another model.",
    ),
    (
        r"does not appear to have a file named (\S+?)\.? ",
        "missing-file",
        "The repo has no {1}.",
        "Use a repo in the format of transformers.",
    ),
    (
        r"error: unrecognized arguments: (.+)",
        "bad-flag",
        "This vLLM has no flag {1}.",
        "Correct extra_args; set vllm_version when the image's name doesn't tell it, and preview will check.",
    ),
    (
        r"vllm(?: serve)?: error: (.+)",
        "bad-flag",
        "vLLM doesn't understand its arguments: {1}",
        "Correct extra_args; set vllm_version when the image's name doesn't tell it, and preview will check.",
    ),
    (
        r"TypeError: Error: --enable-auto-tool-choice requires --tool-call-parser",
        "tool-parser",
        "--enable-auto-tool-choice needs --tool-call-parser.",
        "Add the parser of the model to extra_args.",
    ),
    (
        r"\[Errno 98\]|[Aa]ddress already in use",
        "port-in-use",
        "The port is taken in the session.",
        "Set port to another one.",
    ),
    (
        r"No space left on device|\[Errno 28\]",
        "disk-full",
        "The session's disk is full.",
        "Mount a folder with room for the weights and set HF_HOME (env) to it, or use a smaller model.",
    ),
    (
        r"Bus error|insufficient shared memory|unable to (?:open|allocate|mmap).{0,40}shared memory",
        "shared-memory",
        "The session has too little shared memory.",
        "Raise shmem: several GPUs talk to each other through it.",
    ),
    (
        r"Failed to infer device type|No CUDA GPUs are available|Found no NVIDIA driver",
        "no-gpu",
        "The session sees no GPU.",
        "Set gpus to 1 or more, and use an image for this kind of GPU.",
    ),
    (
        r"CUDA driver version is insufficient|driver on your system is too old",
        "old-driver",
        "The node's GPU driver is too old for the image.",
        "Use an image with an older CUDA.",
    ),
    (
        r"We couldn't connect to '(\S+?)'|Max retries exceeded with url|Temporary failure in name resolution",
        "hub-unreachable",
        "The session can't reach the Hub.",
        "Check the cluster's way to the internet, or mount the weights and give their folder as the model.",
    ),
    (
        r"429 (?:Client Error|Too Many Requests)",
        "hub-rate-limit",
        "The Hub has refused the session for too many requests.",
        "Set hf_token: who is known may ask more. Then try again.",
    ),
    (
        r"Invalid credentials in Authorization header|Invalid user token",
        "invalid-token",
        "The Hub doesn't know the session's token.",
        "Set hf_token to a valid one, or remove it for a public model.",
    ),
    (
        r"(?:exec: |bash: )?vllm: (?:command )?not found",
        "no-vllm",
        "The image has no vllm.",
        "Use an image with vLLM in it.",
    ),
    (
        r"EngineDeadError|EngineCore encountered an issue",
        "engine-died",
        "The engine died while it was serving.",
        "See the lines above the first traceback; `pulumi up` starts it anew.",
    ),
    (
        r"default chat template is no longer allowed",
        "no-chat-template",
        "The model has no chat template, so /v1/chat/completions refuses.",
        "Use /v1/completions, or add --chat-template to extra_args.",
    ),
)
_PATTERNS = tuple((re.compile(pattern, re.DOTALL), code, what, cure) for pattern, code, what, cure in _TABLE)

# What the exit code alone tells, where the log doesn't.
_BY_EXIT_CODE: dict[int, tuple[str, str, str]] = {
    2: (
        "bad-flag",
        "vLLM doesn't understand its arguments.",
        "Correct extra_args for the release in the image.",
    ),
    126: ("no-vllm", "The image's vllm can't be run.", "Use an image with vLLM in it."),
    127: ("no-vllm", "The image has no vllm.", "Use an image with vLLM in it."),
    137: (
        "killed",
        "The session was killed, most likely because its memory wasn't enough.",
        "Raise memory: .bin weights are read whole, and safetensors need room for the page cache.",
    ),
    143: ("stopped", "The session was told to end.", "Run `pulumi up` to start it again."),
}
_SIGNALS = 128  # a shell's exit code for signal N is 128 + N; Python says -N


def explain(log_text: str | None, exit_code: int | None = None, *, limit: int = KEPT_LINES) -> Cause:
    """The cause as far as the log or else the exit code tells, and the last `limit` lines without secrets."""
    code, what, cure = _from_log(log_text) or _from_exit_code(exit_code) or ("unknown", "", "")
    return Cause(what, cure, last_lines(log_text, limit), code)


def _from_log(log_text: str | None) -> tuple[str, str, str] | None:
    lines = lines_of(log_text)[-_SEARCHED_LINES:]
    text = "\n".join(_PREFIX.sub("", line[:_SEARCHED_CHARACTERS]) for line in lines)
    for pattern, code, what, cure in _PATTERNS:
        if match := pattern.search(text):
            groups = [match[0], *(group or "" for group in match.groups())]
            return code, what.format(*groups), cure.format(*groups)
    return None


# "(EngineCore pid=12) ERROR 11-25 18:39:23 [core.py:842] ": before each line of a message of several lines.
_PREFIX = re.compile(r"^(?:\(\w+ pid=\d+\) ?)?(?:[A-Z]+ \d\d-\d\d \d\d:\d\d:\d\d \[[\w./]+:\d+\] ?)?")


def _from_exit_code(exit_code: int | None) -> tuple[str, str, str] | None:
    if exit_code is None:
        return None
    return _BY_EXIT_CODE.get(exit_code if exit_code >= 0 else _SIGNALS - exit_code)
