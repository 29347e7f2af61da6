"""The app-proxy's URL opens with its cookie only, passes everything on as it comes, and ends with the session."""

from __future__ import annotations

import asyncio
import uuid
from urllib.parse import urlencode

import aiohttp
import pytest

from backendai import errors, sessions
from backendai.app_proxy import COOKIE, Circuit, open_circuit

from .beds import Bed, until
from .raw import Answer, fetch
from .serving import COMMAND, PAUSE, PIECES, Serving


async def opened(bed: Bed, session_id: str) -> Circuit:
    async with bed.light() as api:
        circuit = await open_circuit(api, session_id, "8000")
    assert circuit is not None
    return circuit


def permit(circuit: Circuit) -> dict[str, str]:
    return {"Cookie": f"{COOKIE}={circuit.cookie}"}


async def auth(bed: Bed, session: Serving, **changes: str) -> tuple[str, Answer]:
    """The second step: the app-proxy's address and what it answers to a fresh token."""
    path = f"/v2/sessions/{session.id}/services/start"
    started = (await bed.ask("POST", path, {"service": "8000"})).body
    query = {"token": started["token"], "session_id": session.id, "app": "8000", "protocol": "preopen"} | changes
    query = {name: value for name, value in query.items() if value}
    url = f"{started['wsproxy_addr']}/v2/proxy/auth?{urlencode(query)}"
    return started["wsproxy_addr"], await fetch("GET", url, headers={"Accept": "application/json"})


async def test_with_the_cookie_and_without(bed: Bed, serving: Serving) -> None:
    circuit = await opened(bed, serving.id)
    for headers in ({}, {"Cookie": f"{COOKIE}=wrong"}):
        refused = await fetch("GET", f"{circuit.url}/", headers=headers)
        assert refused.problem == (401, "agent_auth_unauthorized")
    answer = await fetch("GET", f"{circuit.url}/a%20b?c=d", headers=permit(circuit))
    assert (answer.status, answer.body.splitlines()[0]) == (200, "/a%20b?c=d")


async def test_everything_is_passed_on(bed: Bed, serving: Serving) -> None:
    circuit = await opened(bed, serving.id)
    headers = {**permit(circuit), "Authorization": "Bearer sk-not-a-secret", "X-Asked": "yes"}
    got = (await fetch("GET", f"{circuit.url}/", headers=headers)).body.lower()
    assert "authorization: bearer sk-not-a-secret" in got and "x-asked: yes" in got
    body = "sent " * 40_000
    answer = await fetch("POST", f"{circuit.url}/p", headers=permit(circuit), data=body)
    assert (answer.status, answer.body, answer.headers["X-Mine"]) == (418, body, "yes")


async def test_pieces_arrive_when_they_are_sent(bed: Bed, serving: Serving) -> None:
    circuit = await opened(bed, serving.id)
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as http, http.get(f"{circuit.url}/stream", headers=permit(circuit)) as answer:
        moments = [(piece, loop.time()) async for piece in answer.content.iter_any()]
    assert b"".join(piece for piece, _ in moments) == b"0123"[:PIECES]
    assert moments[-1][1] - moments[0][1] > PAUSE, "not all at the end"


async def test_asking_again_gives_the_same_circuit(bed: Bed, serving: Serving) -> None:
    first = await opened(bed, serving.id)
    assert await opened(bed, serving.id) == first
    _, answer = await auth(bed, serving)
    assert (answer.status, answer.body["reuse"]) == (200, True)


async def test_an_open_circuit_is_another_one_and_needs_no_cookie(bed: Bed, serving: Serving) -> None:
    _, answer = await auth(bed, serving, open_to_public="true")
    location = (await fetch("GET", answer.body["redirect_url"])).headers["Location"]
    assert location != (await opened(bed, serving.id)).url
    assert (await fetch("GET", f"{location}/")).status == 200


async def test_v1_starts_a_service_by_name(bed: Bed, serving: Serving) -> None:
    started = await bed.ask("POST", f"/session/{serving.name}/start-service", {"app": "8000"})
    assert (started.status, set(started.body)) == (200, {"token", "wsproxy_addr"})


async def test_the_redirect_is_not_json_for_a_browser(bed: Bed, serving: Serving) -> None:
    started = (await bed.ask("POST", f"/v2/sessions/{serving.id}/services/start", {"service": "8000"})).body
    query = urlencode({"token": started["token"], "session_id": serving.id, "app": "8000", "protocol": "preopen"})
    answer = await fetch("GET", f"{started['wsproxy_addr']}/v2/proxy/auth?{query}")
    assert answer.status == 308
    setup = await fetch("GET", answer.headers["Location"])
    assert (setup.status, setup.headers["Set-Cookie"].partition("=")[0]) == (302, COOKIE)
    for part in ("HttpOnly", "Max-Age=604800", "Path=/", "SameSite=Lax"):
        assert part in setup.headers["Set-Cookie"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"token": str(uuid.UUID(int=0))}, (404, "agent_read_not-found")),
        ({"token": "x"}, (500, "agent_generic_internal-error")),
        ({"app": ""}, (400, "agent_request_invalid-parameters")),
        ({"session_id": "0000"}, (400, "agent_request_invalid-parameters")),
    ],
    ids=["token", "no token", "app", "session"],
)
async def test_what_the_app_proxy_refuses(
    changes: dict[str, str], problem: tuple[int, str], bed: Bed, serving: Serving
) -> None:
    _, answer = await auth(bed, serving, **changes)
    assert answer.problem == problem


async def test_an_address_that_it_does_not_know(bed: Bed, serving: Serving) -> None:
    address, _ = await auth(bed, serving)
    assert (await fetch("GET", f"{address}/nope")).problem == (404, "agent_request_not-found")
    assert (await fetch("GET", f"{(await opened(bed, serving.id)).url}/nope")).status == 401


async def test_after_the_end_the_url_is_502(bed: Bed) -> None:
    async with bed.light() as api:
        session_id = await bed.started(api, "served", COMMAND)
        await bed.logged(api, session_id, "listening")
        circuit = await opened(bed, session_id)
        assert (await fetch("GET", f"{circuit.url}/", headers=permit(circuit))).status == 200
        await sessions.destroy(api, session_id, force_after=0.0)

        async def over() -> bool:
            answer = await fetch("GET", f"{circuit.url}/", headers=permit(circuit))
            return answer.status == 502

        await until(over)
        assert (await fetch("GET", f"{circuit.url}/")).status == 401
        with pytest.raises(errors.SessionNotFound):
            await open_circuit(api, session_id, "8000")


async def test_nothing_listens_yet(bed: Bed) -> None:
    """500, or no answer at all.  A real app-proxy may say 502, as after the end, when its connection isn't taken in
    time: whoever waits for a server goes by the session's state, too.
    """
    async with bed.light() as api:
        session_id = await bed.started(api, "deaf")
        circuit = await opened(bed, session_id)
        try:
            status = (await fetch("GET", f"{circuit.url}/", headers=permit(circuit))).status
        except aiohttp.ServerDisconnectedError:
            return
        assert status == 500 or (bed.kind, status) == ("cluster", 502)


async def test_an_app_that_there_is_not(bed: Bed, serving: Serving) -> None:
    async with bed.light() as api:
        with pytest.raises(errors.NotFound) as caught:
            await open_circuit(api, serving.id, "nope")
    assert caught.value.code == "backendai_read_not-found"
