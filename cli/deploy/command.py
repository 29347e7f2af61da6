"""The verb `deploy`: the options of the old deployment script, by the same names."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.options import StackOption


def deploy(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="On the Hugging Face Hub: ORG/NAME or an address; or a folder.")
    ],
    *,
    gpu_count: Annotated[
        float | None, typer.Option("--gpu-count", "-g", metavar="N", help="GPUs of the session (1).")
    ] = None,
    memory: Annotated[str | None, typer.Option("--memory", "-m", metavar="SIZE", help="Host memory (16g).")] = None,
    cpu_count: Annotated[int | None, typer.Option("--cpu-count", "-c", metavar="N", help="Cores (4).")] = None,
    session_name: Annotated[
        str | None,
        typer.Option("--session-name", "-n", metavar="NAME", help="Of the session, and of the model in the stack."),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", "-p", metavar="PORT", help="Of vLLM in the session (8000).")
    ] = None,
    max_model_len: Annotated[
        str | None, typer.Option(metavar="TOKENS", help="Of one request, prompt and answer (4096); also 32k.")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(metavar="TYPE", help="auto, bfloat16, float16 or float32 (auto).")
    ] = None,
    quantization: Annotated[
        str | None, typer.Option(metavar="METHOD", help="As the weights carry it (awq, gptq), or online: fp8.")
    ] = None,
    tensor_parallel_size: Annotated[
        int | None, typer.Option(metavar="N", help="GPUs that share each layer (all whole GPUs).")
    ] = None,
    trust_remote_code: Annotated[
        bool | None,
        typer.Option("--trust-remote-code", help="Run code that the repo brings.", show_default=False),
    ] = None,
    huggingface_token: Annotated[
        str | None,
        typer.Option(
            metavar="TOKEN", help="Kept encrypted in the stack file. `-` reads it from stdin; HF_TOKEN needs no option."
        ),
    ] = None,
    image: Annotated[str | None, typer.Option(metavar="IMAGE", help="With vLLM (the stack's).")] = None,
    scaling_group: Annotated[
        str | None, typer.Option(metavar="GROUP", help="Also called resource group (the stack's).")
    ] = None,
    wait: Annotated[
        bool | None,
        typer.Option("--wait/--no-wait", help="Until the model answers, which is the default.", show_default=False),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the verdict and the changes; write nothing.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show all that Pulumi prints.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="The same with Pulumi's debugging output.")] = False,
    stack: StackOption = None,
) -> int:
    """Add a model to the stack's file and bring it up.

    Only what you give is written; what is left out has the default that stands in parentheses. When the settings or
    the verdict refuse it, nothing is written; when it fails later, the model stays in the file, and `pulumi up` goes
    on.
    """
    from .running import Manner

    given: dict[str, Any] = {
        "gpu_count": gpu_count,
        "cpu_count": cpu_count,
        "memory": memory,
        "max_model_len": max_model_len,
        "dtype": dtype,
        "quantization": quantization,
        "tensor_parallel_size": tensor_parallel_size,
        "trust_remote_code": trust_remote_code or None,
        "session_name": session_name,
        "port": port,
        "image": image,
        "scaling_group": scaling_group,
        "wait": wait,
    }
    return _deploy(model, given, huggingface_token, stack, Manner(verbose, debug), dry_run=dry_run)


def _deploy(
    model: str, given: dict[str, Any], token: str | None, stack_name: str | None, manner: Any, *, dry_run: bool
) -> int:
    from cli import stack_file
    from cli.console import say
    from cli.stack import selected

    from . import changing
    from .checking import check
    from .entry import entry_of, refuse_twice
    from .token import encrypted, token_from

    entry = entry_of(model, given)
    stack = selected(stack_name)
    before = stack_file.read(stack.file)
    entries = stack_file.entries_of(before, stack.file)
    refuse_twice(entry, entries, named=bool(given["session_name"]), file=stack.file.name)
    after = before
    if token is not None:
        secret = encrypted(stack, token_from(token))
        entry["hf_token"], after = dict(secret.value), stack_file.with_settings(before, secret.settings)
    after = stack_file.with_entry(after, entry, stack.file)
    check(after, stack.file)
    name = entry["name"]
    if dry_run:
        changing.try_out(stack, after, manner)
        say(f"Nothing was written. Without --dry-run, {stack.file.name} gets the model '{name}', and it is brought up.")
        return 0
    changing.change(
        stack,
        before,
        after,
        manner,
        undo=lambda now: stack_file.without_entry(now, name, stack.file),
        stays=f"'{name}' stays in {stack.file.name}, because its session may exist: `bai-vllm logs {name}` shows what "
        f"it says, `pulumi up` goes on with it, `bai-vllm remove {name}` takes it away.",
    )
    say(_next(name, waited=given["wait"] is not False))
    return 0


def _next(name: str, *, waited: bool) -> str:
    if not waited:
        return f"{name} is starting: `bai-vllm list` shows how far it is, `pulumi up` waits for it."
    return f"{name} answers: `bai-vllm chat {name}` talks to it, `bai-vllm connect {name}` opens a port for clients."
