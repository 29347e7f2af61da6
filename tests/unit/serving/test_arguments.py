"""The invariant: extra_args mean here what they mean to vLLM; what it would refuse is refused with a cure."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.arguments import SETTINGS, parse_extra_args
from serving.flags import Flag, table

from . import reference_parser


def words_of(*words: str, version: str | None = "0.32.0") -> list[str]:
    parsed = parse_extra_args(words, version)
    assert parsed.problems == ()
    return parsed.words


def problem_of(*words: str, version: str | None = "0.32.0") -> str:
    (problem,) = parse_extra_args(words, version).problems
    assert problem.key == "extra_args"
    return str(problem)


@pytest.mark.parametrize(
    ("given_words", "normal"),
    [
        (["--max-num-seqs=64", "--enforce-eager"], ["--max-num-seqs=64", "--enforce-eager"]),
        (["--max-num-seqs", "64"], ["--max-num-seqs=64"]),
        (["--max_num_seqs=64"], ["--max-num-seqs=64"]),
        (["--max-num-batched=4k"], ["--max-num-batched-tokens=4k"]),
        (["-pp", "2"], ["--pipeline-parallel-size=2"]),
        (["-pp=2"], ["--pipeline-parallel-size=2"]),
        (["--no-enable-prefix-caching"], ["--no-enable-prefix-caching"]),
        (["-ep"], ["--enable-expert-parallel"]),
        (
            ["--lora-modules", "a=x", "b=y", "--enable-lora"],
            ["--lora-modules", "a=x", "b=y", "--enable-lora"],
        ),
        (["--lora-modules=a=x"], ["--lora-modules=a=x"]),
        (["--chat-template="], ["--chat-template="]),
        (["--root-path=-x"], ["--root-path=-x"]),
        (["--seed", "-1"], ["--seed=-1"]),
        (["--root-path", "-"], ["--root-path=-"]),
        (['--hf-overrides={"a": 1}'], ['--hf-overrides={"a": 1}']),
        (["--hf-overrides", '{"a": 1}'], ['--hf-overrides={"a": 1}']),
        (["--compilation-config.level=3"], ["--compilation-config.level=3"]),
        (["--compilation_config.a_b", "3"], ["--compilation-config.a_b=3"]),
        (["-O3"], ["-O3"]),
        (["--middleware=a.b", "--middleware=c.d"], ["--middleware=a.b", "--middleware=c.d"]),
        (["--enable-auto-tool-choice", "--tool-call-parser=hermes"],) * 2,
        (["--enable-log-outputs", "--enable-log-requests"],) * 2,
        (["--no-enable-per-request-metrics", "--disable-log-stats"],) * 2,
        (["--sse-keep-alive-interval=0"],) * 2,
        (["--moe-backend=FlashInfer-TRTLLM"],) * 2,
        (["--prefix-match-unit=16"],) * 2,
        (['--lora-modules={"name": "a", "path": "x", "base_model_name": "b"}'],) * 2,
        ([], []),
    ],
)
def test_accepted_words_in_their_normal_form(given_words: list[str], normal: list[str]) -> None:
    assert words_of(*given_words) == normal
    assert words_of(*normal) == normal


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (["--max-num-seq5=64"], ["no flag", "Did you mean --max-num-seqs?"]),
        (["--tp=2"], ["no flag '--tp'", "Set tensor_parallel_size"]),
        (["--max-num"], ["could be several", "--max-num-seqs", "in full"]),
        (["--max-num-seqs"], ["needs a value", "--max-num-seqs=VALUE"]),
        (["--max-num-seqs", "--enforce-eager"], ["needs a value"]),
        (["--max-num-seqs=many"], ["can't be 'many'", "whole number"]),
        (["--max-num-seqs=0"], ["can't be '0'", "1 or more"]),
        (["--max-num-batched-tokens=1e3"], ["'1e3'", "32k"]),
        (["--cpu-offload-gb=ten"], ["a number"]),
        (["--enforce-eager=true"], ["takes no value", "--enforce-eager or --no-enforce-eager"]),
        (["--enforce-eager", "true"], ["'true' belongs to no flag", "--no-flag"]),
        (["64"], ["'64' belongs to no flag"]),
        (["--lora-modules=a=x", "b=y"], ["'b=y' belongs to no flag", "words of their own"]),
        (["--lora-modules"], ["needs a value"]),
        (["--lora-modules=x"], ["can't be 'x'", "Write NAME=PATH"]),
        (["--lora-modules", "a=x", "1"], ["can't be '1'"]),
        (['--lora-modules={"name": "a"}'], ["Write NAME=PATH"]),
        (['--lora-modules={"name": "a", "path": "x", "b": 1}'], ["Write NAME=PATH"]),
        (["--prefix-match-unit=x"], ["can't be 'x'", "a whole number"]),
        (["--moe-backend=flash infer"], ["can't be 'flash infer'"]),
        (["--sse-keep-alive-interval=-1"], ["Write 0 or more"]),
        (["--max-num-seqs 64"], ["Write '--max-num-seqs=64'"]),
        (["--scheduling-policy=fifo"], ["can't be 'fifo'", "fcfs"]),
        (["--hf-overrides={a: 1}"], ["JSON"]),
        (["--limit-mm-per-prompt=x"], ["Write JSON"]),
        (["-x"], ["no flag '-x'"]),
        (["--max-num-seqs.a=1"], ["has no keys"]),
        (["--swap-space=4"], ["last in 0.17.1", "gone since 0.18.1", "Remove it"]),
        (["--disable-log-requests"], ["gone since 0.17.1", "Remove it: request logs are off"]),
        (["--rope-scaling={}"], ["Use --hf-overrides instead"]),
        (["--enable-auto-tool-choice"], ["needs --tool-call-parser"]),
        (["--enable-auto-tool-choice", "--tool-call-parser=None"], ["needs --tool-call-parser"]),
        (["--enable-log-outputs", "--no-enable-log-requests"], ["needs --enable-log-requests"]),
        (["--enable-per-request-metrics", "--disable-log-stats"], ["Remove one of them"]),
        (["--max-num-seqs=64", "--max-num-batched-tokens=32"], ["(32) is less than --max-num-seqs (64)"]),
        (["--enforce-eager\n"], ["line break"]),
        (["--seed=1\0"], ["NUL"]),
        (["--help"], ["can't be used", "Remove it"]),
        (["--config=/x.yaml"], ["hide"]),
        (["--uds", "/run/x"], ["socket"]),
        (["--grpc-port=1"], ["one port"]),
        (["-dpm"], ["every rank"]),
        (["--host=::"], ["all interfaces"]),
    ],
)
def test_refused_words_name_value_and_cure(words: list[str], texts: list[str]) -> None:
    problem = problem_of(*words)
    assert all(text in problem for text in texts), problem


@pytest.mark.parametrize("dest", sorted(SETTINGS))
def test_flags_that_settings_own_name_the_setting(dest: str) -> None:
    flag = table().by_dest(dest)
    word = f"{flag.name}=swordfish" if flag.takes_value else flag.name
    problem = problem_of(word)
    assert f"set {SETTINGS[dest]}." in problem
    assert "swordfish" not in problem


def test_an_owned_flag_takes_its_values_along() -> None:
    assert "api_key" in problem_of("--api-key", "k1", "k2", "--enforce-eager")
    assert "api_key" in problem_of("--api-k", "k1")


@pytest.mark.parametrize("secret", ["hf_abcdefghijkl", "sk-abcdefghijklmnop", "Bearer abc", "AKIAIOSFODNN7EXAMPLE"])
def test_secrets_in_arguments_are_refused_and_not_repeated(secret: str) -> None:
    problem = problem_of(f"--root-path={secret}")
    assert "secret" in problem
    assert secret not in problem


def test_all_problems_come_at_once() -> None:
    parsed = parse_extra_args(["--tp=2", "x", "--max-num-seqs=a", "--swap-space=1", "--enforce-eager"], "0.32")
    assert len(parsed.problems) == 4
    assert parsed.is_set("enforce_eager")


def test_the_last_of_two_counts() -> None:
    parsed = parse_extra_args(["--enforce-eager", "--no-enforce-eager"], None)
    assert not parsed.is_set("enforce_eager")
    assert not parsed.is_set("enable_lora")


def test_old_releases_keep_their_own_flags() -> None:
    assert words_of("--swap-space", "4", "--enforce-eager", version="0.11") == [
        "--swap-space=4",
        "--enforce-eager",
    ]
    assert "gone since 0.11.2" in problem_of("--rope-scaling={}", version="0.11")
    assert "yet: it came with 0.13" in problem_of("--attention-backend=X", version="0.11")


def test_a_flag_nobody_knows_passes_in_another_release_unless_it_looks_like_a_slip() -> None:
    assert words_of("--zebra-mode", "a", "b", version="0.9.2") == ["--zebra-mode", "a", "b"]
    assert "Did you mean --enforce-eager?" in problem_of("--enforce-eagr", version="0.9.2")
    assert "no flag" in problem_of("--zebra-mode=a", version="0.32.0")


def test_without_a_version_the_cure_says_what_was_assumed() -> None:
    assert "vllm_version" in problem_of("--swap-space=4", version=None)
    assert "vllm_version" not in problem_of("--swap-space=4", version="0.32.0")


def test_choices_of_other_releases_are_left_to_them() -> None:
    assert words_of("--scheduling-policy=fifo", version="0.9.2") == ["--scheduling-policy=fifo"]


FREE = [flag for flag in table().flags if flag.dest not in SETTINGS]


@st.composite
def extra_words(draw: st.DrawFn) -> list[str]:
    words: list[str] = []
    for flag in draw(st.lists(st.sampled_from(FREE), max_size=3)):
        slips = [flag.name.replace("-", "_").replace("__", "--", 1), flag.name[:-1], flag.off or flag.name]
        name = draw(st.sampled_from([flag.name, *flag.aliases, *slips]))
        right = 1 if flag.takes_value else 0
        count = draw(st.sampled_from([right] * 6 + [0, 1, 2]))
        values = [draw(_values_for(flag)) for _ in range(count)] if flag.takes_value else ["x"] * count
        joined = draw(st.sampled_from([True, False]))
        words += [f"{name}={values[0]}", *values[1:]] if values and joined else [name, *values]
    return words


GOOD = {
    "int": ["1", "0", "-1"],
    "float": ["2.5", "1", "-0.5"],
    "human_int": ["32k", "32K", "64"],
    "json": ["{}", '{"a": 1}', "[1]"],
    "json_or_str": ["x", '{"a": "b c"}', "-x"],
    "str": ["x", "a=b", "two words", "", "-x", "--x", "$(y)"],
    "append": ["a.b"],
}


def _values_for(flag: Flag) -> st.SearchStrategy[str]:
    good = [str(choice) for choice in flag.choices] if flag.choices else GOOD[flag.kind.removeprefix("optional_")]
    return st.sampled_from([*good * 8, "", "1", "many", "1e3", "None", "-x"])


@settings(max_examples=300, deadline=None)
@given(words=extra_words())
def test_what_passes_here_is_read_by_argparse_as_it_was_written(words: list[str]) -> None:
    parsed = parse_extra_args(words, table().version)
    if parsed.problems:
        return
    assert parse_extra_args(parsed.words, table().version).words == parsed.words
    read = reference_parser.parse(parsed.words)
    assert read == reference_parser.parse(words)
    assert read["model_tag"] is None, "nothing is taken for the model"


@settings(max_examples=300, deadline=None)
@given(words=extra_words())
def test_what_argparse_refuses_is_refused_here(words: list[str]) -> None:
    try:
        read = reference_parser.parse(words)
    except reference_parser.Refused:
        read = {"model_tag": "refused"}
    if read["model_tag"] is not None:
        assert parse_extra_args(words, table().version).problems
