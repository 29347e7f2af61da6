"""Request bodies as the real server reads them: their types, their ranges, and the words it refuses them with.

ApiError        any answer that is an error, in the OpenAI shape
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

Body = dict[str, Any]
Problem = dict[str, Any]

_TRUE, _FALSE = ("1", "true", "t", "yes", "y", "on"), ("0", "false", "f", "no", "n", "off")
_NO_STREAM = "Stream options can only be defined when `stream=True`. (parameter=stream_options)"
_NO_PROMPT = "Either prompt or prompt_embeds must be provided and non-empty. (parameter=prompt)"
_NO_TOOLS = "`tools` must not be an empty array. Either provide at least one tool or omit the field entirely."
_HOTTEST = 2  # temperature


class ApiError(Exception):
    """An answer that is an error: HTTP status, OpenAI error type, the parameter at fault."""

    def __init__(self, status: int, type_: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": type_, "param": param, "code": status}}


def bad_request(message: str, param: str | None = None) -> ApiError:
    return ApiError(400, "BadRequestError", message, param)


def problem(type_: str, where: str, message: str, given: Any, **more: Any) -> Problem:
    """One thing wrong with a body, in the words of the framework."""
    shown = f"<{type(given).__name__} of {len(given)} items>" if isinstance(given, dict | list) else str(given)
    return {"type": type_, "loc": where, "msg": message, "input": shown, **more}


def invalid(*problems: Problem) -> ApiError:
    """A body that isn't what the route takes."""
    head = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''}:"
    lines = "".join(f"\n  {found}" for found in problems)
    return ApiError(400, "Bad Request", head + lines, problems[0]["loc"])


def missing(body: Body, name: str) -> Problem:
    return problem("missing", f"body.{name}", "Field required", body)


def required(body: Body, name: str) -> Any:
    if body.get(name) is None:
        raise invalid(missing(body, name))
    return body[name]


class _Mismatch(Exception):
    """A value of another type: pydantic's name for the fault, and its words."""


def _integer(value: Any) -> int:
    noun = "Input should be a valid integer"
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            raise _Mismatch("int_parsing", f"{noun}, unable to parse string as an integer") from None
    if isinstance(value, float) and not value.is_integer():
        raise _Mismatch("int_from_float", f"{noun}, got a number with a fractional part")
    if not isinstance(value, int | float):
        raise _Mismatch("int_type", noun)
    return int(value)


def _number(value: Any) -> float:
    noun = "Input should be a valid number"
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise _Mismatch("float_parsing", f"{noun}, unable to parse string as a number") from None
    if not isinstance(value, int | float):
        raise _Mismatch("float_type", noun)
    return float(value)


def _switch(value: Any) -> bool:
    noun = "Input should be a valid boolean"
    if isinstance(value, str | int) or value in (0.0, 1.0):
        text = str(int(value) if isinstance(value, int | float) else value).lower()
        if text in (*_TRUE, *_FALSE):
            return text in _TRUE
        raise _Mismatch("bool_parsing", f"{noun}, unable to interpret input")
    raise _Mismatch("bool_type", noun)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Mismatch("string_type", "Input should be a valid string")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _Mismatch("list_type", "Input should be a valid list")
    return value


class _Field(NamedTuple):
    name: str
    read: Callable[[Any], Any]
    may_be_null: bool = True


# In the order in which the real server names what is wrong.
_FIELDS = (
    _Field("model", _text),
    _Field("max_tokens", _integer),
    _Field("max_completion_tokens", _integer),
    _Field("n", _integer, may_be_null=False),
    _Field("stream", _switch),
    _Field("temperature", _number),
    _Field("top_p", _number),
    _Field("tools", _list),
    _Field("min_tokens", _integer, may_be_null=False),
)


def read(body: Body) -> Body:
    """The body with its numbers and switches as such; ApiError for what they can't be, or can't be together."""
    wrong: list[Problem] = []
    result = dict(body)
    for name, as_type, may_be_null in _FIELDS:
        if name not in body or (body[name] is None and may_be_null):
            continue
        try:
            result[name] = as_type(body[name])
        except _Mismatch as mismatch:
            type_, words = mismatch.args
            wrong.append(problem(type_, f"body.{name}", words, body[name]))
    if wrong:
        raise invalid(*wrong)
    if result.get("stream_options") and not result.get("stream"):
        raise bad_request(_NO_STREAM, "stream_options")
    return result


def check_messages(messages: Any) -> None:
    """Of the many words about a message that is none, the first."""
    if not isinstance(messages, list):
        raise invalid(problem("list_type", "body.messages", "Input should be a valid list", messages))
    for number, message in enumerate(messages):
        where = f"body.messages.{number}"
        if not isinstance(message, dict):
            raise invalid(problem("dict_type", where, "Input should be a valid dictionary", message))
        if "role" not in message:
            raise invalid(problem("missing", f"{where}.role", "Field required", message))


def check_tools(body: Body) -> None:
    if body.get("tools") == []:
        raise bad_request(f"{_NO_TOOLS} (parameter=tools)", "tools")


def check_tool_choice(body: Body, *, automatic: bool, parser: bool) -> None:
    """Tools that this server wasn't started for."""
    choice = body.get("tool_choice") or "auto"
    if not body.get("tools"):
        return
    if choice == "auto" and not (automatic and parser):
        raise bad_request('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set')
    if choice == "required" and not parser:
        raise bad_request('tool_choice="required" requires --tool-call-parser to be set')


def check_sampling(body: Body, limit: int | None, limit_name: str) -> None:
    """The ranges of what steers the answer, in the order of the real server."""
    heat, share = body.get("temperature"), body.get("top_p")
    count, least = body.get("n", 1), body.get("min_tokens", 0)
    if count < 1:
        raise bad_request(f"n must be at least 1, got {count}.")
    if heat is not None and heat < 0:
        raise _out_of_range("temperature", heat, "be non-negative")
    if heat is not None and heat > _HOTTEST:
        raise _out_of_range("temperature", heat, f"be in [0, {_HOTTEST}]")
    if share is not None and not 0 < share <= 1:
        raise _out_of_range("top_p", share, "be in (0, 1]")
    if limit is not None and limit < 1:
        raise _out_of_range(limit_name, limit, "be at least 1")
    if least < 0:
        raise bad_request(f"min_tokens must be greater than or equal to 0, got {least}.")
    if limit is not None and least > limit:
        raise bad_request(f"min_tokens must be less than or equal to max_tokens={limit}, got {least}.")


def _out_of_range(name: str, value: float, must: str) -> ApiError:
    return bad_request(f"{name} must {must}, got {value}. (parameter={name}, value={value})", name)


def check_prompt(prompt: Any) -> None:
    """Its type, before anything else is looked at: a text, texts, token ids, or lists of token ids."""
    if prompt is None or prompt == "":
        raise bad_request(_NO_PROMPT, "prompt")
    if not isinstance(prompt, str | list):
        as_list = problem("list_type", "body.prompt", "Input should be a valid list", prompt)
        as_text = problem("string_type", "body.prompt", "Input should be a valid string", prompt)
        raise invalid(as_list, as_list, as_text, as_list)
    if isinstance(prompt, list) and not _is_of_one_kind(prompt):
        raise invalid(problem("string_type", "body.prompt", "Input should be a valid string", prompt))


def _is_of_one_kind(items: list[Any]) -> bool:
    kinds = (
        lambda item: isinstance(item, str),
        _is_token,
        lambda item: isinstance(item, list) and all(map(_is_token, item)),
    )
    return any(all(map(kind, items)) for kind in kinds)


def _is_token(item: Any) -> bool:
    return isinstance(item, int) and item >= 0


def prompts(prompt: Any, words: dict[int, str], vocab: int) -> list[str]:
    """The prompts of a completion, as texts; an id that isn't in `words` reads as <id>."""
    if not prompt:
        raise bad_request("You must pass at least one prompt")
    if isinstance(prompt, str) or isinstance(prompt[0], int):
        prompt = [prompt]
    if not all(prompt):
        raise bad_request("The decoder prompt cannot be empty")
    return [item if isinstance(item, str) else "".join(_texts(item, words, vocab)) for item in prompt]


def _texts(ids: list[int], words: dict[int, str], vocab: int) -> Iterator[str]:
    for id_ in ids:
        if id_ >= vocab:
            raise bad_request(f"Token id {id_} is out of vocabulary")
        yield words.get(id_, f"<{id_}>")
