"""What a session was asked with is readable back: in v2 as clean values, in v1 as text, in GraphQL as JSON strings."""

from __future__ import annotations

import ast
import json
from uuid import UUID

import pytest
from ai.backend.common.dto.manager.v2.session.response import SessionNode

from .beds import A_MOMENT, Bed
from .serving import ENVIRON, FOLDER, FOLDER_PATH, RESOURCES, TAG, Serving

SLOTS = {"cpu": 2, "mem": 512 * 1024**2, "cuda.device": 1}


async def test_v2_is_what_the_sdk_expects(bed: Bed, serving: Serving) -> None:
    body = (await bed.ask("GET", f"/v2/sessions/{serving.id}")).body
    node = SessionNode.model_validate(body)
    assert (node.id, node.metadata.name, node.metadata.tag) == (UUID(serving.id), serving.name, TAG)
    assert set(body) == set(json.loads(node.model_dump_json())), "no field too few or too many"
    assert body["metadata"]["session_type"] == "batch"
    assert (body["lifecycle"]["status"], body["lifecycle"]["result"]) == ("RUNNING", "undefined")


async def test_the_parts_of_v2(bed: Bed, serving: Serving) -> None:
    body = (await bed.ask("GET", f"/v2/sessions/{serving.id}")).body
    assert {name: set(part) for name, part in body.items() if isinstance(part, dict)} == {
        "metadata": {
            "creation_id", "name", "session_type", "access_key", "cluster_mode", "cluster_size", "tier", "priority",
            "job_priority", "is_preemptible", "tag",
        },
        "resource": {"allocation", "resource_group_name"},
        "lifecycle": {"status", "result", "created_at", "terminated_at", "starts_at", "batch_timeout"},
        "runtime": {"environ", "bootstrap_script", "startup_command", "callback_url"},
        "network": {"use_host_network", "network_type", "network_id"},
    }  # fmt: skip


async def test_resources(bed: Bed, serving: Serving) -> None:
    v2 = (await bed.ask("GET", f"/v2/sessions/{serving.id}")).body["resource"]["allocation"]
    for part in ("requested", "used", "allocated"):
        entries = {entry["resource_type"]: entry["quantity"] for entry in v2[part]["entries"]}
        assert entries == {slot: f"{amount}.000000" for slot, amount in SLOTS.items()}, part
    row = await bed.row(serving.id)
    for name in ("occupied_slots", "requested_slots"):
        assert json.loads(row[name]) == {slot: str(amount) for slot, amount in SLOTS.items()}
    v1 = (await bed.ask("GET", f"/session/{serving.id}")).body
    for name in ("occupiedSlots", "requestedSlots"):
        assert "'cpu': Decimal('2.000000')" in v1[name]
    assert set(RESOURCES) == set(SLOTS)


async def test_the_environment_is_readable_back(bed: Bed, serving: Serving) -> None:
    v2 = (await bed.ask("GET", f"/v2/sessions/{serving.id}")).body["runtime"]["environ"]["entries"]
    assert {entry["name"]: entry["value"] for entry in v2} == ENVIRON
    v1 = (await bed.ask("GET", f"/session/{serving.id}")).body
    assert isinstance(v1["environ"], str) and ast.literal_eval(v1["environ"]) == ENVIRON


async def test_v1_has_neither_name_nor_ports(bed: Bed, serving: Serving) -> None:
    v1 = (await bed.ask("GET", f"/session/{serving.name}")).body
    assert (v1["status"], v1["statusInfo"], v1["tag"]) == ("RUNNING", "None", TAG)
    assert not {"id", "name", "sessionId", "servicePorts", "mounts", "startupCommand"} & set(v1)


async def test_graphql_has_command_mounts_and_ports(bed: Bed, serving: Serving) -> None:
    row = await bed.row(serving.id)
    assert (row["name"], row["type"], row["status"], row["result"]) == (serving.name, "BATCH", "RUNNING", "UNDEFINED")
    assert "http.server" in row["startup_command"]
    assert (row["mounts"], row["tag"], row["access_key"]) == ([FOLDER], TAG, bed.admin.access_key)
    assert row["group_name"] == "d", "cut to one letter, a bug of the server"
    ports = {port["name"]: port for port in json.loads(row["service_ports"])}
    assert (ports["8000"]["protocol"], ports["8000"]["container_ports"]) == ("preopen", [8000])
    assert {"sshd", "ttyd", "jupyter"} <= set(ports)


async def test_a_reused_create_tells_the_ports(bed: Bed, serving: Serving) -> None:
    again = await bed.ask("POST", "/session", {"name": serving.name, "image": bed.image})
    assert (again.body["created"], again.body["sessionId"]) == (False, serving.id)
    assert "8000" in [port["name"] for port in again.body["servicePorts"]]


async def test_the_process_has_its_environment(bed: Bed) -> None:
    environ = {"PLAIN": "b c", "QUOTED": "'\"$HOME`", "LONG": "x" * 5000}
    command = 'printf "%s|" "$PLAIN" "$QUOTED" "${#LONG}" "$_BACKEND_BATCH_MODE"; pwd; echo "$HOME"'
    async with bed.api() as api:
        ended = await bed.ran(api, "environ", command, environ=environ)
        log = await bed.logged(api, ended.id, "|")
    words, folder = log.splitlines()[0].rsplit("|", 1)
    assert words == "b c|'\"$HOME`|5000|1"
    assert log.splitlines()[1] == folder, "it begins in its home"


async def test_a_newline_in_the_environment_is_taken(bed: Bed) -> None:
    """No word of it, although an agent with real containers cuts it there: whoever asks must look himself."""
    made = await bed.create("lines", environ={"LINES": "one\ntwo"})
    node = (await bed.ask("GET", f"/v2/sessions/{made.id}")).body
    assert node["runtime"]["environ"]["entries"] == [{"name": "LINES", "value": "one\ntwo"}]


async def test_a_folder_is_where_it_was_asked_for(bed: Bed) -> None:
    """What is written into a mounted folder is there for the next session.  $HOME is /home/work on a real cluster."""
    mark, path = f"mark-{bed.prefix}", "$HOME/models"
    async with bed.api() as api:
        mounts = {FOLDER: FOLDER_PATH}
        assert (await bed.ran(api, "writes", f"echo {mark} > {path}/{mark}", mounts=mounts)).result == "SUCCESS"
        ended = await bed.ran(api, "reads", f"cat {path}/{mark}; rm {path}/{mark}", mounts=mounts)
        assert ended.result == "SUCCESS"
        assert await bed.logged(api, ended.id, mark) == f"{mark}\n"
        unnamed = await bed.create("by-name", startupCommand=f"{A_MOMENT}cd $HOME/{FOLDER}", mounts=[FOLDER])
        assert (await bed.ended(api, unnamed.id)).result == "SUCCESS"


@pytest.mark.parametrize(
    "command", ["echo 'a  b' \"c'd\" \\\\ $((1+1)) `echo e`", "echo one\necho two"], ids=["words", "lines"]
)
async def test_a_command_is_a_shells(command: str, bed: Bed) -> None:
    expected = {"e": "a  b c'd \\ 2 e\n", "o": "one\ntwo\n"}["e" if "`" in command else "o"]
    async with bed.api() as api:
        ended = await bed.ran(api, "shell", command)
        assert ended.result == "SUCCESS"
        assert await bed.logged(api, ended.id, expected) == expected
