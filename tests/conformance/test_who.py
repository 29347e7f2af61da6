"""Who may not is told so, by a status of its own each, and nobody sees another user's session."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest

from backendai import Api, Connection, errors, sessions

from .beds import Bed
from .raw import Keys
from .serving import Serving

SEARCH = "/v2/sessions/my/search"
FORBIDDEN = (403, "permission_access_forbidden")


@pytest.mark.parametrize(
    ("kind", "words"), [("secret", "HMAC signature mismatch"), ("key", "Access key not found in HMAC")]
)
async def test_wrong_credentials(kind: str, words: str, bed: Bed) -> None:
    wrong = {"secret": Keys(bed.admin.access_key, "wrong" * 8), "key": Keys("AKIANOBODYNOBODYNOBO", "wrong" * 8)}[kind]
    answer = await bed.ask("POST", SEARCH, {}, wrong)
    assert answer.problem == (401, "user_auth_unauthorized")
    assert words in str(answer.body)
    connection = Connection(bed.endpoint, wrong.access_key, wrong.secret_key)
    async with Api(connection) as api:
        with pytest.raises(errors.AuthenticationFailed, match="BACKEND_SECRET_KEY") as caught:
            await sessions.find_living(api, "any")
    assert wrong.secret_key not in str(caught.value)


async def test_no_credentials(bed: Bed) -> None:
    from .raw import fetch

    answer = await fetch("GET", f"{bed.endpoint}/v2/sessions/{uuid.uuid4()}")
    assert answer.problem == (401, "user_auth_unauthorized")


@pytest.mark.parametrize("minutes", [-16, 16])
async def test_a_clock_that_is_wrong(minutes: int, bed: Bed) -> None:
    answer = await bed.ask("POST", SEARCH, {}, clock=timedelta(minutes=minutes))
    assert answer.problem == (400, "user_auth_invalid-parameters")
    assert "Date/time sync error" in str(answer.body)


@pytest.mark.parametrize("minutes", [-14, 14])
async def test_a_clock_that_is_wrong_by_less(minutes: int, bed: Bed) -> None:
    """Within the same UTC day: the day is a part of the signature, by the sender's clock."""
    assert (await bed.ask("POST", SEARCH, {}, clock=timedelta(minutes=minutes))).status == 200


async def test_another_users_session_looks_like_one_that_never_was(bed: Bed, serving: Serving) -> None:
    for session_id in (serving.id, str(uuid.uuid4())):
        for path in ("/v2/sessions/{}", "/session/{}", "/session/{}/logs", "/v2/sessions/{}/logs"):
            answer = await bed.ask("GET", path.format(session_id), who=bed.limited)
            assert answer.problem == FORBIDDEN, path
        assert (await bed.ask("DELETE", f"/session/{session_id}", who=bed.limited)).problem == FORBIDDEN
        assert await bed.row(session_id, bed.limited) is None
    by_name = await bed.ask("GET", f"/session/{serving.name}", who=bed.limited)
    assert by_name.problem == (404, "session_read_not-found")
    async with bed.api(bed.limited) as api:
        with pytest.raises(errors.PermissionDenied):
            await sessions.read(api, serving.id)
        with pytest.raises(errors.PermissionDenied):
            await sessions.destroy(api, serving.id)
        assert await sessions.find_living(api, serving.name) is None
    async with bed.api() as api:
        assert (await sessions.read(api, serving.id)).status == "RUNNING"


async def test_but_its_services_can_be_started(bed: Bed, serving: Serving) -> None:
    """By anybody of the project: the server asks for another right there.  What it starts needs a key of its own."""
    for path, body in (
        ("/v2/sessions/{}/services/start", {"service": "8000"}),
        ("/session/{}/start-service", {"app": "8000"}),
    ):
        answer = await bed.ask("POST", path.format(serving.id), body, bed.limited)
        assert (answer.status, set(answer.body)) == (200, {"token", "wsproxy_addr"})
        answer = await bed.ask("POST", path.format(uuid.uuid4()), body, bed.limited)
        assert answer.problem == FORBIDDEN
        assert "Permission.CREATE: 4" in answer.body["msg"]


@pytest.mark.parametrize("path", ["/v2/sessions/search", "/scheduling-history/sessions/search"])
async def test_what_only_an_administrator_may_ask(path: str, bed: Bed) -> None:
    assert (await bed.ask("POST", path, {}, bed.limited)).problem == (403, "backendai_generic_forbidden")


async def test_graphql_says_no_in_an_answer_of_200(bed: Bed) -> None:
    query = {"query": "{user_list(limit: 1, offset: 0) {total_count}}"}
    answer: Any = await bed.ask("POST", "/admin/gql", query, bed.limited)
    assert answer.status == 200
    assert answer.body["errors"][0]["extensions"] == {"code": "user_auth_forbidden"}


async def test_nobody_creates_for_somebody_else(bed: Bed) -> None:
    refused = await bed.create("gift", bed.limited, owner_access_key=bed.admin.access_key)
    assert refused.answer.problem == (403, "backendai_generic_forbidden")
