"""The invariant: an audit that couldn't ask is never taken for one that found nothing."""

from __future__ import annotations

import pytest

from .audit import judged

ANSWERS = [
    (0, "No known vulnerabilities found", 0, "requirements.txt: No known"),
    (1, "Found 1 known vulnerability in 1 package", 1, "Found 1 known"),
    (
        0,
        "No known vulnerabilities found\nx  Dependency not found on PyPI and could not be audited: x",
        2,
        "NOT AUDITED",
    ),
    (1, "ERROR: connection refused", 2, "NOT AUDITED: requirements.txt: ERROR: connection refused"),
]


@pytest.mark.parametrize(("code", "said", "ends_with", "words"), ANSWERS)
def test_what_an_answer_comes_to(code: int, said: str, ends_with: int, words: str) -> None:
    judgement, text = judged("requirements.txt", code, said)
    assert judgement == ends_with
    assert words in text
