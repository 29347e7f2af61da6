"""Rules on keys, tokens, and on who can reach a model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from .dangers import stems
from .patterns import listed, matches
from .resources import REDACTED, Resource, Violation
from .rule import Found, Limits

_SECRET_NAME = re.compile(r"(?:^|_)(?:TOKEN|API_?KEY|KEY|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$", re.IGNORECASE)
_URL_WITH_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#:@]*:[^\s/?#@]+@", re.IGNORECASE)
_SECRETS = ("api_key", "hf_token")
_SETTING = "Give it as hf_token or api_key, encrypted: pulumi config set --secret --path 'models[0].hf_token' VALUE."
_MOUNTED = "Put it into a file of a folder that `mounts` brings into the session, or name the variable in allow."
_OF_OTHERS = re.compile(r"PASSW(?:OR)?D|CREDENTIALS?|(?:^|_)(?:URL|URI|DSN)$", re.IGNORECASE)
_PUBLIC = ("public", "open_to_public", "public_access", "expose_publicly")


def api_key(session: Resource, limits: Limits) -> Found:
    key, least = session.text("api_key"), limits["min_length"]
    limit = f"a key of {least} characters or more is required (min_length)"
    cure = "Leave api_key out, and one is made; or encrypt a longer one: pulumi config set --secret."
    if not key.strip():
        yield Violation("api_key isn't set: everybody who reaches the port can use the model", limit, cure)
    elif key != REDACTED and len(key) < least:
        yield Violation(f"api_key has {len(key)} characters", limit, cure)
    if key and key != REDACTED and key == session.text("hf_token"):
        yield Violation("api_key is the Hub token", "a key has one use", cure)


def secrets(session: Resource, limits: Limits) -> Found:
    limit = "a secret must be one of the encrypted settings"
    for place, name in _plain_secrets(session):
        if not (place == "env" and matches(name, limits["allow"])):
            where = place if place == name else f"{place} ({name})"
            cure = f"Remove it there. {_SETTING if _is_ours(place, name) else _MOUNTED}"
            yield Violation(f"{where} holds a token or key in clear", limit, cure)
    for key in _SECRETS:
        if session.secret_outputs is not None and session.props.get(key) and key not in session.secret_outputs:
            cure = "Declare the model with VLLMModelSession or ModelServingStack, which encrypt it."
            yield Violation(f"{key} is kept in clear in the state", limit, cure)
    session.require_known("env", "extra_args")


def _is_ours(place: str, name: str) -> bool:
    """Whether hf_token or api_key could be meant; a password of another service has no setting."""
    return place != "env" or _OF_OTHERS.search(name) is None


def _plain_secrets(session: Resource) -> Iterator[tuple[str, str]]:
    """The places where a secret stands in clear: setting, and which part of it; never the value."""
    from serving.values import has_secret

    own = [v for key in _SECRETS if isinstance(v := session.props.get(key), str) and v and v != REDACTED]

    def is_secret(text: str) -> bool:
        return has_secret(text) or _URL_WITH_PASSWORD.search(text) is not None or any(secret in text for secret in own)

    for name, value in session.items("env"):
        if is_secret(value) or (value and _SECRET_NAME.search(name)):
            yield "env", name
    words = session.words("extra_args")
    if any(is_secret(word) for word in words) or {"api_key", "hf_token"} & stems(words).keys():
        yield "extra_args", "extra_args"
    for key, value in session.props.items():
        texts = list(value.items()) if isinstance(value, Mapping) else [(key, value)]
        if key not in (*_SECRETS, "env", "extra_args", "startup_command", "__provider") and any(
            isinstance(text, str) and is_secret(text) for pair in texts for text in pair
        ):
            yield key, key


def public_exposure(resource: Resource, limits: Limits) -> Found:
    limit, allowed = f"allowed for {listed(limits['allow'])} (allow)", matches(resource.name, limits["allow"])
    for key in _PUBLIC:
        if resource.flag(key) and not allowed:
            what = f"{key} is true: everybody on the network could use the model"
            yield Violation(what, limit, f"Remove {key}; clients come through the app-proxy with its cookie.")
    origins = stems(resource.words("extra_args")).get("allowed_origins", frozenset())
    if any("*" in origin for origin in origins) and not allowed:
        what = "extra_args has --allowed-origins with *: any web page could use the model"
        yield Violation(what, limit, "Name the origins, or remove --allowed-origins.")
    resource.require_known("extra_args")
