"""The invariant: an answer becomes one of our errors by status and code, says its cure, and holds no secret."""

from __future__ import annotations

from typing import Any

import pytest

from backendai import errors, redact
from backendai.classification import classify
from backendai.connection import check_endpoint, connection_from
from backendai.statuses import STAGES, Stage, stage_of
from backendai.tags import same_owner

ANSWERS: list[tuple[int, dict[str, Any], type[errors.ClusterError]]] = [
    (401, {"error_code": "user_auth_unauthorized", "msg": "HMAC signature mismatch"}, errors.AuthenticationFailed),
    (400, {"error_code": "user_auth_invalid-parameters", "msg": "Date/time sync error"}, errors.ClockSkew),
    (403, {"error_code": "permission_access_forbidden"}, errors.PermissionDenied),
    (404, {"error_code": "session_read_not-found"}, errors.SessionNotFound),
    (404, {"error_code": "image_read_not-found"}, errors.NotFound),
    (404, {"error_code": "resource-group_read_not-found", "msg": "nope"}, errors.NotFound),
    (404, {"error_code": "vfolder_read_not-found", "data": ["cache"]}, errors.NotFound),
    (404, {"error_code": "api_read_not-found"}, errors.NotFound),
    (404, {}, errors.NotFound),
    (400, {"error_code": "session_create_already-exists"}, errors.NameTaken),
    (409, {"error_code": "database_generic_already-exists"}, errors.NameTaken),
    (400, {"error_code": "session_create_unavailable"}, errors.InvalidRequest),
    (400, {"error_code": "backendai_parsing_not-found"}, errors.InvalidRequest),
    (400, {"error_code": "api_generic_invalid-parameters"}, errors.InvalidRequest),
    (429, {}, errors.RateLimited),
    (500, {"error_code": "backendai_generic_internal-error"}, errors.ServerFault),
    (502, {}, errors.ServerFault),
    (501, {"error_code": "api_generic_not-implemented"}, errors.ServerFault),
]


@pytest.mark.parametrize(("status", "data", "kind"), ANSWERS, ids=[f"{s}-{d.get('error_code')}" for s, d, _ in ANSWERS])
def test_answers(status: int, data: dict[str, Any], kind: type[errors.ClusterError]) -> None:
    error = classify(status, data, endpoint="http://x")
    assert type(error) is kind
    assert data.get("msg", "") in str(error)


def test_only_one_404_means_gone() -> None:
    gone = [d.get("error_code") for s, d, kind in ANSWERS if s == 404 and issubclass(kind, errors.SessionNotFound)]
    assert gone == ["session_read_not-found"]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: BackendAI signMethod=HMAC-SHA256, credential=AKIA:abcdef", "abcdef"),
        ("Bearer eyJhbGciOi", "eyJhbGciOi"),
        ("HF_TOKEN=hf_abcdefgh", "abcdefgh"),
        ("a token hf_abcdefghijklmnopq in a text", "abcdefghijklmnopq"),
        ('{"VLLM_API_KEY": "plain-user-key"}', "plain-user-key"),
        ("the key sk-0123456789abcdefXYZ is wrong", "0123456789abcdef"),
    ],
)
def test_redaction_of_what_looks_like_a_secret(text: str, secret: str) -> None:
    assert secret not in redact(text)


def test_the_names_of_settings_are_no_secrets() -> None:
    text = "set hf_token to a token, and api_key to a key"
    assert redact(text) == text


def test_redaction_of_what_is_known_to_be_one() -> None:
    assert redact("the word is swordfish, not fish", ["swordfish", None, ""]) == "the word is [secret], not fish"


def test_a_problem_document_that_quotes_a_secret_is_redacted() -> None:
    error = classify(401, {"msg": "no key top-secret-key here"}, endpoint="http://x", secrets=("top-secret-key",))
    assert "top-secret-key" not in str(error)


FULL = {"BACKEND_ENDPOINT": "http://a", "BACKEND_ACCESS_KEY": "AK", "BACKEND_SECRET_KEY": "SK"}


@pytest.mark.parametrize(
    ("environ", "config", "endpoint"),
    [
        (FULL, {}, "http://a"),
        ({f"BACKEND_AI_{k[8:]}": v for k, v in FULL.items()}, {}, "http://a"),
        (FULL, {"cluster.endpoint": "http://b"}, "http://a"),  # the environment wins
        ({}, {"cluster.endpoint": "http://b/", "access_key": "AK", "secret_key": "SK"}, "http://b"),
    ],
)
def test_where_a_connection_comes_from(environ: dict[str, str], config: dict[str, str], endpoint: str) -> None:
    connection = connection_from(config.get, environ=environ)
    assert (connection.endpoint, connection.access_key, connection.secret_key) == (endpoint, "AK", "SK")
    assert "SK" not in repr(connection)


def test_all_that_is_missing_is_said_at_once() -> None:
    with pytest.raises(errors.InvalidConnection) as caught:
        connection_from(environ={"BACKEND_ACCESS_KEY": "AK"})
    assert "BACKEND_ENDPOINT" in str(caught.value)
    assert "BACKEND_SECRET_KEY" in str(caught.value)
    assert "BACKEND_ACCESS_KEY (" not in str(caught.value)


@pytest.mark.parametrize(
    "endpoint", ["manager", "ftp://x", "http://", "http://a,http://b", "http://u:p@x", "http://x?y=1"]
)
def test_an_endpoint_that_is_none(endpoint: str) -> None:
    with pytest.raises(errors.InvalidConnection):
        check_endpoint(endpoint)


def test_a_status_that_nobody_knows_is_not_gone() -> None:
    assert stage_of("SOMETHING_NEW") is Stage.STARTING
    assert [s for s, stage in STAGES.items() if stage is Stage.ENDED] == ["TERMINATED", "CANCELLED"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("bai-vllm:a:1", "bai-vllm:a:2", True),
        ("bai-vllm:a:1", "bai-vllm:b:1", False),
        ("", "bai-vllm:b:1", False),
        ("other:a:1", "bai-vllm:a:1", False),
        ("bai-vllm:a", "bai-vllm:a:1", False),
    ],
)
def test_whose_session_a_tag_says_it_is(one: str, other: str, same: bool) -> None:
    assert same_owner(one, other) is same
