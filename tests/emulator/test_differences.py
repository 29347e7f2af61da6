"""Where the emulator differs from a real cluster and stays so (docs/emulator.md), it differs in just this way."""

from __future__ import annotations

import asyncio

import pytest

from emulator import Emulator
from tests.emulator.cluster_client import Client, connected


async def said(client: Client, command: str, **changes: object) -> str:
    """The log of a session that ran to its end."""
    session_id = (await client.create(command, **changes))["sessionId"]
    await client.until(session_id, "TERMINATED")
    return str((await client.call("GET", f"/v2/sessions/{session_id}/logs"))["logs"])


async def test_port_8000_is_another_port_of_this_machine(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        session_id = await client.started("echo $EMULATOR_PORT_8000; sleep 60")
        async with asyncio.timeout(8):
            while not (log := (await client.call("GET", f"/v2/sessions/{session_id}/logs"))["logs"]):
                await asyncio.sleep(0.02)
        assert int(log) == emulator.cluster.sessions[session_id].host_port("8000") != 8000


async def test_the_home_is_a_folder_of_its_own(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        home, folder = (await said(client, "echo $HOME; pwd")).split()
    assert home == folder
    assert home != "/home/work"


@pytest.mark.parametrize(
    ("path", "there"),
    [("/home/work/models", "models"), ("models/deep", "models/deep"), (None, "hf-cache"), ("/models", None)],
)
async def test_folders_are_links_below_the_home(path: str | None, there: str | None, emulator: Emulator) -> None:
    mount_map = {"hf-cache": path} if path else {}
    async with connected(emulator) as client:
        log = await said(client, "find . -type l; ls -d /models", mounts=["hf-cache"], mount_map=mount_map)
    assert log.splitlines()[0] == (f"./{there}" if there else "ls: cannot access '/models': No such file or directory")


async def test_a_start_takes_as_long_as_it_is_told(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulator.cluster.settings, "start_seconds", 0.6)
    loop = asyncio.get_running_loop()
    async with connected(emulator) as client:
        began = loop.time()
        await client.started()
        assert 0.5 < loop.time() - began < 3.0
