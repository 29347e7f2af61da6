"""Asks the cluster what `capacity` judges.

All of it may be asked by any user, and changes nothing:

    POST /resource/check-presets             what the quotas leave, what a group has free; 404 for a group or project
    POST /v2/sessions/my/search              what the stack's own sessions hold
    POST /admin/gql                          images, project, allowed groups with their largest node, session limit
    GET  /v2/domains/D, resource-groups      the group's id, for:
    POST /v2/sessions/compute-schedule       whether a node has room, for each kind of session that needs more
    GET  /folders                            folders to mount, the user's and the project's

What fails or isn't shown to this key pair isn't judged, and `unknown` says so.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

from . import errors, statuses
from .capacity import Capacity, Group, Held, Shortfall, Slots, Want, place_of
from .statuses import stage_of
from .tags import read_tag

LONGEST = 15.0  # seconds for all of it
_MOST = 500  # sessions of one key pair that are looked at
_IMAGE_GONE = "image_read_not-found"


class Asks(Protocol):
    """Api, or Reader, which is cheaper to have."""

    async def call(self, method: str, path: str, *, body: Any = None, params: Mapping[str, str] | None = None) -> Any:
        """One request; the answer's JSON.  Raises ClusterError."""


async def look(api: Asks, wants: Sequence[Want]) -> Capacity:
    """Asks the cluster about these sessions, for at most LONGEST seconds.  Never raises: what fails becomes unknown."""
    looking = _Looking(api, wants)
    try:
        async with asyncio.timeout(LONGEST):
            await looking.all()
    except TimeoutError:
        looking.unknown.append(f"what took longer than {LONGEST:.0f} s")
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, errors.ServerFault) as error:
        # Another release may answer otherwise; that must not end a preview.
        looking.unknown.append(f"the rest, for an answer isn't understood ({type(error).__name__}: {error})")
    return looking.so_far()


class _Looking:
    """One look, in three rounds: each asks side by side what the round before made possible."""

    def __init__(self, api: Asks, wants: Sequence[Want]) -> None:
        self._api, self._wants = api, wants
        self._places = sorted({place_of(want) for want in wants})
        self.unknown: list[str] = []
        self._groups: dict[tuple[str, str, str], Group] = {}
        self._remaining: dict[tuple[str, str], Slots] = {}
        self._held: tuple[Held, ...] = ()
        self._folders: frozenset[str] | None = None
        self._facts: dict[tuple[str, str], Mapping[str, Any]] = {}  # (domain, project) -> the GraphQL answer
        self._domains: dict[str, str] = {}
        self._ids: dict[tuple[str, str, str], str] = {}
        self._image_ids: dict[str, str] = {}
        self._no_images: set[str] = set()
        self._misfits: dict[str, Slots] = {}

    async def all(self) -> None:
        """Asks; `so_far` has what came of it."""
        projects = sorted({place[:2] for place in self._places})
        first: list[Awaitable[None]] = [self._living(), *map(self._presets, self._places)]
        first += [self._project(*project) for project in projects]
        first += [self._domain(domain) for domain in sorted({domain for domain, _ in projects})]
        await asyncio.gather(*first)
        second: list[Awaitable[None]] = [self._allowed(*project) for project in projects]
        second += map(self._hidden, projects[:1])
        if any(want.folders for want in self._wants):
            second.append(self._mountable(projects))
        await asyncio.gather(*second)
        capacity = self.so_far()
        await asyncio.gather(*(self._placement(capacity, place) for place in self._places))

    def so_far(self) -> Capacity:
        """What is known by now."""
        limits = [facts.get("keypair_resource_policy") or {} for facts in self._facts.values()]
        used = [(facts.get("keypair") or {}).get("concurrency_used") for facts in self._facts.values()]
        limit = next((policy.get("max_concurrent_sessions") for policy in limits), None)
        left = max(0, limit - used[0]) if isinstance(limit, int) and limit > 0 and isinstance(used[0], int) else None
        return Capacity(
            remaining=self._remaining,
            groups=self._groups,
            no_images=frozenset(self._no_images),
            folders=self._folders,
            held=self._held,
            sessions_left=left,
            misfits=self._misfits,
            unknown=tuple(dict.fromkeys(self.unknown)),
        )

    async def _ask(
        self, what: str, method: str, path: str, body: Any = None, params: Mapping[str, str] | None = None
    ) -> Any:
        """None, and a line in `unknown`, when it fails."""
        try:
            return await self._api.call(method, path, body=body, params=params)
        except errors.ClusterError as error:
            self.unknown.append(f"{what} ({error.what.rstrip('.')})")
            return None

    async def _presets(self, place: tuple[str, str, str]) -> None:
        domain, project, group = place
        body = {"group": project, "scaling_group": group}
        try:
            answer = await self._api.call("POST", "/resource/check-presets", body=body)
        except errors.NotFound as error:
            if error.code == "resource-group_read_not-found":
                what = f"Resource group '{group}' doesn't exist or isn't allowed to project '{project}'."
                self._groups[place] = Group(refused=Shortfall((), what, ""))
            elif error.code == "project_read_not-found":
                what = f"Project '{project}' doesn't exist in domain '{domain}', or the key pair's user isn't in it."
                cure = "Set cluster.project and cluster.domain to ones that you are a member of."
                self._groups[place] = Group(refused=Shortfall((), what, cure))
            else:
                self.unknown.append(f"quota and free slots ({error.what.rstrip('.')})")
        except errors.ClusterError as error:
            self.unknown.append(f"quota and free slots ({error.what.rstrip('.')})")
        else:
            self._remaining[domain, project] = slots_of(answer.get("keypair_remaining"))
            free = ((answer.get("scaling_groups") or {}).get(group) or {}).get("remaining")
            self._groups[place] = Group(free=slots_of(free) if free else None)

    async def _living(self) -> None:
        """Those with a tag of ours; of the others those with a wanted name, which may have been adopted."""
        body = {"filter": {"status": {"not_in": list(statuses.ENDED)}}, "limit": _MOST}
        answer = await self._ask("what the stack's own sessions hold", "POST", "/v2/sessions/my/search", body)
        names = {want.session_name for want in self._wants}
        living = map(_held, (answer or {}).get("items") or ())
        self._held = tuple(held for held in living if held.owner or held.name in names)

    async def _mountable(self, projects: Sequence[tuple[str, str]]) -> None:
        """The user's own folders and the projects': the list without a project has none of theirs."""
        ids = [self._project_id(*project) for project in projects]
        whose = [None, *({"group_id": id_} for id_ in ids if id_)]
        answers = await asyncio.gather(
            *(self._ask("the folders to mount", "GET", "/folders", params=params) for params in whose)
        )
        if all(ids) and all(answer is not None for answer in answers):
            self._folders = frozenset(str(folder.get("name")) for answer in answers for folder in answer)

    def _project_id(self, domain: str, project: str) -> str:
        found = self._facts.get((domain, project), {}).get("groups_by_name") or ()
        return str(found[0]["id"]) if found else ""

    async def _domain(self, domain: str) -> None:
        answer = await self._ask("whether a node has room", "GET", f"/v2/domains/{domain}")
        self._domains[domain] = str((answer or {}).get("id") or "")

    async def _project(self, domain: str, project: str) -> None:
        images = sorted({want.image for want in self._wants if (want.domain, want.project) == (domain, project)})
        parts = [
            f'i{n}: image(reference: {json.dumps(image)}, architecture: "x86_64") {{ id }}'
            for n, image in enumerate(images)
        ]
        query = (
            f"query($g: String!, $d: String!) {{ user {{ role }} groups_by_name(name: $g, domain_name: $d) {{ id }} "
            f"keypair_resource_policy {{ max_concurrent_sessions }} keypair {{ concurrency_used }} {' '.join(parts)} }}"
        )
        body = {"query": query, "variables": {"g": project, "d": domain}}
        answer = await self._ask("whether the image exists", "POST", "/admin/gql", body)
        data = (answer or {}).get("data")
        facts = data if isinstance(data, dict) else {}
        self._facts[domain, project] = facts
        codes = {
            (e.get("path") or [None])[0]: (e.get("extensions") or {}).get("code")
            for e in (answer or {}).get("errors") or ()
        }
        for n, image in enumerate(images):
            if found := facts.get(f"i{n}"):
                self._image_ids[image] = str(found["id"])
            elif codes.get(f"i{n}") == _IMAGE_GONE:
                self._no_images.add(image)
            elif answer is not None:
                self.unknown.append(f"whether the image {image} exists")

    async def _hidden(self, project: tuple[str, str]) -> None:
        """An image that the cluster doesn't show may still be usable by who is shown none at all."""
        role = (self._facts.get(project, {}).get("user") or {}).get("role")
        if not self._no_images or str(role).lower() == "superadmin":
            return
        answer = await self._ask("whether the image exists", "POST", "/admin/gql", {"query": "{ images { name } }"})
        if not ((answer or {}).get("data") or {}).get("images"):
            self.unknown += [f"whether the image {image} exists" for image in sorted(self._no_images)]
            self._no_images.clear()

    async def _allowed(self, domain: str, project: str) -> None:
        project_id = self._project_id(domain, project)
        if not project_id:
            return
        query = (
            "query($p: UUID!) { accessible_scaling_groups(project_id: $p) "
            "{ name resource_allocation_limit_for_sessions } }"
        )
        variables = {"p": project_id}
        scope = {"project": [{"value": project_id}]}
        if self._domains.get(domain):
            scope["domain"] = [{"value": self._domains[domain]}]
        answer, groups = await asyncio.gather(
            self._ask("how big a group's nodes are", "POST", "/admin/gql", {"query": query, "variables": variables}),
            self._ask("whether a node has room", "POST", "/v2/resource-groups/scoped/search", {"scope": scope}),
        )
        rows = ((answer or {}).get("data") or {}).get("accessible_scaling_groups") or ()
        largest = {str(row["name"]): slots_of(row.get("resource_allocation_limit_for_sessions")) for row in rows}
        ids = {str(item["name"]): str(item["id"]) for item in (groups or {}).get("items") or ()}
        for place in self._places:
            if place[:2] != (domain, project):
                continue
            group = self._groups.get(place, Group())
            if place[2] in ids:
                self._ids[place] = ids[place[2]]
            if group.refused and not group.refused.cure and largest:
                cure = f"Set resource_group to one of: {', '.join(sorted(largest))}."
                group = Group(refused=group.refused._replace(cure=cure))
            elif place[2] in largest and largest[place[2]]:
                group = Group(group.free, largest[place[2]], group.refused)
            self._groups[place] = group

    async def _placement(self, capacity: Capacity, place: tuple[str, str, str]) -> None:
        """Whether a node has room for each session that needs more: asked for what it needs more.

        What a predecessor holds on its node is free by then; if the rest fits on no node, the whole doesn't either.
        """
        wants = [want for want in self._wants if place_of(want) == place and want.image in self._image_ids]
        asked = {want.name: {s: n for s, n in capacity.more(want).items() if n > 0} for want in wants}
        asked = {name: slots for name, slots in asked.items() if slots}
        if any(amount < 0 for want in wants for amount in capacity.more(want).values()):
            return  # on which node the others give way isn't known
        if not asked or place not in self._ids:
            return
        alike: dict[tuple[str, tuple[tuple[str, Decimal], ...]], list[str]] = {}  # replicas and the like: asked once
        for want in wants:
            if slots := asked.get(want.name):
                alike.setdefault((self._image_ids[want.image], tuple(sorted(slots.items()))), []).append(want.name)

        async def one(image_id: str, slots: tuple[tuple[str, Decimal], ...], names: Sequence[str]) -> None:
            entries = [{"resource_type": slot, "quantity": f"{n:f}"} for slot, n in slots]
            body = {
                "kernels": [{"image_id": image_id, "resources": entries}],
                "cluster_mode": "single-node",
                "resource_group_id": self._ids[place],
            }
            answer = await self._ask("whether a node has room", "POST", "/v2/sessions/compute-schedule", body)
            for result in (answer or {}).get("results") or ():
                hint = (result.get("reason_hint") or {}).get("required_reduction") or ()
                if result.get("success") is False and hint:
                    lacks = {e["resource_type"]: Decimal(str(e["quantity"])) for e in hint}
                    self._misfits.update(dict.fromkeys(names, lacks))

        await asyncio.gather(*(one(*question, names) for question, names in alike.items()))


def slots_of(value: Any) -> dict[str, Decimal]:
    """Slots as the manager writes them, a mapping or its JSON text; what is no number (NaN: not shown) is left out."""
    found = json.loads(value) if isinstance(value, str) else value or {}
    slots = {}
    for slot, text in found.items():
        try:
            amount = Decimal(str(text))
        except InvalidOperation:
            continue
        if not amount.is_nan():
            slots[str(slot)] = amount
    return slots


def _held(node: Mapping[str, Any]) -> Held:
    metadata = node["metadata"]
    resource = node.get("resource") or {}
    return Held(
        name=str(metadata["name"]),
        owner=read_tag(str(metadata.get("tag") or "")).owner,
        resource_group=str(resource.get("resource_group_name") or ""),
        stage=stage_of(str(node["lifecycle"]["status"])),
        slots=requested(resource),
    )


def requested(resource: Mapping[str, Any]) -> Slots:
    """What a session of the v2 API has asked for; memory in bytes."""
    entries = ((resource.get("allocation") or {}).get("requested") or {}).get("entries") or ()
    return {str(entry["resource_type"]): Decimal(str(entry["quantity"])) for entry in entries}
