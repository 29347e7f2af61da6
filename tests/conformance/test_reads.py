"""An ended session is read by its id for ever, and by its name never; each kind of "not found" says which it is."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from backendai import errors, sessions
from backendai.details import Details, details

from .beds import ENDED, Bed

NO_SESSION, NO_PATH = (404, "session_read_not-found"), (404, "api_read_not-found")


async def test_reads_after_the_end(bed: Bed) -> None:
    async with bed.light() as api:
        session_id = (await bed.ran(api, "gone", "exit 3")).id
        state = await sessions.read(api, session_id)
        assert (state.name, state.tag) == (bed.name("gone"), bed.spec("gone").tag)
        assert (state.status, state.result) == ("TERMINATED", "FAILURE")
        assert await sessions.find_living(api, bed.name("gone")) is None
    by_id = await bed.ask("GET", f"/session/{session_id}")
    assert (by_id.problem, by_id.body["title"]) == (NO_SESSION, "No such session.")
    for method in ("GET", "DELETE"):
        by_name = await bed.ask(method, f"/session/{bed.name('gone')}")
        assert (by_name.problem, by_name.body["title"]) == (NO_SESSION, "Entity not found.")
    row: Any = await bed.row(session_id)
    assert (row["status"], row["result"], row["occupied_slots"]) == ("TERMINATED", "FAILURE", "{}")


async def test_what_only_graphql_tells(bed: Bed) -> None:
    async with bed.light() as api:
        session_id = await bed.started(api, "told", shmem="128m")
        assert await details(api, session_id) == Details(bed.image, "default", 128 * 2**20)


async def test_an_id_that_never_was(bed: Bed) -> None:
    unknown = str(uuid.uuid4())
    async with bed.light() as api:
        with pytest.raises(errors.SessionNotFound):
            await sessions.read(api, unknown)
    for path in ("/v2/sessions/{}", "/v2/sessions/{}/logs", "/session/{}", "/session/{}/logs"):
        answer = await bed.ask("GET", path.format(unknown))
        assert (answer.problem, answer.body["title"]) == (NO_SESSION, "No such session."), path
    assert await bed.row(unknown) is None


async def test_a_name_that_never_was(bed: Bed) -> None:
    for path in ("/session/{}", "/session/{}/logs"):
        answer = await bed.ask("GET", path.format(bed.name("nobody")))
        assert (answer.problem, answer.body["title"]) == (NO_SESSION, "Entity not found."), path


async def test_a_path_that_nobody_knows_means_nothing_is_gone(bed: Bed) -> None:
    for path in ("/nope", "/v2/nope/x"):
        answer = await bed.ask("GET", path)
        assert (answer.problem, answer.body["data"]) == (NO_PATH, path)
    async with bed.light() as api:
        with pytest.raises(errors.NotFound) as caught:
            await api.call("GET", "/nope")
    assert not isinstance(caught.value, errors.SessionNotFound)


@pytest.mark.parametrize(
    ("method", "path", "body", "problem"),
    [
        ("PUT", "/session", None, (405, "api_access_forbidden")),
        ("POST", "/session", None, (400, "api_parsing_bad-request")),
        ("GET", "/v2/sessions/abc", None, (400, "api_parsing_invalid-parameters")),
        ("PATCH", "/session/any", None, (501, "api_generic_not-implemented")),
        ("POST", "/admin/gql", {"query": "query {"}, (500, "backendai_generic_internal-error")),
    ],
    ids=lambda value: str(value)[:24],
)
async def test_what_is_no_request(method: str, path: str, body: Any, problem: tuple[int, str], bed: Bed) -> None:
    assert (await bed.ask(method, path, body)).problem == problem


async def test_search_by_name_and_status(bed: Bed) -> None:
    async with bed.light() as api:
        first = (await bed.ran(api, "same", "exit 0")).id
        second = await sessions.ensure(api, bed.spec("same"))

        async def found(**wanted: Any) -> list[str]:
            body = {"filter": {"name": {"equals": bed.name("same")}, **wanted}, "limit": 10}
            answer = await api.call("POST", "/v2/sessions/my/search", body=body)
            assert answer["total_count"] == len(answer["items"])
            return [item["id"] for item in answer["items"]]

        assert sorted(await found()) == sorted([first, second])
        assert await found(status={"not_in": list(ENDED)}) == [second]
        assert await found(status={"in": ["TERMINATED"]}) == [first]
        with pytest.raises(errors.InvalidRequest) as caught:
            await found(status={"in": ["NOPE"]})
        assert caught.value.code == "api_parsing_invalid-parameters"


async def test_the_manager_says_its_version_to_anybody(bed: Bed) -> None:
    answer = await bed.ask("GET", "/")
    assert answer.body == {"version": "v9.20250722", "manager": "26.9.6"}
    assert answer.headers["X-RateLimit-Limit"].isdigit()
