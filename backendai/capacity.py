"""What a key pair may still take, and whether its resource groups can place it: judged before the first create.

The cluster itself answers with silence: what is over a quota or too big for every node is accepted and waits for ever
(and, at the head of the queue, lets everybody else wait).  `capacity_reads.look` asks, `Capacity.shortfalls` judges.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from .statuses import Stage

_GIB = Decimal(1024**3)
_WAITING = (Stage.QUEUED, Stage.ENDED)  # hold no slots

type Slots = Mapping[str, Decimal]


@dataclass(frozen=True)
class Want:
    """One session that shall live after this run.  `slots`: cpu, mem (bytes) and GPUs."""

    name: str  # for people
    owner: str  # StackIdentity.owner; "" when there is none yet, and then nothing of it lives
    image: str
    resource_group: str
    project: str
    domain: str
    slots: Slots
    folders: tuple[str, ...] = ()
    session_name: str = ""  # finds one without a tag: it was adopted, and a tag can't be given afterwards


@dataclass(frozen=True)
class Held:
    """One living session of this key pair and what it takes."""

    name: str
    owner: str
    resource_group: str
    stage: Stage
    slots: Slots


class Shortfall(NamedTuple):
    """One thing that keeps sessions from starting.  `names`: whose; `passes`: it may pass when other sessions end."""

    names: tuple[str, ...]
    what: str
    cure: str
    passes: bool = False

    def __str__(self) -> str:
        return f"{', '.join(self.names)}: {self.what} {self.cure}".rstrip()


@dataclass(frozen=True)
class Group:
    """One resource group as one project sees it; None: not known.

    `free`: what it has left for this key pair; `largest`: the most of each slot that one node has.
    """

    free: Slots | None = None
    largest: Slots | None = None
    refused: Shortfall | None = None


@dataclass(frozen=True)
class Capacity:
    """What the cluster says.  Keys of `remaining`: (domain, project); of `groups`: (domain, project, group)."""

    remaining: Mapping[tuple[str, str], Slots] = field(default_factory=dict)
    groups: Mapping[tuple[str, str, str], Group] = field(default_factory=dict)
    no_images: frozenset[str] = frozenset()
    folders: frozenset[str] | None = None
    held: tuple[Held, ...] = ()
    sessions_left: int | None = None
    misfits: Mapping[str, Slots] = field(default_factory=dict)  # name -> what no node has left
    unknown: tuple[str, ...] = ()

    def shortfalls(self, wants: Sequence[Want]) -> list[Shortfall]:
        """What keeps the whole stack from starting.

        A session's own predecessor counts for it: it is ended first.  One that lives and asks for nothing more is
        never refused, however full the cluster is.
        """
        found = [*self._refused(wants), *self._images(wants), *self._folders(wants)]
        refused = {name for shortfall in found for name in shortfall.names}
        rest = [want for want in wants if want.name not in refused]
        found += self._too_big(rest)
        too_big = {name for shortfall in found for name in shortfall.names}
        rest = [want for want in rest if want.name not in too_big]
        over = list(self._over(rest))
        found += over
        if not over:
            found += self._misplaced(rest)
        return found

    def own(self, want: Want) -> Held | None:
        """The living session that is the want's own, whatever it was made from."""
        tagged = next((held for held in self.held if want.owner and held.owner == want.owner), None)
        named = (held for held in self.held if not held.owner and held.name == want.session_name)
        return tagged or next(named, None)

    def more(self, want: Want) -> dict[str, Decimal]:
        """What the want needs beyond what its own session holds, negative where it will need less; {}: nothing new.

        What its own session holds in another resource group doesn't help.
        """
        own = self.own(want)
        if own is None:
            return dict(want.slots)
        here = own.resource_group == want.resource_group
        if here and all(own.slots.get(slot, Decimal(0)) == amount for slot, amount in want.slots.items()):
            return {}
        holds = own.slots if here and own.stage not in _WAITING else {}
        return {slot: want.slots.get(slot, Decimal(0)) - holds.get(slot, Decimal(0)) for slot in {*want.slots, *holds}}

    def _refused(self, wants: Sequence[Want]) -> Iterator[Shortfall]:
        for place, group in self.groups.items():
            names = tuple(want.name for want in wants if place_of(want) == place)
            if group.refused and names:
                yield group.refused._replace(names=names)

    def _images(self, wants: Sequence[Want]) -> Iterator[Shortfall]:
        for image in sorted(self.no_images):
            if names := tuple(want.name for want in wants if want.image == image):
                cure = "Set `image` to one that `backend.ai image list` shows."
                yield Shortfall(names, f"The cluster doesn't know the image {image}.", cure)

    def _folders(self, wants: Sequence[Want]) -> Iterator[Shortfall]:
        if self.folders is None:
            return
        missing = sorted({folder.split("/")[0] for want in wants for folder in want.folders} - self.folders)
        for folder in missing:
            names = tuple(w.name for w in wants if folder in {f.split("/")[0] for f in w.folders})
            there = ", ".join(sorted(self.folders)) or "none"
            what = f"There is no folder '{folder}' that this key pair can mount (there are: {there})."
            yield Shortfall(
                names, what, f"Make it with `backend.ai vfolder create {folder} HOST`, or name another one."
            )

    def _too_big(self, wants: Sequence[Want]) -> Iterator[Shortfall]:
        """More than the group's largest node has: it would wait for ever."""
        for want in wants:
            group = self.groups.get(place_of(want), Group())
            if group.largest is None or not self.more(want):
                continue
            short = {s: n for s, n in want.slots.items() if n > group.largest.get(s, Decimal(0)) and (n or _is_gpu(s))}
            if not short:
                continue
            gpu = next((slot for slot in short if _is_gpu(slot)), None)
            if gpu and gpu not in group.largest:
                offers = ", ".join(slot for slot in sorted(group.largest) if _is_gpu(slot)) or "no GPUs"
                what = f"Resource group '{want.resource_group}' doesn't count in {gpu}: it has {offers}."
                yield Shortfall((want.name,), what, "Set cluster.gpu_unit to what it has, or use another group.")
                continue
            has = amounts({slot: group.largest.get(slot, Decimal(0)) for slot in short})
            what = f"It asks for {amounts(short)}, and no node of '{want.resource_group}' has more than {has}."
            yield Shortfall((want.name,), what, "Ask for less per session, or use another resource group.")

    def _over(self, wants: Sequence[Want]) -> Iterator[Shortfall]:
        """More than the quotas leave, or than the group has free, all sessions together."""
        news = [want for want in wants if self.more(want)]
        over: set[str] = set()
        for owner, remaining in self.remaining.items():
            mine = [want for want in news if (want.domain, want.project) == owner]
            if short := _beyond(self._sum(mine, across_groups=True), remaining):
                over |= {want.name for want in mine}
                left = amounts({slot: remaining[slot] for slot in short})
                what = f"The key pair's quota has {left} left, and {amounts(short)} are needed beyond what runs."
                yield Shortfall(
                    tuple(want.name for want in mine), what, self._cure(wants, "have the quota raised"), True
                )
        fresh = [want for want in news if self.own(want) is None]
        if self.sessions_left is not None and len(fresh) > self.sessions_left:
            over |= {want.name for want in fresh}
            what = f"The key pair may have {self.sessions_left} more sessions, and {len(fresh)} are to be created."
            yield Shortfall(tuple(want.name for want in fresh), what, self._cure(wants, "have the limit raised"), True)
        for place, group in self.groups.items():
            mine = [want for want in news if place_of(want) == place]
            if group.free is None or over.issuperset(want.name for want in mine):
                continue
            if short := _beyond(self._sum(mine), group.free):
                free = amounts({slot: group.free[slot] for slot in short})
                what = f"Resource group '{place[2]}' has {free} free, and {amounts(short)} are needed beyond what runs."
                yield Shortfall(tuple(want.name for want in mine), what, self._cure(wants, "wait for room"), True)

    def _misplaced(self, wants: Sequence[Want]) -> Iterator[Shortfall]:
        for want in wants:
            if missing := self.misfits.get(want.name):
                what = f"No node of '{want.resource_group}' has room for it now: {amounts(missing)} are missing."
                yield Shortfall((want.name,), what, self._cure(wants, "wait for room"), True)

    def _sum(self, wants: Iterable[Want], *, across_groups: bool = False) -> dict[str, Decimal]:
        total: dict[str, Decimal] = defaultdict(Decimal)
        for want in wants:
            more, own = self.more(want), self.own(want)
            for slot, amount in more.items():
                total[slot] += amount
            if across_groups and own and own.resource_group != want.resource_group and own.stage not in _WAITING:
                for slot, amount in own.slots.items():  # a quota doesn't care in which group it is freed
                    total[slot] -= amount
        return total

    def _cure(self, wants: Sequence[Want], otherwise: str) -> str:
        """Names the stack's own sessions that only end after the new ones have started."""
        wanted = {want.owner for want in wants if want.owner}
        stacks = {owner.partition(".")[0] for owner in wanted}
        going = [held.name for held in self.held if held.owner not in wanted and held.owner.partition(".")[0] in stacks]
        if going:
            listed = ", ".join(sorted(going))
            return f"{listed} will only end after the others have started: take it away in an `up` of its own first."
        return f"Ask for less, end other sessions, or {otherwise}."


def amounts(slots: Slots) -> str:
    """`2 cuda.device, 16 GiB mem`."""
    return ", ".join(
        f"{_number(amount / _GIB)} GiB {slot}" if slot == "mem" else f"{_number(amount)} {slot}"
        for slot, amount in sorted(slots.items())
    )


def _number(amount: Decimal) -> str:
    """In full, with at most two decimals and commas between thousands."""
    if not amount.is_finite():
        return "unlimited"
    text = f"{amount:,.2f}".rstrip("0").rstrip(".")
    return text if amount == 0 or text.strip("-") != "0" else f"{amount:,.4f}".rstrip("0").rstrip(".")


def place_of(want: Want) -> tuple[str, str, str]:
    return want.domain, want.project, want.resource_group


def _is_gpu(slot: str) -> bool:
    return slot not in ("cpu", "mem")


def _beyond(needed: Slots, left: Slots) -> dict[str, Decimal]:
    """What is needed of the slots of which less is left; a slot that isn't listed isn't known."""
    return {slot: amount for slot, amount in needed.items() if amount > 0 and slot in left and amount > left[slot]}
