"""What the stand-in reads in a request's body, and the words that it refuses one with.

Invariant: types before the model's name, the name before the prompt, the prompt before ranges; as on the real server,
against which `make test-vllm` holds it.
"""

from typing import Any

import pytest

from emulator.vllm import bodies
from emulator.vllm.bodies import ApiError

TOOLS = [{"type": "function", "function": {"name": "hammer"}}]


def refused(check: Any, *args: Any, **more: Any) -> dict[str, Any]:
    with pytest.raises(ApiError) as caught:
        check(*args, **more)
    assert caught.value.status == 400
    error: dict[str, Any] = caught.value.body["error"]
    return error


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"max_tokens": "5", "n": 2.0, "min_tokens": True}, {"max_tokens": 5, "n": 2, "min_tokens": 1}),
        ({"stream": "yes"}, {"stream": True}),
        ({"stream": 0}, {"stream": False}),
        ({"stream": None, "temperature": None}, {"stream": None, "temperature": None}),
        ({"temperature": "0.5", "top_p": 1}, {"temperature": 0.5, "top_p": 1.0}),
        ({"zebra": [1]}, {"zebra": [1]}),
    ],
)
def test_values_are_read_as_what_they_mean(given: dict[str, Any], read: dict[str, Any]) -> None:
    assert bodies.read(given) == read


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_tokens": "many"}, "'int_parsing', 'loc': 'body.max_tokens'"),
        ({"max_tokens": 1.5}, "'int_from_float'"),
        ({"max_tokens": []}, "'int_type', 'loc': 'body.max_tokens', 'msg': 'Input should be a valid integer'"),
        ({"n": None}, "'int_type', 'loc': 'body.n'"),
        ({"stream": 2}, "'bool_parsing'"),
        ({"stream": 1.5}, "'bool_type'"),
        ({"temperature": "hot"}, "'float_parsing'"),
        ({"top_p": {}}, "'float_type'"),
        ({"model": 5}, "'string_type', 'loc': 'body.model', 'msg': 'Input should be a valid string', 'input': '5'"),
        ({"tools": "x"}, "'list_type'"),
        ({"max_tokens": "many", "n": "k"}, "2 validation errors:\n"),
    ],
)
def test_values_of_other_types(given: dict[str, Any], said: str) -> None:
    error = refused(bodies.read, given)
    assert error["type"] == "Bad Request"
    assert said in error["message"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"temperature": -1.0}, "temperature must be non-negative, got -1.0."),
        ({"temperature": 2.5}, "temperature must be in [0, 2], got 2.5."),
        ({"top_p": 0.0}, "top_p must be in (0, 1], got 0.0."),
        ({"n": 0, "temperature": -1.0}, "n must be at least 1, got 0."),
        ({"min_tokens": -1}, "min_tokens must be greater than or equal to 0, got -1."),
        ({"min_tokens": 9}, "min_tokens must be less than or equal to max_tokens=5, got 9."),
    ],
)
def test_values_out_of_their_range(given: dict[str, Any], said: str) -> None:
    assert refused(bodies.check_sampling, given, 5, "max_tokens")["message"].startswith(said)


@pytest.mark.parametrize("prompt", [None, "", 5, {"a": 1}, [1, "a"], [-1], [["a"]]])
def test_what_is_no_prompt(prompt: Any) -> None:
    refused(bodies.check_prompt, prompt)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ([], "You must pass at least one prompt"),
        ([""], "The decoder prompt cannot be empty"),
        ([[]], "The decoder prompt cannot be empty"),
        ([512], "Token id 512 is out of vocabulary"),
    ],
)
def test_prompts_with_nothing_to_answer(prompt: Any, said: str) -> None:
    bodies.check_prompt(prompt)
    assert refused(bodies.prompts, prompt, {}, 512)["message"] == said


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [("a", ["a"]), (["a", "b"], ["a", "b"]), ([1, 2], ["x<2>"]), ([[1], [2]], ["x", "<2>"])],
)
def test_prompts_as_texts(prompt: Any, texts: list[str]) -> None:
    assert bodies.prompts(prompt, {1: "x"}, 512) == texts


@pytest.mark.parametrize("messages", ["hi", ["hi"], [{"content": "hi"}]])
def test_what_is_no_message(messages: Any) -> None:
    refused(bodies.check_messages, messages)


def test_tools_that_the_server_was_not_started_for() -> None:
    automatic = refused(bodies.check_tool_choice, {"tools": TOOLS}, automatic=False, parser=True)
    assert automatic["message"].startswith('"auto" tool choice requires')
    asked = {"tools": TOOLS, "tool_choice": "required"}
    assert refused(bodies.check_tool_choice, asked, automatic=False, parser=False)["message"].startswith("tool_choice=")
    for fine in ({}, {"tools": TOOLS, "tool_choice": "none"}):
        bodies.check_tool_choice(fine, automatic=False, parser=False)
    assert "must not be an empty array" in refused(bodies.check_tools, {"tools": []})["message"]
