"""What was typed, as requests that `serving` judges.  Everything that makes no sense is refused here, by its option."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cli.boundary import CliError
from serving.command import ServeSettings, argument_problems
from serving.errors import InvalidArgument, InvalidArguments, UnknownGpu
from serving.gpus import Gpu, capability_of, find_gpu, gpu_of_numbers
from serving.model_request import ModelRequest
from serving.repo_id import RepoRef, is_folder, parse_repo_id
from serving.values import human_int, shown

TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_CAPABILITY_WITHOUT_DOT = re.compile(r"(?:sm_?)?(\d{1,2}?)\.?(\d)?[a-z]?", re.IGNORECASE)


@dataclass(frozen=True)
class Asked:
    """The models and cards, and one request that has all the rest.  Without cards: any card."""

    repos: tuple[RepoRef, ...]
    cards: tuple[Gpu, ...]
    share: float
    tensor_parallel_size: int | None
    base: ModelRequest = field(repr=False)

    @classmethod
    def of(
        cls,
        *,
        models: Sequence[str],
        gpu: Sequence[str],
        gpu_memory_gib: float | None,
        compute_capability: str | None,
        gpu_share: float,
        gpus: int | None,
        tensor_parallel_size: int | None,
        pipeline_parallel_size: int,
        max_num_seqs: str | None,
        max_num_batched_tokens: str | None,
        extra_args: str,
        **same: Any,
    ) -> Asked:
        """From the options; `same`: those that a request has by the same name.  Raises CliError, InvalidArguments."""
        if not 0 < gpu_share <= 1:
            raise CliError(
                f"{gpu_share} is no share of a card.", "Write one above 0 and up to 1.", option="--gpu-share"
            )
        if gpu_share < 1 and max(gpus or 1, tensor_parallel_size or 1) > 1:
            cure = "Leave --gpus and --tensor-parallel-size out, or give whole cards."
            raise CliError("a share of one card can't be several cards.", cure, option="--gpu-share")
        words = _words(extra_args)
        if pipeline_parallel_size > 1:
            words = (f"--pipeline-parallel-size={pipeline_parallel_size}", *words)
        parallel = tensor_parallel_size
        if parallel is None and gpus and gpus % pipeline_parallel_size == 0:
            parallel = gpus // pipeline_parallel_size
        base = ModelRequest(
            name="",
            model="",
            token=_token(),
            tensor_parallel_size=parallel or 1,
            max_num_seqs=_count("--max-num-seqs", max_num_seqs),
            max_num_batched_tokens=_count("--max-num-batched-tokens", max_num_batched_tokens),
            extra_args=words,
            **same,
        )
        base = replace(base, gpus=gpus or (gpu_share if gpu_share < 1 else base.gpus_needed))
        repos = tuple(_repo(model, base.revision) for model in models)
        _check(base, repos)
        cards = tuple(card.shared(gpu_share) for card in _cards(gpu, gpu_memory_gib, compute_capability))
        return cls(repos, cards, gpu_share, parallel, base)

    def request(self, repo: RepoRef, card: Gpu, **changes: Any) -> ModelRequest:
        """The request for one repo on one card."""
        return replace(
            self.base,
            name=repo.repo_id,
            model=repo.repo_id,
            revision=repo.revision,
            gpu=card.shared(self.share),
            **changes,
        )

    def on_gpus(self, size: int) -> dict[str, Any]:
        """The changes of a request that make `size` whole GPUs share the model."""
        more = replace(self.base, tensor_parallel_size=size)
        return {"tensor_parallel_size": size, "gpus": more.gpus_needed}


def _token() -> str | None:
    return next(filter(None, (os.environ.get(name, "").strip() for name in TOKEN_VARIABLES)), None)


def _words(extra_args: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(extra_args))
    except ValueError:
        cure = "Close every quotation mark."
        raise CliError(f"{shown(extra_args)} can't be divided into words.", cure, option="--extra-args") from None


def _count(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        number = human_int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise CliError(f"{shown(text)} is no count.", "Write a whole number such as 256, or 8k.", option=option)
    return number


def _repo(model: str, revision: str | None) -> RepoRef:
    if is_folder(model):
        what = f"{shown(model)} is a folder, and only repos on the Hugging Face Hub can be read."
        raise CliError(what, "Name the repo that the folder was downloaded from.")
    repo = parse_repo_id(model)
    return RepoRef(repo.repo_id, revision or repo.revision)


def _cards(names: Sequence[str], memory_gib: float | None, capability: str | None) -> Iterator[Gpu]:
    """Named cards, with the memory and capability that were given in place of the catalogue's; or one of numbers."""
    numbers = _capability(capability) if capability else None
    if numbers and not names and memory_gib is None:
        cure = "Add --gpu-memory-gib, or name the card with --gpu."
        raise CliError("a compute capability alone is no card.", cure, option="--compute-capability")
    if memory_gib is not None:
        plain = gpu_of_numbers(memory_gib, numbers or (8, 0))
        if not names:
            yield plain
    for name in names:
        card = _named(name)
        yield replace(card, memory_gib=memory_gib or card.memory_gib, capability=numbers or card.capability)


def _named(name: str) -> Gpu:
    try:
        return find_gpu(name)
    except UnknownGpu as error:
        raise UnknownGpu(error.what, f"{error.cure} --gpu help lists all that have a name.") from None


def _capability(text: str) -> tuple[int, int]:
    """Also as compilers write it: 80, sm_90a."""
    match = _CAPABILITY_WITHOUT_DOT.fullmatch(text.strip())
    return capability_of(f"{match[1]}.{match[2] or 0}" if match else text)


def _check(base: ModelRequest, repos: Sequence[RepoRef]) -> None:
    """What vLLM would refuse of the arguments themselves, whatever the model.  Raises InvalidArgument(s)."""
    settings = ServeSettings(
        model=repos[0].repo_id,
        **{key: getattr(base, key) for key in ServeSettings.model_fields if key != "model" and hasattr(base, key)},
    )
    # How many requests a step holds is a rule of the verdict, which also knows vLLM's defaults.
    of_verdict = "max_num_batched_tokens"
    found = argument_problems(settings, base.vllm_version)
    problems: list[InvalidArgument] = [problem for problem in found if problem.key != of_verdict]
    if problems:
        raise problems[0] if len(problems) == 1 else InvalidArguments(problems)
