"""What is asked of one server, in this order: health, models, a completion, a chat, a stream."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cli.server import Refused, Server

OK, WARNING, FAILED, SKIPPED = "ok", "warning", "failed", "skipped"
_PROMPT = "Count from one to twenty:"
_TOKENS, _STREAMED_TOKENS = 16, 64


@dataclass
class Step:
    """One thing that was asked.  `figures` by name, such as tokens_per_second; `cure` where it failed."""

    name: str
    state: str = OK
    detail: str = ""
    cure: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass
class Trial:
    """A server and how it did.  `session_id` is None for one that was given as a URL."""

    server: str
    model: str = ""
    session_id: str | None = None
    steps: list[Step] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not any(step.state == FAILED for step in self.steps)


Why = Callable[["Refused"], Awaitable[tuple[str, str]]]
_UNAUTHORIZED = (401, 403)
_NO_TEMPLATE_CURE = "Ask for completions, or give vLLM a template: extra_args: [--chat-template, ...]"


async def attempt(trial: Trial, server: Server, model: str | None, why: Why, *, wrong_key: str) -> None:
    """All steps in their order; those after one without which they make no sense are left out."""
    from cli.server import Refused

    steps: Sequence[tuple[str, Callable[[Step], Awaitable[None]]]] = (
        ("health", lambda step: _health(server, step)),
        ("models", lambda step: _models(server, step, trial, model)),
        ("completion", lambda step: _completion(server, step, trial.model)),
        ("chat", lambda step: _chat(server, step, trial.model)),
        ("stream", lambda step: _stream(server, step, trial)),
    )
    for name, act in steps:
        step = Step(name)
        trial.steps.append(step)
        if any(other.state == FAILED and other.name in ("health", "models") for other in trial.steps):
            step.state = SKIPPED
            continue
        began = time.perf_counter()
        try:
            await act(step)
        except Refused as refused:
            step.state = FAILED
            if refused.status in _UNAUTHORIZED:
                step.detail, step.cure = f"the api key isn't the server's: {refused}", wrong_key
            elif refused.no_template and name == "chat":
                step.state, step.detail, step.cure = WARNING, "the model has no chat template", _NO_TEMPLATE_CURE
            else:
                step.detail, step.cure = await why(refused)
        step.figures["seconds"] = round(time.perf_counter() - began, 4)


async def _health(server: Server, step: Step) -> None:
    began = time.perf_counter()
    await server.health()
    step.detail = _duration(time.perf_counter() - began)


async def _models(server: Server, step: Step, trial: Trial, wanted: str | None) -> None:
    served = await server.models()
    trial.model = wanted or next(iter(served), "")
    if not served:
        step.state, step.detail = FAILED, "it lists no model: this is no vLLM, or not up yet"
        step.cure = "Check what listens there: `curl URL/version`."
    elif trial.model not in served:
        step.state, step.detail = FAILED, f"it serves {', '.join(served)}, and not {trial.model}"
        step.cure = "Ask by a name that it serves: --model NAME; or set served_model_name and run `pulumi up`."
    else:
        length = served[trial.model]
        step.detail = trial.model + (f", up to {length:,} tokens" if length else "")
        step.figures |= {"models": list(served), "max_model_len": length}


async def _completion(server: Server, step: Step, model: str) -> None:
    began = time.perf_counter()
    answer = await server.complete({"model": model, "prompt": _PROMPT, "max_tokens": _TOKENS, "temperature": 0})
    _counted(step, answer, time.perf_counter() - began)


async def _chat(server: Server, step: Step, model: str) -> None:
    began = time.perf_counter()
    messages = [{"role": "user", "content": _PROMPT}]
    answer = await server.chat({"model": model, "messages": messages, "max_tokens": _TOKENS, "temperature": 0})
    _counted(step, answer, time.perf_counter() - began)


def _counted(step: Step, answer: dict[str, Any], seconds: float) -> None:
    if not answer.get("choices"):
        step.state, step.detail = FAILED, "the answer holds no completion: this is no vLLM"
        return
    tokens = (answer.get("usage") or {}).get("completion_tokens")
    step.figures["tokens"] = tokens
    step.detail = f"{tokens} tokens in {_duration(seconds)}" if tokens else _duration(seconds)


async def _stream(server: Server, step: Step, trial: Trial) -> None:
    chat = next(other for other in trial.steps if other.name == "chat")
    asked: dict[str, Any] = {"messages": [{"role": "user", "content": _PROMPT}]} if chat.state == OK else {}
    body = {"model": trial.model, "max_tokens": _STREAMED_TOKENS, "temperature": 0, **(asked or {"prompt": _PROMPT})}
    began, times, tokens = time.perf_counter(), list[float](), 0
    async for piece in server.stream(body):
        if piece.text:
            times.append(time.perf_counter())
        tokens = piece.tokens or tokens
    if not times:
        step.state, step.detail = FAILED, "no piece of an answer came"
        step.cure = "Ask without streaming, and see the server's log: `bai-vllm logs NAME`."
        return
    tokens, first, lasted = tokens or len(times), times[0] - began, times[-1] - times[0]
    speed = (tokens - 1) / lasted if tokens > 1 and lasted > 0 else None
    step.figures |= {
        "tokens": tokens,
        "pieces": len(times),
        "time_to_first_token": round(first, 4),
        "tokens_per_second": round(speed, 1) if speed else None,
    }
    step.detail = f"first token after {_duration(first)}"
    if speed:
        step.detail += f", then {speed:,.1f} tokens/s ({tokens} tokens)"
    if tokens > 1 and len(times) == 1:
        step.state, step.cure = WARNING, "Something between here and the server collects the answer, such as a proxy."
        step.detail += ", all in one piece"


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
