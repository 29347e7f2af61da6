"""The invariant: what users have in their state keeps working, so module, class and type names never change."""

from __future__ import annotations

import base64

import pytest
from pulumi.dynamic import Resource, ResourceProvider
from pulumi.dynamic.dynamic import serialize_provider

from providers.model_endpoint import ModelEndpoint, ModelEndpointProvider
from providers.stack_identity import StackIdentity, StackIdentityProvider
from providers.vllm_model_session import VLLMModelSession, VLLMModelSessionProvider

FROZEN: list[tuple[ResourceProvider, type[Resource], str, str]] = [
    (
        VLLMModelSessionProvider(),
        VLLMModelSession,
        "providers.vllm_model_session\x94\x8c\x18VLLMModelSessionProvider",
        "dynamic/backendai:VLLMModelSession",
    ),
    (
        ModelEndpointProvider(),
        ModelEndpoint,
        "providers.model_endpoint\x94\x8c\x15ModelEndpointProvider",
        "dynamic/backendai:ModelEndpoint",
    ),
    (
        StackIdentityProvider(),
        StackIdentity,
        "providers.stack_identity\x94\x8c\x15StackIdentityProvider",
        "dynamic/backendai:StackIdentity",
    ),
]


@pytest.mark.parametrize(("provider", "resource", "path", "token"), FROZEN, ids=[token for *_, token in FROZEN])
def test_frozen(provider: ResourceProvider, resource: type[Resource], path: str, token: str) -> None:
    pickled = base64.b64decode(serialize_provider(provider)).decode("latin-1")
    assert path in pickled
    assert len(pickled) < 120, "pickled by reference: the code isn't in the state"
    assert resource._resource_type_name == token
