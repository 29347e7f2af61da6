"""StackIdentity: the randomness of a stack, in the state before anything is created on the cluster.

Session names and api keys are derived from it.  A name or key that was drawn where the session is created would be
forgotten by a run that is killed there, and its session with it.  This resource touches no cluster: when it is lost
before it is in the state, nothing else exists yet.

The module's and the provider's name are in every user's state: they never change.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider

SUFFIX_DIGITS = 6
STACK_ID_BYTES, KEY_SEED_BYTES = 6, 32
NAME_LENGTH = 64  # characters that Backend.AI allows


class StackIdentityProvider(ResourceProvider):
    """Draws once; never changes."""

    serialize_as_secret_always = False

    def create(self, props: dict[str, Any]) -> CreateResult:
        stack_id = secrets.token_hex(STACK_ID_BYTES)
        return CreateResult(stack_id, {"stack_id": stack_id, "key_seed": secrets.token_hex(KEY_SEED_BYTES)})

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        return DiffResult(changes=False)


class StackIdentity(Resource, module="backendai", name="StackIdentity"):
    """`stack_id` marks the stack's sessions on the cluster; `key_seed` is secret."""

    stack_id: pulumi.Output[str]
    key_seed: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        secret = pulumi.ResourceOptions(additional_secret_outputs=["key_seed"], hide_diffs=["__provider"])
        super().__init__(
            StackIdentityProvider(),
            name,
            {"stack_id": None, "key_seed": None},
            pulumi.ResourceOptions.merge(secret, opts),
        )

    def owner(self, name: str) -> pulumi.Output[str]:
        """What marks the sessions of the resource `name` of this stack on the cluster."""
        return self.stack_id.apply(lambda seed: owner(seed, name))

    def session_name(self, name: str) -> pulumi.Output[str]:
        """`name` with a suffix that no other stack has, within Backend.AI's length."""
        return self.stack_id.apply(lambda seed: session_name(seed, name))

    def api_key(self, name: str) -> pulumi.Output[str]:
        """A key for the model `name`, a secret."""
        key: pulumi.Output[str] = self.key_seed.apply(lambda seed: api_key(seed, name))
        return pulumi.Output.secret(key)


def owner(stack_id: str, name: str) -> str:
    """`6a0b...` and `chat` -> `6a0b....3f9a1c`: the stack, and which of its resources."""
    return f"{stack_id}.{_suffix(stack_id, name)}"


def session_name(stack_id: str, name: str) -> str:
    """`chat` -> `chat-3f9a1c`: the same for the same stack and name, another for another."""
    return f"{name[: NAME_LENGTH - SUFFIX_DIGITS - 1]}-{_suffix(stack_id, name)}"


def _suffix(stack_id: str, name: str) -> str:
    return hmac.new(stack_id.encode(), name.encode(), hashlib.sha256).hexdigest()[:SUFFIX_DIGITS]


def api_key(key_seed: str, name: str) -> str:
    """`sk-` and 32 characters (192 bits) derived from the seed."""
    digest = hmac.new(key_seed.encode(), name.encode(), hashlib.sha256).digest()[:24]
    return "sk-" + base64.urlsafe_b64encode(digest).decode()
