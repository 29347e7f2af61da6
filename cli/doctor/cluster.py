"""The cluster: endpoint, version, clock, key pair; then image, quota and room, which need the key pair."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from cli.cures import command_for, cure_of, cure_of_error
from cli.stack import connection

from .check import Check, fail, ok, warn
from .here import Configured

if TYPE_CHECKING:
    from backendai import Connection, Reader

KNOWN_MANAGER = "26.9"  # the release that the program is tested with
REQUEST_SECONDS = 5.0
_MOST_SKEW, _SOME_SKEW = 900.0, 60.0  # seconds: what the cluster refuses, and what deserves a word
_HOST = ("cpu", "mem")
_SET_CLOCK = "Set this machine's clock: `sudo timedatectl set-ntp true`."


def credentials(configured: Configured) -> tuple[Connection | None, Check]:
    """Whether there are any, and whose they are."""
    from backendai import errors

    try:
        found = connection(configured.stack)
    except errors.ClusterError as error:
        return None, fail("credentials", error.what, cure_of_error(error))
    return found, ok("credentials", f"access key {found.access_key[:6]}…, domain {found.domain}")


async def endpoint(found: Connection) -> list[Check]:
    """An unsigned request tells version and clock, whoever asks."""
    try:
        said, date, sent, back = await asyncio.to_thread(_hello, found.endpoint)
    except urllib.error.HTTPError as error:
        cure = "Set BACKEND_ENDPOINT to the manager's API address, without a path behind it."
        return [fail("endpoint", f"{found.endpoint} answers {error.code} to a greeting.", cure)]
    except ValueError:
        cure = "Set BACKEND_ENDPOINT to the manager's API address: something else answers there."
        return [fail("endpoint", f"{found.endpoint} isn't a Backend.AI manager.", cure)]
    except OSError as error:
        why = getattr(error, "reason", None) or error
        cure = f"Check BACKEND_ENDPOINT, the network and a VPN; `curl {found.endpoint}/` must answer."
        return [fail("endpoint", f"Nothing answers at {found.endpoint} ({why}).", cure)]
    return [
        ok("endpoint", f"{found.endpoint}, {(back - sent) * 1000:.0f} ms"),
        _version(said),
        _clock(date, sent, back),
    ]


def _hello(address: str) -> tuple[dict[str, str], str | None, float, float]:
    sent = time.time()
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # as all that asks the cluster
    with direct.open(f"{address}/", timeout=REQUEST_SECONDS) as answer:
        said = json.loads(answer.read())
        date = answer.headers.get("Date")
    if not isinstance(said, dict) or "manager" not in said:
        raise ValueError
    return said, date, sent, time.time()


def _version(said: dict[str, str]) -> Check:
    manager = str(said["manager"])
    if manager.startswith(f"{KNOWN_MANAGER}."):
        return ok("version", f"manager {manager}, API {said.get('version', '?')}")
    what = f"Manager {manager}: this program is tested with {KNOWN_MANAGER}, others may answer otherwise."
    return warn("version", what, "Look at what `bai-vllm list` and `pulumi preview` say before you rely on it.")


def _clock(date: str | None, sent: float, back: float) -> Check:
    """The header has whole seconds, and was written between sending and answering."""
    try:
        theirs = parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return warn("clock", "The cluster doesn't say what time it is.")
    skew = max(0.0, theirs - back, sent - theirs - 1.0)
    what = f"{skew:.0f} s {'behind' if theirs > back else 'ahead of'} the cluster's"
    if skew >= _MOST_SKEW:
        return fail("clock", f"{what}: it refuses what is signed {_MOST_SKEW / 60:.0f} minutes off.", _SET_CLOCK)
    if skew >= _SOME_SKEW:
        return warn("clock", f"{what}.", _SET_CLOCK)
    return ok("clock", "less than a minute off" if skew else "as the cluster's")


async def key_pair(reader: Reader) -> Check:
    """A signed request that everybody may make."""
    from backendai import errors
    from backendai.listing import list_sessions

    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            living = await list_sessions(reader)
    except errors.ClusterError as error:
        return fail("key pair", error.what, cure_of_error(error))
    except TimeoutError:
        return fail("key pair", f"No answer within {REQUEST_SECONDS:.0f} s.", "Check the network; run it again.")
    return ok("key pair", f"accepted; living sessions of this program: {len(living)}")


async def room(reader: Reader, configured: Configured) -> list[Check]:
    """Image, folders, quota and free slots, for all that the stack file asks for and that doesn't live yet."""
    from backendai import errors, look

    settings = configured.stack.cluster_settings if configured.stack else {}
    group, project = str(settings.get("resource_group") or "default"), str(settings.get("project") or "default")
    checks = [await _free(reader, project, group)]
    if not configured.models:
        return [*checks, warn("image", "Not checked: no stack with models is selected.")]
    try:
        from components.room import wants_of

        stack_id = configured.stack.stack_id if configured.stack else None
        wants = list(wants_of(configured.models, stack_id))
        capacity = await look(reader, wants)
    except errors.ClusterError as error:
        return [*checks, fail("image", error.what, cure_of_error(error))]
    checks += [
        fail(
            "image",
            f"The cluster doesn't know {image}.",
            "Set cluster.image to one that `backend.ai image list` shows.",
        )
        for image in sorted(capacity.no_images)
    ]
    images = sorted({want.image for want in wants} - capacity.no_images)
    unknown = [what for what in capacity.unknown if "image" in what]
    checks += [warn("image", f"Not checked: {what}.") for what in unknown]
    if images and not unknown:
        checks.append(ok("image", ", ".join(images)))
    short = [s for s in capacity.shortfalls(wants) if "doesn't know the image" not in s.what]
    checks += [
        (warn if s.passes else fail)("room", f"{', '.join(s.names)}: {s.what}", cure_of(s.cure, "no-room"))
        for s in short
    ]
    new = sum(1 for want in wants if capacity.more(want))
    if not short:
        checks.append(
            ok("room", f"what isn't there yet fits (sessions: {new})" if new else "all sessions of the stack file live")
        )
    checks += [warn("room", f"Not checked: {what}.") for what in capacity.unknown if what not in unknown]
    return checks


async def _free(reader: Reader, project: str, group: str) -> Check:
    from backendai import errors
    from backendai.capacity import amounts
    from backendai.listing import room as room_of

    try:
        found = await room_of(reader, project, group)
    except errors.NotFound as error:
        cure = "Set cluster.project and cluster.resource_group to ones that you may use."
        return fail("quota", error.what, cure)
    except errors.ClusterError as error:
        return fail("quota", error.what, cure_of_error(error))
    if not found.free:
        return warn("quota", f"The cluster doesn't say what resource group {group} has free.")
    left = {slot: min(n, found.quota_left.get(slot, n)) for slot, n in found.free.items()}
    left = {slot: n for slot, n in left.items() if n} or left
    gpus = {slot: n for slot, n in left.items() if slot not in _HOST}
    if not any(gpus.values()):
        return warn("quota", f"Resource group {group} has no GPU free for this key pair.", command_for("no-room"))
    return ok("quota", f"free in resource group {group}: {amounts(left)}")
