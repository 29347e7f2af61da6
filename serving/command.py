"""From typed settings to `vllm serve ...`, with everything refused that vLLM itself would refuse, and
what it lets through to fail later.

The model comes first and every flag is one word, --flag=value: a flag that takes several values would
otherwise swallow the model, and vLLM would serve another one.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator

from pydantic import BaseModel, ConfigDict

from .arguments import parse_extra_args
from .errors import InvalidArgument, InvalidArguments
from .flags import known, table
from .quantization import method_problem
from .repo_id import is_folder, parse_repo_id
from .values import AUTO, did_you_mean, has_secret, human_int_or_auto, shown, unprintable
from .versions import Minor, minor

HOST = "0.0.0.0"  # all interfaces: the tunnel comes from outside the container
MAX_PORT = 65535
AUTO_LENGTH_SINCE: Minor = (0, 14)  # --max-model-len auto, vllm-project/vllm#29431


class ServeSettings(BaseModel):
    """What one `vllm serve` is started with.  The values aren't checked here but by `argument_problems`.

    `max_model_len`: tokens, also "32k" (32000), "32K" (32768) or "auto" (as long as the memory allows);
    None: the model's own.  `gpu_memory_utilization`: share of the card's whole memory; None: vLLM's
    default.  `max_num_seqs`, `max_num_batched_tokens`: requests, and tokens, of one step.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    model: str
    revision: str | None = None
    quantization: str | None = None
    tensor_parallel_size: int = 1
    max_model_len: int | str | None = None
    dtype: str = "auto"
    kv_cache_dtype: str | None = None
    gpu_memory_utilization: float | None = None
    trust_remote_code: bool = False
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    enforce_eager: bool = False
    served_model_name: str | None = None
    port: int = 8000
    extra_args: tuple[str, ...] = ()


def max_model_len_tokens(value: int | str | None) -> int | None:
    """Tokens of a max_model_len; None for "auto", -1 and None.  Raises InvalidArgument for what is none."""
    if value is None:
        return None
    try:
        tokens = human_int_or_auto(str(value))
    except ValueError:
        tokens = 0
    if tokens == AUTO:
        return None
    if tokens < 1:
        cure = "Write a number of tokens such as 8192, 32k (32000) or 32K (32768), or auto."
        raise InvalidArgument(f"{shown(value)} is no length that vLLM understands.", cure, key="max_model_len")
    return tokens


def argument_problems(settings: ServeSettings, version: str | None = None) -> list[InvalidArgument]:
    """Everything that keeps vLLM `version` from starting with these settings, each with its key.

    `version` None: not known, and then the release of the flag table counts.
    """
    try:
        minor(version or table().version)
    except InvalidArgument as problem:
        return [problem]
    return [problem for check in _CHECKS for problem in check(settings, version)]


def serve_argv(settings: ServeSettings, version: str | None = None) -> list[str]:
    """`vllm serve ...` as a list of words.  Raises InvalidArgument, or InvalidArguments for several."""
    problems = argument_problems(settings, version)
    if problems:
        raise problems[0] if len(problems) == 1 else InvalidArguments(problems)
    argv = ["vllm", "serve", settings.model, f"--host={HOST}"]
    for flag, value in _flags(settings).items():
        if value is True:
            argv.append(flag)
        elif value not in (None, False):
            argv.append(f"{flag}={value}")
    return argv + parse_extra_args(settings.extra_args, version).words


def startup_command(settings: ServeSettings, version: str | None = None) -> str:
    """The shell command of a session: `exec`, so that vLLM gets the signals and its end is the session's.

    Raises InvalidArgument, or InvalidArguments for several.
    """
    return "exec " + shlex.join(serve_argv(settings, version))


def _flags(settings: ServeSettings) -> dict[str, object]:
    """Flag -> value; None and False are left out, True is a bare flag."""
    parallel = settings.tensor_parallel_size
    return {
        "--port": settings.port,
        "--served-model-name": settings.served_model_name,
        "--revision": settings.revision,
        "--quantization": settings.quantization,
        "--tensor-parallel-size": None if parallel == 1 else parallel,
        "--max-model-len": settings.max_model_len,
        "--dtype": None if settings.dtype == "auto" else settings.dtype,
        "--kv-cache-dtype": settings.kv_cache_dtype,
        "--gpu-memory-utilization": settings.gpu_memory_utilization,
        "--trust-remote-code": settings.trust_remote_code,
        "--max-num-seqs": settings.max_num_seqs,
        "--max-num-batched-tokens": settings.max_num_batched_tokens,
        "--enforce-eager": settings.enforce_eager,
    }


Problems = Iterator[InvalidArgument]


def _one_line(settings: ServeSettings, version: str | None) -> Problems:
    for key, value in settings:
        if not isinstance(value, str):
            continue
        if why := unprintable(value):
            yield InvalidArgument(f"{shown(value)} holds {why}.", "Write it on one line.", key=key)
        elif not value.strip():
            yield InvalidArgument("It is empty.", "Leave the key out, or give it a value.", key=key)
        elif has_secret(value):
            what = "It has a token or key in it, and arguments can be read by everybody."
            yield InvalidArgument(what, "Give it as a secret: hf_token or api_key.", key=key)


def _model(settings: ServeSettings, version: str | None) -> Problems:
    if unprintable(settings.model) or not settings.model.strip() or is_folder(settings.model):
        return
    try:
        ref = parse_repo_id(settings.model)
    except InvalidArgument as problem:
        yield problem
        return
    if ref.repo_id != settings.model:
        cure = f"Write {ref.repo_id}" + (f", and revision: {ref.revision}." if ref.revision else ".")
        yield InvalidArgument(f"{shown(settings.model)} is an address; vLLM wants the name.", cure, key="model")


def _quantization(settings: ServeSettings, version: str | None) -> Problems:
    if settings.quantization and settings.quantization.strip():
        allowed = "--allow-deprecated-quantization" in parse_extra_args(settings.extra_args, version).words
        if problem := method_problem(settings.quantization, version, deprecated_allowed=allowed):
            yield problem


def _length(settings: ServeSettings, version: str | None) -> Problems:
    try:
        tokens = max_model_len_tokens(settings.max_model_len)
    except InvalidArgument as problem:
        yield problem
        return
    if settings.max_model_len is not None and tokens is None and table().release(version) < AUTO_LENGTH_SINCE:
        since = ".".join(map(str, AUTO_LENGTH_SINCE))
        what = f"vLLM {version} can't find the length itself: auto came with {since}."
        cure = "Write a number of tokens, leave it out for the model's own, or use a newer image."
        yield InvalidArgument(what, cure, key="max_model_len")


def _chosen(key: str) -> Callable[[ServeSettings, str | None], Problems]:
    """A check that the value is one of the flag's choices."""

    def check(settings: ServeSettings, version: str | None) -> Problems:
        value, choices = getattr(settings, key), table().by_dest(key).choices or ()
        if value is not None and value.strip() and value not in choices:
            near = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}.get(value)
            cure = f"Did you mean {near}?" if near in choices else did_you_mean(value, choices)
            yield InvalidArgument(f"vLLM has no {key} {shown(value)}.", cure or "Well known are auto and fp8.", key=key)

    return check


def _numbers(settings: ServeSettings, version: str | None) -> Problems:
    share = settings.gpu_memory_utilization
    if share is not None and not 0 < share <= 1:
        cure = "Write a share above 0 and up to 1, such as 0.9."
        yield InvalidArgument(f"{share} is no share of the memory.", cure, key="gpu_memory_utilization")
    if settings.tensor_parallel_size < 1:
        what = f"{settings.tensor_parallel_size} is no number of GPUs."
        yield InvalidArgument(what, "Write 1 or more.", key="tensor_parallel_size")
    seqs, batched = settings.max_num_seqs, settings.max_num_batched_tokens
    for key, value in (("max_num_seqs", seqs), ("max_num_batched_tokens", batched)):
        if value is not None and value < 1:
            yield InvalidArgument(f"{value} is too few.", "Write 1 or more.", key=key)
    if seqs is not None and batched is not None and batched < seqs:
        what = f"{batched} is less than max_num_seqs, {seqs}: each request needs a token a step."
        yield InvalidArgument(what, f"Raise it to {seqs} or more.", key="max_num_batched_tokens")
    if not 1 <= settings.port <= MAX_PORT:
        yield InvalidArgument(f"{settings.port} is no port.", f"Write 1 to {MAX_PORT}.", key="port")


def _release(settings: ServeSettings, version: str | None) -> Problems:
    """Flags of ours that the release doesn't have."""
    for flag, value in _flags(settings).items():
        if value not in (None, False) and not known(flag, version):
            key = table().by_name[flag].dest
            yield InvalidArgument(f"vLLM {version} has no {flag}.", "Leave it out, or use another image.", key=key)


def _extra(settings: ServeSettings, version: str | None) -> Problems:
    yield from parse_extra_args(settings.extra_args, version).problems


_CHECKS: tuple[Callable[[ServeSettings, str | None], Problems], ...] = (
    *(_one_line, _model, _quantization, _length, _chosen("dtype"), _chosen("kv_cache_dtype")),
    *(_numbers, _release, _extra),
)
