"""The Hub: the way there, the token, and for each model of the stack whether it may be read; and vLLM's version."""

from __future__ import annotations

import asyncio
import json
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cli.cures import cure_of

from .check import Check, Level, fail, ok, warn
from .here import Configured

if TYPE_CHECKING:
    from components.resolution import ResolvedModel

REQUEST_SECONDS = 4.0
DEADLINE = 5.0
_UNAUTHORIZED = 401
_SERVER_ERRORS = 500
_SET_TOKEN = "`export HF_TOKEN=...`, or `pulumi config set --secret backendai-vllm:hf_token`."


async def token(configured: Configured) -> list[Check]:
    """Whether the Hub answers, and whose the token is."""
    from components.resolution import TOKEN_VARIABLES
    from serving.hub import endpoint_from_environment

    found = next((os.environ[v] for v in TOKEN_VARIABLES if os.environ.get(v)), None)
    value = configured.hf_token or found
    where = endpoint_from_environment()
    try:
        status, name = await asyncio.to_thread(_who, where, value)
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", None) or type(error).__name__
        cure = "Check the network, a proxy (HTTPS_PROXY) and HF_ENDPOINT."
        return [fail("hub", f"Nothing answers at {where} ({why}).", cure)]
    if status >= _SERVER_ERRORS:
        return [fail("hub", f"{where} answers {status}.", "Try again later, or set HF_ENDPOINT to a mirror.")]
    reached = ok("hub", where)
    if not value:
        return [reached, warn("hub token", "There is none: fine for public models, not for gated ones.", _SET_TOKEN)]
    source = "the stack's hf_token" if configured.hf_token else "the environment"
    if status == _UNAUTHORIZED:
        what = f"The Hub doesn't know the token of {source}."
        return [reached, fail("hub token", what, f"Make one at {where}/settings/tokens, then {_SET_TOKEN}")]
    return [reached, ok("hub token", f"{name or 'accepted'}, from {source}")]


def _who(where: str, value: str | None) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {value}"} if value else {}
    request = urllib.request.Request(f"{where}/api/whoami-v2", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as answer:
            said = json.loads(answer.read())
            return answer.status, str(said.get("name") or "") if isinstance(said, dict) else ""
    except urllib.error.HTTPError as error:
        return error.code, ""


async def models(configured: Configured) -> list[Check]:
    """Whether each may be read, with the token that it will be started with."""
    asked: dict[tuple[str, str | None, str | None], list[ResolvedModel]] = {}
    for model in configured.models:
        asked.setdefault((model.inputs["model"], model.inputs.get("revision"), model.hf_token), []).append(model)
    return list(await asyncio.gather(*(asyncio.to_thread(_model, models) for models in asked.values())))


def _model(models: Sequence[ResolvedModel]) -> Check:
    """Several that are the same on the Hub."""
    from serving.errors import HubUnreachable, ServingError
    from serving.hub import fetch

    model, names = models[0], ", ".join(each.name for each in models)
    repo = str(model.inputs["model"])
    if repo.startswith("/"):
        return ok("model", f"{names}: {repo} is a folder of the session")
    try:
        facts = fetch(repo, model.inputs.get("revision"), model.hf_token, timeout=REQUEST_SECONDS, deadline=DEADLINE)
    except HubUnreachable as error:
        return warn("model", f"{names}: {error.what}", error.cure)
    except ServingError as error:
        return fail("model", f"{names}: {error.what}", cure_of(error.cure, error.code, name=model.name, model=repo))
    closed = "gated, and open to this token" if facts.gated else "private" if facts.access.private else "open"
    return ok("model", f"{names}: {repo} is {closed}")


def vllm(configured: Configured) -> list[Check]:
    """Whether the release is known: flags and memory are judged by it."""
    from serving import vllm_version_of_image
    from serving.errors import ServingError
    from serving.flags import table
    from serving.versions import minor

    checks: dict[str, Check] = {}
    for model in configured.models:
        image = str(model.inputs["image"])
        version = model.inputs.get("vllm_version") or vllm_version_of_image(image)
        if version is None:
            what = f"Its release can't be told from {image}: {table().version} is assumed."
            checks[image] = warn("vllm", what, "Set cluster.vllm_version to what `vllm --version` says in the image.")
            continue
        try:
            newer = minor(str(version)) > table().minor
        except ServingError as error:
            checks[image] = Check("vllm", Level.FAIL, error.what, error.cure)
            continue
        what = f"{version}, newer than the newest known one ({table().version})" if newer else str(version)
        checks[image] = warn("vllm", what) if newer else ok("vllm", what)
    return list(checks.values())
