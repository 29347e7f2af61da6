"""What may still be taken is asked, by any user, without the SDK and without changing anything."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from backendai import Capacity, Reader, Want, errors, look

from .beds import Bed
from .raw import Keys

GIB = 1024**3
NO_GROUP = "no-such-group"


def want(bed: Bed, gpus: int = 1, **changes: Any) -> Want:
    slots = {"cpu": Decimal(1), "mem": Decimal(256 * 1024**2), "cuda.device": Decimal(gpus)}
    given: dict[str, Any] = {"owner": "", "image": bed.image, "resource_group": "default", "slots": slots}
    return Want(name="w", **(given | {"project": "default", "domain": "default"} | changes))


async def asked(bed: Bed, *wants: Want, who: Keys | None = None) -> tuple[Capacity, str]:
    capacity = await look(Reader(bed.connection(who)), wants)
    return capacity, "\n".join(str(shortfall) for shortfall in capacity.shortfalls(wants))


async def test_everything_is_known_to_an_administrator(bed: Bed) -> None:
    capacity, said = await asked(bed, want(bed, 0))
    assert capacity.unknown == ()
    assert said == ""
    (group,) = capacity.groups.values()
    assert group.largest is not None and group.free is not None
    assert group.largest["cuda.device"] == 8
    assert group.free["cuda.device"] <= 8


async def test_a_user_isn_t_shown_images_and_that_is_said(bed: Bed) -> None:
    """The limited user may start sessions of the image all the same."""
    capacity, said = await asked(bed, want(bed, 0), who=bed.limited)
    assert capacity.unknown == (f"whether the image {bed.image} exists",)
    assert said == ""


@pytest.mark.parametrize("limited", [False, True])
async def test_more_than_a_node_has(bed: Bed, limited: bool) -> None:
    _, said = await asked(bed, want(bed, 9), who=bed.limited if limited else None)
    assert "no node of 'default' has more than 8 cuda.device" in said


async def test_the_quota_of_a_user(bed: Bed) -> None:
    _, said = await asked(bed, want(bed, 2), who=bed.limited)
    assert "2 cuda.device are needed beyond what runs" in said


@pytest.mark.parametrize("limited", [False, True])
async def test_places_that_there_are_not(bed: Bed, limited: bool) -> None:
    who = bed.limited if limited else None
    _, said = await asked(bed, want(bed, resource_group=NO_GROUP), who=who)
    assert (
        f"'{NO_GROUP}' doesn't exist or isn't allowed to project 'default'. Set resource_group to one of: default"
        in (said)
    )
    _, said = await asked(bed, want(bed, project="nope"), who=who)
    assert "Project 'nope' doesn't exist in domain 'default', or the key pair's user isn't in it" in said


async def test_an_image_and_a_folder_that_there_are_not(bed: Bed) -> None:
    _, said = await asked(bed, want(bed, image="cr.backend.ai/stable/nope:1"))
    assert "doesn't know the image cr.backend.ai/stable/nope:1" in said
    _, said = await asked(bed, want(bed, folders=("no-such-folder",)))
    assert "There is no folder 'no-such-folder' that this key pair can mount" in said


async def test_the_folders_of_the_project_can_be_mounted(bed: Bed) -> None:
    for who in (bed.admin, bed.limited):
        capacity, said = await asked(bed, want(bed, folders=("llm-model", "hf-cache/sub")), who=who)
        assert "folder" not in said
        assert capacity.folders is not None and {"llm-model", "hf-cache"} <= capacity.folders


async def test_a_unit_that_the_group_does_not_have(bed: Bed) -> None:
    _, said = await asked(bed, want(bed, slots={"cuda.shares": Decimal(1)}))
    assert "'default' doesn't count in cuda.shares: it has cuda.device" in said


@pytest.mark.usefixtures("limited_alone")
async def test_what_runs_counts_for_itself(bed: Bed) -> None:
    owner = "0123456789ab.abcdef"
    async with bed.api(bed.limited) as api:
        resources = {"cpu": "1", "mem": "256m", "cuda.device": "1"}
        await bed.started(api, "held", resources=resources, tag=f"bai-vllm:{owner}:1")
        mine = want(bed, owner=owner)
        capacity, said = await asked(bed, mine, who=bed.limited)
        assert said == ""
        own = capacity.own(mine)
        assert own is not None and own.slots["cuda.device"] == 1
        _, said = await asked(bed, want(bed), who=bed.limited)
        assert "quota has 0 cuda.device left, and 1 cuda.device are needed" in said


async def test_a_reader_s_failures_are_those_of_the_api(bed: Bed) -> None:
    stranger = Keys("AKIANOBODYNOBODYNOBO", "no-secret")
    with pytest.raises(errors.AuthenticationFailed):
        await Reader(bed.connection(stranger)).call("GET", "/folders")
    with pytest.raises(errors.NotFound):
        await Reader(bed.connection()).call("GET", "/no/such/path")
    capacity, said = await asked(bed, want(bed), who=stranger)
    assert said == "" and any("whether the image exists" in words for words in capacity.unknown)
