"""The invariant: a release has the flags that the thirteen compared releases show; in between is unknown."""

import pytest

from serving.flags import Presence, known, presence, table

# (flag, release, presence): the release table of the facts, at both ends of each row.
ROWS = [
    ("--swap-space", "0.17.1", Presence.KNOWN),
    ("--swap-space", "0.18.1", Presence.GONE),
    ("--task", "0.11.2", Presence.KNOWN),
    ("--task", "0.12.0", Presence.UNKNOWN),
    ("--task", "0.13", Presence.GONE),
    ("--disable-log-requests", "0.15.1", Presence.KNOWN),
    ("--disable-log-requests", "0.17.1", Presence.GONE),
    ("--rope-scaling", "0.10.2", Presence.KNOWN),
    ("--rope-scaling", "0.11", Presence.GONE),
    ("--device", "0.9.2", Presence.KNOWN),
    ("--device", "0.10", Presence.GONE),
    ("--calculate-kv-scales", "0.27.1", Presence.KNOWN),
    ("--calculate-kv-scales", "0.30", Presence.GONE),
    ("--kv-cache-memory-bytes", "0.9.2", Presence.NOT_YET),
    ("--kv-cache-memory-bytes", "0.10", Presence.KNOWN),
    ("--attention-backend", "0.11", Presence.NOT_YET),
    ("--attention-backend", "0.13", Presence.KNOWN),
    ("--structured-outputs-config", "0.10.2", Presence.NOT_YET),
    ("--structured-outputs-config", "0.11", Presence.KNOWN),
    ("--no-such-flag", "0.32.0", Presence.UNKNOWN),
]

STABLE = [
    "--revision",
    "--tokenizer",
    "--quantization",
    "--tensor-parallel-size",
    "--pipeline-parallel-size",
    "--max-model-len",
    "--gpu-memory-utilization",
    "--dtype",
    "--kv-cache-dtype",
    "--served-model-name",
    "--api-key",
    "--port",
    "--host",
    "--trust-remote-code",
    "--load-format",
    "--max-num-seqs",
    "--max-num-batched-tokens",
    "--enforce-eager",
    "--hf-token",
    "--hf-overrides",
    "--chat-template",
    "--reasoning-parser",
    "--tool-call-parser",
]


@pytest.mark.parametrize(("flag", "version", "expected"), ROWS)
def test_presence(flag: str, version: str, expected: Presence) -> None:
    assert presence(flag, version) is expected


@pytest.mark.parametrize("flag", STABLE)
def test_stable_flags_are_known_in_every_release(flag: str) -> None:
    assert all(known(flag, version) for version in ("0.8.5", "0.11", "0.20.2", "0.32.0", None))


def test_an_unknown_version_is_judged_by_the_release_of_the_table() -> None:
    assert presence("--swap-space", None) is presence("--swap-space", table().version) is Presence.GONE


def test_every_spelling_leads_to_its_flag() -> None:
    flag = table().by_name["-tp"]
    assert flag is table().by_name["--tensor-parallel-size"]
    assert (flag.nargs, flag.kind, flag.takes_value) == (None, "int", True)
    switch = table().by_name["--no-enforce-eager"]
    assert (switch.name, switch.off, switch.takes_value) == ("--enforce-eager", "--no-enforce-eager", False)


def test_flags_that_swallow_what_follows() -> None:
    greedy = {flag.name for flag in table().flags if flag.nargs == "+"}
    assert {"--api-key", "--served-model-name", "--lora-modules", "--cudagraph-capture-sizes"} <= greedy


def test_no_flag_is_both_there_and_gone() -> None:
    assert not set(table().by_name) & set(table().gone)
