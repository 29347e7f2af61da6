"""A create that is refused says why by status and error_code, in the manager's words, and leaves nothing behind."""

from __future__ import annotations

from typing import Any

import pytest

from backendai import errors, sessions

from .beds import Bed

PARAMS, SCHEMA = "api_generic_invalid-parameters", "api_parsing_invalid-parameters"
INTERNAL = "backendai_generic_internal-error"
SMALL = {"cpu": "1", "mem": "256m"}

# What is changed in a good request; status and error_code; some of the words.
REFUSALS: dict[str, tuple[dict[str, Any], tuple[int, str], str]] = {
    "image": ({"image": "nope/x:1"}, (404, "image_read_not-found"), "Unknown image reference: nope/x:1 (x86_64)"),
    "architecture": ({"architecture": "aarch64"}, (404, "image_read_not-found"), "(aarch64)"),
    "resource group": ({"scalingGroup": "nope"}, (404, "resource-group_read_not-found"), "nope"),
    "project": ({"group": "nope"}, (404, "project_read_not-found"), "No ProjectRow"),
    "domain": ({"domain": "nope"}, (404, "project_read_not-found"), "No ProjectRow"),
    "slot": ({"resources": SMALL | {"cuda.shares": "1"}}, (400, "backendai_parsing_not-found"), "'cuda.shares'"),
    "cpu": ({"resources": SMALL | {"cpu": "abc"}}, (400, PARAMS), "Cannot convert the slot 'cpu' to decimal: 'abc'"),
    "mem": ({"resources": SMALL | {"mem": "1zz"}}, (400, PARAMS), "Cannot convert the slot 'mem' to decimal: '1zz'"),
    "cpu -1": ({"resources": SMALL | {"cpu": "-1"}}, (400, "backendai_parsing_invalid-parameters"), "negative: -1"),
    "too little mem": ({"resources": SMALL | {"mem": "1m"}}, (400, PARAMS), "smaller than the image minimum"),
    "shmem > mem": ({"resource_opts": {"shmem": "1g"}}, (400, PARAMS), "smaller than the image minimum"),
    "shmem": ({"resource_opts": {"shmem": "zz"}}, (400, PARAMS), "resource_opts.shmem"),
    "mount": ({"mounts": ["llm-model", "nope"]}, (404, "vfolder_read_not-found"), "['nope']"),
    "reserved port": ({"preopen_ports": [2200]}, (400, PARAMS), "reserved ports ([2000, 2001, 2200, 7681])"),
    "one of two": ({"preopen_ports": [8000, 2000]}, (400, PARAMS), "[2000] collide"),
    "image's own port": (
        {"preopen_ports": [8091]},
        (400, PARAMS),
        "[8091] collide with ports declared by the image's service metadata",
    ),
    "environ": ({"environ": {"A": 1}}, (400, PARAMS), "environ.A"),
    "type": ({"type": "bogus"}, (400, SCHEMA), "Input should be"),
    "priority": ({"priority": 101}, (400, SCHEMA), "less than or equal to 100"),
    "bootstrap": ({"bootstrap_script": 3}, (400, SCHEMA), "bootstrap_script"),
    "no command": ({"startupCommand": ""}, (400, PARAMS), "Batch sessions must have a non-empty startup command."),
    "timeout": ({"type": "interactive", "batch_timeout": "2s"}, (400, PARAMS), "only for batch sessions"),
    "start": ({"type": "interactive", "starts_at": "2030-01-01T00:00:00Z"}, (400, PARAMS), "only for batch sessions"),
    "inference": ({"type": "inference"}, (400, PARAMS), "usage_mode=MODEL"),
    "network": ({"attach_network": "0" * 32}, (500, INTERNAL), ""),
    "long tag": ({"tag": "x" * 65}, (500, INTERNAL), ""),
    "owner": ({"owner_access_key": "AKIANOPE"}, (400, SCHEMA), "Unknown owner access key"),
    "no image": ({"image": None}, (400, SCHEMA), "valid string"),
}


@pytest.mark.parametrize("label", REFUSALS)
async def test_it_says_why_and_leaves_nothing(label: str, bed: Bed) -> None:
    changes, problem, words = REFUSALS[label]
    refused = (await bed.create("refused", **changes)).answer
    assert refused.problem == problem, refused
    assert words in str(refused.body)
    async with bed.api() as api:
        assert await bed.living(api) == []


@pytest.mark.parametrize("label", ["cpu 0", "no resources", "big port", "callback", "half a gpu", "unknown agent"])
async def test_what_is_wrong_and_taken_nevertheless(label: str, bed: Bed) -> None:
    """Whoever asks must look himself: the cluster doesn't."""
    changes: dict[str, dict[str, Any]] = {
        "cpu 0": {"resources": {"cpu": "0", "mem": "256m"}},
        "no resources": {"resources": {}},
        "big port": {"preopen_ports": [70000]},
        "callback": {"callback_url": "not a url"},
        "half a gpu": {"resources": {**SMALL, "cuda.device": "0.5"}},
        "unknown agent": {"preopen_ports": [], "environ": {"A": "b"}, "priority": 0},
    }
    taken = await bed.create("taken", **changes[label])
    assert taken.answer.status == 201, taken
    await bed.ask("DELETE", f"/session/{taken.id}?forced=true")


@pytest.mark.parametrize(
    ("change", "error", "cure"),
    [
        ({"image": "nope/x:1"}, errors.NotFound, "cluster.image"),
        ({"resource_group": "nope"}, errors.NotFound, "cluster.resource_group"),
        ({"project": "nope"}, errors.NotFound, "cluster.project"),
        ({"mounts": {"nope": "/home/work/nope"}}, errors.NotFound, "vfolder list"),
        ({"resources": {**SMALL, "cuda.shares": "0.5"}}, errors.InvalidRequest, "cluster.gpu_unit"),
        ({"ports": [2000]}, errors.InvalidRequest, "Mend the value"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_the_door_says_what_cures_it(
    change: dict[str, Any], error: type[errors.ClusterError], cure: str, bed: Bed
) -> None:
    async with bed.api() as api:
        with pytest.raises(error) as caught:
            await sessions.ensure(api, bed.spec("refused", **change))
        assert type(caught.value) is error and cure in caught.value.cure
        assert await bed.living(api) == []
