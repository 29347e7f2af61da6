"""The verb `plan`: its options by vLLM's own names, and which of the answers is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from .asked import Asked

Output = Literal["text", "json", "markdown"]

_MODEL, _ENGINE, _CARD, _ANSWER = "Model", "Engine", "Card", "Answer"


def _card_names(incomplete: str) -> list[str]:
    from serving.gpus import CATALOGUE

    return [card.name for card in CATALOGUE if card.name.lower().startswith(incomplete.lower())]


def _list_cards(names: list[str] | None) -> list[str] | None:
    """`--gpu help`, before anything else is looked at."""
    if names and "help" in (name.lower() for name in names):
        from cli.console import say
        from serving.gpus import CATALOGUE

        for card in CATALOGUE:
            say(f"{card.name:<20} {card.memory_gib:7.2f} GiB  {card.capability_text or 'ROCm'}")
        raise typer.Exit
    return names


def plan(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL", help="On the Hugging Face Hub: ORG/NAME or an address; several are judged one by one."
        ),
    ],
    *,
    gpu: Annotated[
        list[str] | None,
        typer.Option(
            "--gpu",
            metavar="NAME",
            help="The card; can be repeated. help: lists all.",
            autocompletion=_card_names,
            callback=_list_cards,
            is_eager=True,
        ),
    ] = None,
    gpu_memory_gib: Annotated[
        float | None, typer.Option(metavar="GIB", help="The card by numbers: its memory as vLLM sees it.")
    ] = None,
    compute_capability: Annotated[
        str | None, typer.Option(metavar="X.Y", help="Its CUDA compute capability, with --gpu-memory-gib (8.0).")
    ] = None,
    gpu_share: Annotated[float, typer.Option(metavar="SHARE", help="Share of the card that the session gets.")] = 1.0,
    gpus: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="GPUs of the session; all of them share the model.")
    ] = None,
    tensor_parallel_size: Annotated[
        int | None,
        typer.Option("--tensor-parallel-size", "--tp", metavar="N", min=1, help="GPUs that share each layer (1)."),
    ] = None,
    pipeline_parallel_size: Annotated[
        int,
        typer.Option(
            "--pipeline-parallel-size", "--pp", metavar="N", min=1, help="Groups of layers, each on GPUs of its own."
        ),
    ] = 1,
    revision: Annotated[str | None, typer.Option(metavar="REV", help="Branch, tag or commit.")] = None,
    quantization: Annotated[
        str | None,
        typer.Option("--quantization", "-q", metavar="METHOD", help="As the weights carry it, or online: fp8."),
    ] = None,
    dtype: Annotated[str, typer.Option(metavar="TYPE", help="auto, bfloat16, float16 or float32.")] = "auto",
    kv_cache_dtype: Annotated[str | None, typer.Option(metavar="TYPE", help="auto, fp8, ...")] = None,
    max_model_len: Annotated[
        str | None, typer.Option(metavar="TOKENS", help="Also 32k, or auto; the model's own if left out.")
    ] = None,
    max_num_seqs: Annotated[str | None, typer.Option(metavar="N", help="Requests in one step.")] = None,
    max_num_batched_tokens: Annotated[str | None, typer.Option(metavar="N", help="Tokens in one step.")] = None,
    gpu_memory_utilization: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Share of the card's memory that vLLM takes.")
    ] = None,
    enforce_eager: Annotated[
        bool, typer.Option("--enforce-eager/--no-enforce-eager", help="No CUDA graphs.", show_default=False)
    ] = False,
    trust_remote_code: Annotated[
        bool,
        typer.Option(
            "--trust-remote-code/--no-trust-remote-code", help="Run code that the repo brings.", show_default=False
        ),
    ] = False,
    extra_args: Annotated[
        str, typer.Option(metavar="ARGS", help="More arguments of `vllm serve`, in one word: '--block-size=32'.")
    ] = "",
    vllm_version: Annotated[
        str | None, typer.Option(metavar="X.Y", help="The release that will serve; the newest known if left out.")
    ] = None,
    matrix: Annotated[
        bool, typer.Option("--matrix", help="Quantizations × cards: those of --gpu, or a dozen usual ones.")
    ] = False,
    output: Annotated[Output, typer.Option("--output", "-o", metavar="FORM", help="text, json or markdown.")] = "text",
) -> int:
    """Say whether vLLM will start a model, before anything exists.

    Without --gpu: the smallest card of a dozen usual ones that starts it.

    HF_ENDPOINT and HF_TOKEN are honoured. Exit code: 0 START, 3 MAYBE, 4 WON'T START (of several the worst; with
    --matrix the best of each model), 1 an error.
    """
    from .asked import Asked

    asked = Asked.of(
        models=models,
        gpu=gpu or [],
        gpu_memory_gib=gpu_memory_gib,
        compute_capability=compute_capability,
        gpu_share=gpu_share,
        gpus=gpus,
        tensor_parallel_size=tensor_parallel_size,
        pipeline_parallel_size=pipeline_parallel_size,
        revision=revision,
        quantization=quantization,
        dtype=dtype,
        kv_cache_dtype=kv_cache_dtype,
        max_model_len=max_model_len,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
        gpu_memory_utilization=gpu_memory_utilization,
        enforce_eager=enforce_eager,
        trust_remote_code=trust_remote_code,
        extra_args=extra_args,
        vllm_version=vllm_version,
    )
    return _matrix(asked, output) if matrix else _verdicts(asked, output)


def _verdicts(asked: Asked, output: Output) -> int:
    from . import judging, smallest, written

    known, failed = judging.readable(asked)
    if asked.cards:
        choices = [smallest.Choice(verdict) for verdict in judging.verdicts(asked, known)]
    else:
        choices = smallest.choices(asked, known)
    if output == "text":
        from . import report

        report.show(choices)
    else:
        written.show([choice.verdict for choice in choices], output, failed)
    code = judging.exit_code(choice.verdict.outcome for choice in choices)
    return judging.report_failed(failed) if failed else code


def _matrix(asked: Asked, output: Output) -> int:
    from . import judging, matrix, written

    matrices = matrix.matrices(asked)
    if output == "text":
        from . import grid

        grid.show(matrices)
    else:
        written.show_matrices(matrices, output)
    return judging.exit_code(found.best for found in matrices)
