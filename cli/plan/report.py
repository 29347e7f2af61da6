"""A verdict as a terminal shows it: the answer, one GPU's memory, what fits, what is in the way and what cures it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli import console
from serving.estimates import GIB
from serving.fit import Outcome
from serving.rules import Rule
from serving.rules_shown import for_people
from serving.verdict import Verdict

from . import bar
from .smallest import Choice

if TYPE_CHECKING:
    from serving.engine import Engine

STYLES = {Outcome.START: "bold green", Outcome.MAYBE: "bold yellow", Outcome.WONT_START: "bold red"}
_WIDEST = 100  # columns; a longer bar says no more
_SHA_DIGITS = 12


def show(choices: Sequence[Choice]) -> None:
    """All of them on stdout."""
    console.show(lambda width: Group(*apart(report(choice, min(width, _WIDEST)) for choice in choices)))


def apart(pieces: Iterable[RenderableType]) -> Iterator[RenderableType]:
    """With an empty line between two."""
    for index, piece in enumerate(pieces):
        if index:
            yield ""
        yield piece


def report(choice: Choice, width: int) -> RenderableType:
    """One verdict."""
    verdict = choice.verdict
    pieces: list[RenderableType] = [*_head(choice)]
    if verdict.memory is not None:
        pieces += ["", *_memory(verdict, width)]
    facts = [*_facts(verdict)]
    if facts:
        pieces += ["", _pairs(facts)]
    broken = for_people(verdict.broken)
    if broken or verdict.warnings:
        with_cure = not verdict.cures  # each of which is enough
        pieces += ["", *(_rule(rule, with_cure=with_cure) for rule in broken), *map(_rule, verdict.warnings)]
    if verdict.cures:
        pieces += ["", Text("What would make it start", "bold"), _bullets(verdict.cures)]
    if verdict.unchecked:
        pieces += ["", Text("Not checked: " + "; ".join(verdict.unchecked), "yellow")]
    return Group(*pieces)


def _head(choice: Choice) -> Iterator[Text]:
    verdict = choice.verdict
    title = Text(verdict.model, "bold")
    if verdict.revision:
        title.append(f"  {verdict.revision[:_SHA_DIGITS]}", "dim")
    yield title
    yield Text.assemble((verdict.outcome.shown, STYLES[verdict.outcome]), " on ", _card(verdict))
    if choice.note:
        yield Text(choice.note, "dim")


def _card(verdict: Verdict) -> str:
    gpu = verdict.gpu
    if gpu is None:
        return "an unknown card"
    whole = int(verdict.gpu_count) if verdict.gpu_count >= 1 else 1
    count = f"{whole} × " if whole > 1 else ""
    share = f"{gpu.share:g} of " if gpu.share < 1 else ""
    size = "" if gpu.name == f"{gpu.memory_gib:g} GiB" else f"{gpu.memory_gib:.2f} GiB, "
    kind = f"compute capability {gpu.capability_text}" if gpu.capability_text else "ROCm"
    return f"{count}{share}{gpu.name} ({size}{kind})"


def _memory(verdict: Verdict, width: int) -> Iterator[Text]:
    assert verdict.memory is not None and verdict.gpu is not None
    card = verdict.gpu.visible_gib
    each = "Each GPU" if verdict.gpu_count > 1 else "The GPU"
    yield Text(f"{each}: {card:.2f} GiB, {verdict.memory.budget / GIB:.2f} of it for vLLM")
    yield from bar.bar(verdict.memory, card, width)
    yield from bar.legend(verdict.memory, card, width)


def _facts(verdict: Verdict) -> Iterator[tuple[str, str]]:
    if verdict.max_model_len:
        yield "max_model_len", f"{verdict.max_model_len:,} tokens"
    if verdict.largest_max_model_len is not None:
        longest = f"{verdict.largest_max_model_len:,} tokens" if verdict.largest_max_model_len else "none"
        yield "largest that starts", longest
    if verdict.kv_cache_tokens:
        yield "KV cache", f"{verdict.kv_cache_tokens:,} tokens"
    if verdict.max_concurrency and verdict.max_model_len:
        yield "requests at once", _requests(verdict, verdict.max_concurrency)
    if verdict.engine is not None:
        yield "served as", ", ".join(_served_as(verdict.engine))


def _requests(verdict: Verdict, held: float) -> str:
    """How many run at once, and where that isn't the KV cache's doing, what it would hold."""
    runs = verdict.requests_at_once or 0.0
    number = f"{runs:,.0f}" if runs < held else f"{runs:,.1f}"
    more = f" (max_num_seqs; the KV cache holds {held:,.0f})" if runs < held else ""
    return f"{number} of {verdict.max_model_len:,} tokens{more}"


def _served_as(engine: Engine) -> Iterator[str]:
    yield "vLLM " + ".".join(map(str, engine.release))
    yield engine.dtype + (f" with {engine.quantization}" if engine.quantization else "")
    if engine.kv_cache_dtype != "auto":
        yield f"KV cache in {engine.kv_cache_dtype}"
    yield f"{engine.max_num_seqs:,} sequences"
    yield f"{engine.max_num_batched_tokens:,} tokens a step"
    yield f"utilization {engine.gpu_memory_utilization:g}"
    if engine.enforce_eager:
        yield "no CUDA graphs"


def _pairs(pairs: Sequence[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for pair in pairs:
        table.add_row(*pair)
    return table


def _rule(rule: Rule, *, with_cure: bool = True) -> Table:
    """What is broken, and below it the cure, both indented behind a mark."""
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column()
    mark = Text("✗", "bold red") if rule.level == "error" else Text("!", "bold yellow")
    table.add_row(mark, Text.assemble((f"{rule.rule}: ", "bold"), rule.message))
    if rule.cure and with_cure and rule.rule != "memory":  # whose cure is the first of all
        table.add_row("", Text.assemble(("cure: ", "green"), rule.cure))
    return table


def _bullets(lines: Sequence[str]) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column()
    for line in lines:
        table.add_row("–", Text(line))
    return table
