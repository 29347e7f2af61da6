"""Rules on where code and weights come from."""

from __future__ import annotations

import re

from . import lookups
from .dangers import FLAGS, VALUES, VARIABLES, stems
from .patterns import listed, matches
from .resources import Resource, Violation
from .rule import Found, Limits

_SHA = re.compile(r"[0-9a-f]{40}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_FULL_TAG = re.compile(r"(?:.*[^0-9.])?\d+\.\d+\.\d+(?:[^0-9].*)?")
_MOVING = re.compile(r"latest|nightly|main|master|dev|edge|stable", re.IGNORECASE)


def image(session: Resource, limits: Limits) -> Found:
    ref = session.text("image")
    named, _, digest = ref.partition("@")
    path, _, tag = named.rpartition("/")[2].partition(":")
    first = named.split("/")[0]
    registry = first if "/" in named and ("." in first or ":" in first or first == "localhost") else "docker.io"
    full = named.rpartition("/")[0] + "/" + path
    if not matches(registry, limits["registries"]) and not matches(full, limits["registries"]):
        limit = f"allowed are {listed(limits['registries'])} (registries)"
        yield Violation(f"image {ref} comes from {registry}", limit, "Use an image of an allowed registry.")
    if _DIGEST.fullmatch(digest):
        return
    if limits["require_digest"]:
        cure = f"Write {named}@sha256:... as `docker buildx imagetools inspect {named}` shows it."
        yield Violation(f"image {ref} has no digest", "a digest is required (require_digest)", cure)
    elif not _FULL_TAG.fullmatch(tag) or _MOVING.fullmatch(tag):
        cure = "Write a tag with a whole version such as vllm:0.32.0-cuda12.9-ubuntu24.04, or a digest."
        yield Violation(f"image {ref} isn't pinned", "a tag must hold x.y.z, or there must be a digest", cure)


def revision(session: Resource, _limits: Limits) -> Found:
    if session.is_folder:
        return
    given = session.text("revision")
    if not _SHA.fullmatch(given):
        now = lookups.known_commit(session)
        is_now = f"Set revision: {now} (what {given or 'its default branch'} is now)."
        cure = is_now if now else "Set revision to the commit's 40 digits (Files, History on the model's page)."
        what = f"revision is {given}" if given else "revision isn't set"
        yield Violation(what, "it must be a commit: a branch can be another model tomorrow", cure)


def trust_remote_code(session: Resource, limits: Limits) -> Found:
    model = session.text("model")
    in_args = "trust_remote_code" in stems(session.words("extra_args"))
    if (session.flag("trust_remote_code") or in_args) and not matches(model, limits["allow"]):
        limit = f"it is allowed for {listed(limits['allow'])} (allow)"
        cure = f"Set it to false, use a model that vLLM knows by itself, or have {model} checked and put into allow."
        yield Violation("trust_remote_code is true: the repository's own code would run", limit, cure)
    session.require_known("extra_args")


def dangerous_arguments(session: Resource, limits: Limits) -> Found:
    allowed = limits["allow"]
    words = session.words("extra_args")
    values = stems(words)
    for dest, why in FLAGS.items():
        flag = "--" + dest.replace("_", "-")
        bad = VALUES.get(dest)
        if dest in values and (bad is None or bad & values[dest]) and not matches(flag, allowed):
            shown = f"extra_args has {flag}" + (f"={'/'.join(sorted(bad & values[dest]))}" if bad else "")
            yield Violation(f"{shown}, which {why}", f"allowed are {listed(allowed)} (allow)", f"Remove {flag}.")
    for name, value in session.items("env"):
        row = VARIABLES.get(name.upper())
        if row and not (row.is_switch and value.lower() in ("", "0", "false")) and not matches(name, allowed):
            what = f"env has {name}, which {row.why}"
            yield Violation(what, f"allowed are {listed(allowed)} (allow)", f"Remove {name} from env.")
    session.require_known("extra_args", "env")


def organisations(session: Resource, limits: Limits) -> Found:
    model = session.text("model")
    if session.is_folder:
        if not limits["allow_folders"]:
            what = f"model is {model}, a folder of the session"
            yield Violation(what, "only models of the Hub are allowed (allow_folders)", "Name a repository.")
        return
    names = (model, model.split("/")[0])
    if any(matches(name, limits["deny"]) for name in names):
        limit = f"denied are {listed(limits['deny'])} (deny)"
        yield Violation(f"model is {model}", limit, "Use a model of another organisation.")
    elif not any(matches(name, limits["allow"]) for name in names):
        limit = f"allowed are {listed(limits['allow'])} (allow)"
        yield Violation(f"model is {model}", limit, "Use a model of one of them, or have it added to allow.")


def licences(session: Resource, limits: Limits) -> Found:
    allow, deny = limits["allow"], limits["deny"]
    if session.is_folder or ("*" in allow and not deny):
        return
    model, (licence, why) = session.text("model"), lookups.licence(session)
    if licence is None:
        limit = f"allowed are {listed(allow)} (allow), denied {listed(deny)} (deny)"
        yield Violation(f"the licence of {model} isn't known ({why})", limit, "Use a model whose card names one.")
    elif matches(licence, deny) or not matches(licence, allow):
        limit = (
            f"denied are {listed(deny)} (deny)" if matches(licence, deny) else f"allowed are {listed(allow)} (allow)"
        )
        yield Violation(f"the licence of {model} is {licence}", limit, "Use a model with another licence.")
