"""The invariant: in whatever form a model is written, org, name and revision are kept, or it is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving import InvalidArgument, parse_repo_id

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "repo_id", "revision"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-7B-Instruct", None),
        ("gpt2", "gpt2", None),
        (" org/name ", "org/name", None),
        ("org/name/", "org/name", None),
        ("https://huggingface.co/org/name", "org/name", None),
        ("https://huggingface.co/org/name/", "org/name", None),
        ("https://huggingface.co/gpt2", "gpt2", None),
        ("http://hf.co/org/name?library=vllm#usage", "org/name", None),
        ("huggingface.co/org/name", "org/name", None),
        ("https://huggingface.co/org/name/tree/main", "org/name", "main"),
        (f"https://huggingface.co/org/name/tree/{SHA}", "org/name", SHA),
        (f"https://huggingface.co/org/name/commit/{SHA}", "org/name", SHA),
        ("https://huggingface.co/org/name/blob/v1/config.json", "org/name", "v1"),
        ("https://huggingface.co/org/name/resolve/v1/sub/config.json?download=true", "org/name", "v1"),
        ("https://huggingface.co/org/name/tree/feature%2Fx", "org/name", "feature/x"),
        ("https://huggingface.co/org/name/blob/refs/pr/3/config.json", "org/name", "refs/pr/3"),
        ("https://huggingface.co/gpt2/tree/main", "gpt2", "main"),
        ("https://huggingface.co/org/name/discussions/4", "org/name", None),
    ],
)
def test_forms_of_a_model(text: str, repo_id: str, revision: str | None) -> None:
    assert parse_repo_id(text) == (repo_id, revision)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("https://huggingface.co/datasets/org/name", "a dataset"),
        ("datasets/org/name", "a dataset"),
        ("https://huggingface.co/spaces/org/name", "a Space"),
        ("https://huggingface.co/org/name/resolve/main/model.Q4_K_M.gguf", "GGUF"),
        ("org/model-Q4_K_M.gguf", "GGUF"),
        ("https://github.com/org/name", "isn't on the Hugging Face Hub"),
        ("https://huggingface.co.evil.example/org/name", "isn't on the Hugging Face Hub"),
        ("ftp://huggingface.co/org/name", "isn't on the Hugging Face Hub"),
        ("s3://bucket/model", "isn't on the Hugging Face Hub"),
        ("https://huggingface.co/", "no model"),
        ("org/name/more", "no model"),
        ("org name", "no model"),
        ("-flag/name", "no model"),
        ("org/na--me", "no model"),
        ("org/name..", "no model"),
        ("../name", "no model"),
        ("org/name.git", "no model"),
        ("", "no model"),
        ("o/" + "x" * 96, "no model"),
    ],
)
def test_what_is_no_model_is_refused_with_a_cure(text: str, why: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_repo_id(text)
    assert caught.value.key == "model"
    assert why in caught.value.what
    assert caught.value.cure


PART = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_]|[.-](?=[A-Za-z0-9_])){0,20}", fullmatch=True).filter(
    lambda part: "--" not in part and not part.lower().endswith((".gguf", ".git")) and ".gguf" not in part.lower()
)


@given(
    org=PART.filter(lambda o: o not in ("datasets", "spaces", "collections", "papers")),
    name=PART,
    revision=PART,
)
def test_an_address_means_the_repo_that_it_is_made_of(org: str, name: str, revision: str) -> None:
    assert parse_repo_id(f"{org}/{name}") == (f"{org}/{name}", None)
    address = f"https://huggingface.co/{org}/{name}"
    assert parse_repo_id(f"{address}/tree/{revision}") == (f"{org}/{name}", revision)
