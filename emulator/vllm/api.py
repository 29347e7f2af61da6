"""Request bodies in, answer bodies out: what the routes of the server say, without sockets."""

import argparse
import itertools
import re
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from emulator.vllm import bodies
from emulator.vllm.bodies import ApiError, Body, bad_request, invalid, required
from emulator.vllm.counters import Counters
from emulator.vllm.faults import Faults
from emulator.vllm.journal import ENGINE, leave, log
from emulator.vllm.memory import Memory

_NO_TEMPLATE = (
    "As of transformers v4.44, default chat template is no longer allowed, so you must provide a chat "
    "template if the tokenizer does not define one."
)
_DEAD = "EngineCore encountered an issue. See stack trace (above) for the root cause."
_DEAD_SECONDS = 1.0  # /health says 503 so long before the process ends
_DEFAULT_COMPLETION_TOKENS = 16
# Keys that a client of OpenAI's doesn't ask for; always there, and null without the options that fill them.
_OF_AN_ANSWER = {"service_tier": None, "kv_transfer_params": None, "ec_transfer_params": None, "metrics": None}
_OF_A_CHAT = {"prompt_logprobs": None, "prompt_token_ids": None, "prompt_text": None}
_MIDDLE = {"token_ids": None}
_LAST = {"stop_reason": None, "token_ids": None}
# One token: up to six letters with the blank before them, a sign, or a lone blank.
_TOKEN = re.compile(r"\s?\w{1,6}|\s?[^\w\s]|\s")


class Reply(NamedTuple):
    """What the model says to one prompt."""

    prompt_tokens: int
    pieces: list[str]
    finish_reason: str

    def usage(self) -> Body:
        completion = len(self.pieces)
        return {
            "prompt_tokens": self.prompt_tokens,
            "total_tokens": self.prompt_tokens + completion,
            "completion_tokens": completion,
            "prompt_tokens_details": None,
            "completion_tokens_details": None,
        }


class Api:
    """The served model: its names, its limits, what it says, its health."""

    def __init__(
        self,
        args: argparse.Namespace,
        sizes: Memory,
        chat_template: str | None,
        faults: Faults,
        *,
        vocab: int,
    ) -> None:
        self._args, self._sizes, self._faults, self._vocab = args, sizes, faults, vocab
        self._chat_template = args.chat_template or chat_template
        self.names: list[str] = [faults.serves] if faults.serves else args.served_model_name or [args.model]
        self.version: str = args.version
        self._fingerprint = {"system_fingerprint": f"vllm-{args.version}-{uuid.uuid4().hex[:8]}"}
        self._created = int(time.time())
        self._words: dict[int, str] = {}
        self.counters = Counters(args, sizes, self.names[0])
        self.dead = False

    def api_keys(self, from_environment: str | None) -> list[str]:
        """The keys that open guarded routes: the flag's, else the variable's; empty ones dropped."""
        return [key for key in self._args.api_key or [from_environment] if key]

    # models and tokens

    def serve(self, body: Body) -> Body:
        """POST /_standin/serve, of no real server: from now on it serves these `names`, this `max_model_len`."""
        self.names = body.get("names") or self.names
        self._sizes = self._sizes._replace(max_model_len=body.get("max_model_len") or self._sizes.max_model_len)
        return self.models()

    def models(self) -> Body:
        return {"object": "list", "data": [self._model(name) for name in self.names]}

    def _model(self, name: str) -> Body:
        permission = {
            "id": f"modelperm-{uuid.uuid5(uuid.NAMESPACE_URL, name).hex[:16]}",
            "object": "model_permission",
            "created": self._created,
            "allow_create_engine": False,
            "allow_sampling": True,
            "allow_logprobs": True,
            "allow_search_indices": False,
            "allow_view": True,
            "allow_fine_tuning": False,
            "organization": "*",
            "group": None,
            "is_blocking": False,
        }
        return {
            "id": name,
            "object": "model",
            "created": self._created,
            "owned_by": "vllm",
            "root": self._args.model,
            "parent": None,
            "max_model_len": self._sizes.max_model_len,
            "permission": [permission],
        }

    def tokenize(self, body: Body) -> Body:
        """POST /tokenize, of a prompt or of messages."""
        if "messages" not in body and "prompt" not in body:
            raise invalid(bodies.missing(body, "prompt"), bodies.missing(body, "messages"))
        self._named(body)
        text = self._chat_prompt(body) if "messages" in body else required(body, "prompt")
        ids = self._ids(_pieces(text))
        return {
            "count": len(ids),
            "max_model_len": self._sizes.max_model_len,
            "tokens": ids,
            "token_strs": None,
        }

    def detokenize(self, body: Body) -> Body:
        """POST /detokenize; an id that this process never gave out reads as <id>."""
        self._named(body)
        return {"prompt": "".join(self._words.get(id_, f"<{id_}>") for id_ in required(body, "tokens"))}

    def _ids(self, pieces: list[str]) -> list[int]:
        ids = [zlib.crc32(piece.encode()) % self._vocab for piece in pieces]
        self._words.update(zip(ids, pieces, strict=True))
        return ids

    # completions

    def complete(self, body: Body) -> Body | Iterator[Body]:
        """POST /v1/completions; chunks when the body asks for a stream."""
        body = bodies.read(body)
        bodies.check_prompt(body.get("prompt"))
        self._named(body)
        prompts = bodies.prompts(body["prompt"], self._words, self._vocab)
        asked = body.get("max_tokens")
        limit = _DEFAULT_COMPLETION_TOKENS if asked is None else asked
        replies = [self._reply(body, prompt, " " + prompt, limit, "max_tokens") for prompt in prompts]
        head = self._head(body, "cmpl", "text_completion")

        def choice(index: int, text: str, reason: str | None) -> Body:
            return {
                "index": index,
                "text": text,
                "logprobs": None,
                "finish_reason": reason,
                "stop_reason": None,
                "prompt_token_ids": None,
                "token_ids": None,
            }

        if body.get("stream"):
            chunks = (
                head | {"choices": [choice(index, piece, reason)]}
                for index, reply in enumerate(replies)
                for piece, reason in _ends(reply)
            )
            return self._streamed(body, head, chunks, replies)
        whole = {"prompt_logprobs": None, "routed_experts": None}
        choices = [choice(n, "".join(reply.pieces), reply.finish_reason) | whole for n, reply in enumerate(replies)]
        return self._answered(head | {"choices": choices}, replies)

    def chat(self, body: Body) -> Body | Iterator[Body]:
        """POST /v1/chat/completions; 400 when neither the repo nor --chat-template has a template."""
        body = bodies.read(body)
        bodies.check_messages(required(body, "messages"))
        bodies.check_tools(body)
        self._named(body)
        prompt = self._chat_prompt(body)
        bodies.check_tool_choice(
            body, automatic=self._args.enable_auto_tool_choice, parser=bool(self._args.tool_call_parser)
        )
        limit_name = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
        limit = body.get(limit_name)
        said = f"You said: {_content(body['messages'][-1])}"
        reply = self._reply(body, prompt, said, limit, limit_name)
        if body.get("stream"):
            head = self._head(body, "chatcmpl", "chat.completion.chunk")
            chunks = itertools.chain(
                [head | _chunk({"role": "assistant", "content": ""}) | {"prompt_token_ids": None, "prompt_text": None}],
                (
                    head | _chunk({"content": piece}, reason, **_LAST if reason else _MIDDLE)
                    for piece, reason in _ends(reply)
                ),
            )
            return self._streamed(body, head, chunks, [reply])
        message: Body = {
            "role": "assistant",
            "content": "".join(reply.pieces),
            "refusal": None,
            "annotations": None,
            "audio": None,
            "function_call": None,
            "reasoning": None,
        }
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}
        head = self._head(body, "chatcmpl", "chat.completion")
        choice |= {"stop_reason": None, "token_ids": None, "routed_experts": None}
        return self._answered(head | {"choices": [choice]}, [reply]) | _OF_A_CHAT

    def invoke(self, body: Body) -> Body | Iterator[Body]:
        """POST /invocations: the same inference, told apart by what the body holds."""
        return self.chat(body) if "messages" in body else self.complete(body)

    def _named(self, body: Body) -> None:
        name = body.get("model")
        if name is not None and name not in self.names:
            text = f"The model `{name}` does not exist. Valid aliases: {', '.join(self.names)}."
            raise ApiError(404, "NotFoundError", text, "model")

    def _chat_prompt(self, body: Body) -> str:
        messages = required(body, "messages")
        bodies.check_messages(messages)
        if not messages:
            raise bad_request("Cannot apply chat template to an empty conversation. Provide at least one message.")
        if self._chat_template is None:
            raise bad_request(_NO_TEMPLATE)
        return "".join(f"{message.get('role')}: {_content(message)}\n" for message in messages)

    def _reply(self, body: Body, prompt: str, said: str, limit: int | None, limit_name: str) -> Reply:
        pieces, longest = _pieces(prompt), self._sizes.max_model_len
        self._ids(pieces)
        room = longest - len(pieces)
        if room < 1:
            seen = min(len(pieces), longest + 1)  # the real one stops counting there
            text = (
                f"This model's maximum context length is {longest} tokens. However, your prompt contains at least "
                f"{seen} input tokens, which exceeds this limit even without any output tokens. Please reduce the "
                f"length of the input prompt. (parameter=input_tokens, value={seen})"
            )
            raise bad_request(text, "input_tokens")
        if limit is not None and limit > longest:
            text = f"{limit_name}={limit} cannot be greater than max_model_len={longest}."
            text = f"{text} Please request fewer output tokens. (parameter={limit_name}, value={limit})"
            raise bad_request(text, limit_name)
        bodies.check_sampling(body, limit, limit_name)
        limit = min(limit or room, room)  # what is asked for is cut to what there is room for
        words: Iterator[str] = iter(_pieces(said))
        if body.get("ignore_eos"):
            words = itertools.cycle(_pieces(said))
        # One word more than allowed tells a reply that was cut from one that ended.
        taken = list(itertools.islice(words, limit + 1))
        cut = len(taken) > limit
        self._die_if_broken()
        return Reply(len(pieces), taken[:limit], "length" if cut else "stop")

    def _die_if_broken(self) -> None:
        if not (self._faults.broken_engine or self.dead):
            return
        if not self.dead:
            self.dead = True
            log(ENGINE, "core.py:1142", "EngineCore encountered a fatal error.", "ERROR")
            threading.Timer(_DEAD_SECONDS, leave, args=(0,)).start()
        raise ApiError(500, "InternalServerError", _DEAD)

    def _head(self, body: Body, prefix: str, object_: str) -> Body:
        name = body.get("model") or self.names[0]
        return {
            "id": f"{prefix}-{uuid.uuid4().hex[:16]}",
            "object": object_,
            "created": int(time.time()),
            "model": name,
        }

    def _answered(self, answer: Body, replies: list[Reply]) -> Body:
        usage = _total(replies)
        self.counters.begin(usage)
        try:
            time.sleep(self._faults.slow_seconds)
        finally:
            self.counters.end(usage, _reasons(replies), self._faults.slow_seconds)
        return answer | {"usage": usage, **self._fingerprint} | _OF_AN_ANSWER

    def _streamed(self, body: Body, head: Body, chunks: Iterator[Body], replies: list[Reply]) -> Iterator[Body]:
        usage = _total(replies)
        pause = self._faults.slow_seconds / max(1, usage["completion_tokens"])
        self.counters.begin(usage)
        try:
            # The fingerprint goes with the usage, else with the last piece of each reply.
            options = body.get("stream_options") or {}
            with_usage = bool(options.get("include_usage"))
            so_far = _so_far(replies) if with_usage and options.get("continuous_usage_stats") else lambda _choice: {}
            for chunk in chunks:
                (choice,) = chunk["choices"]
                ended = choice["finish_reason"] is not None and not with_usage
                yield chunk | so_far(choice) | (self._fingerprint if ended else {})
                time.sleep(pause)
            if with_usage:
                told = {name: number for name, number in usage.items() if number is not None}
                yield head | {"choices": [], "usage": told, **self._fingerprint}
        finally:
            self.counters.end(usage, _reasons(replies), pause)


def _so_far(replies: list[Reply]) -> Callable[[Body], Body]:
    """What each event says of the usage of its own reply until then."""
    done = [0] * len(replies)

    def usage(choice: Body) -> Body:
        index = choice["index"]
        done[index] += "role" not in choice.get("delta", {})
        prompt, completion = replies[index].prompt_tokens, done[index]
        more = {"completion_tokens_details": None} if "delta" in choice else {}
        total = {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}
        return {"usage": total | more}

    return usage


def _pieces(text: str) -> list[str]:
    return _TOKEN.findall(text)


def _ends(reply: Reply) -> Iterator[tuple[str, str | None]]:
    """Each piece with the finish reason that goes with it: None but for the last."""
    last = len(reply.pieces) - 1
    return ((piece, reply.finish_reason if n == last else None) for n, piece in enumerate(reply.pieces))


def _chunk(delta: Body, reason: str | None = None, **more: Any) -> Body:
    """The one choice of a chat's event."""
    return {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason, **more}]}


def _reasons(replies: list[Reply]) -> list[str]:
    return [reply.finish_reason for reply in replies]


def _total(replies: list[Reply]) -> Body:
    first, *rest = [reply.usage() for reply in replies]
    for usage in rest:
        first = {key: first[key] and first[key] + usage[key] for key in first}
    return first


def _content(message: Body) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)
