"""Facts, engines and layouts from a bare config.json, for the tests of memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serving.engine import Engine, engine_of
from serving.estimates import GIB, Range
from serving.gpus import Gpu
from serving.hub_facts import Access, HubFacts, contents_of
from serving.kv_cache import KvLayout, kv_layout
from serving.model_request import ModelRequest

H100 = Gpu("H100-80GB", 79.19, (9, 0))
H200 = Gpu("H200", 139.8007, (9, 0))
A10 = Gpu("A10", 22.07, (8, 6))
T4 = Gpu("T4", 14.56, (7, 5))
A100 = Gpu("A100-80GB", 79.15, (8, 0))


@dataclass(frozen=True)
class GivenWeights:
    """Weights of a known size."""

    per_gpu: Range


def given_weights(gib: float) -> GivenWeights:
    return GivenWeights(Range.exact(gib * GIB))


def facts_of(config: Mapping[str, Any]) -> HubFacts:
    access = Access(repo_id="acme/model", sha="0" * 40, gated=False, private=False, disabled=False)
    return HubFacts(access=access, contents=contents_of(["model.safetensors"], dict(config), None))


def engine(config: Mapping[str, Any], **request: Any) -> Engine:
    """The engine of this config; `request`: fields of ModelRequest, on an H100 where none is named."""
    return engine_of(ModelRequest(name="m", model="acme/model", **({"gpu": H100} | request)), facts_of(config))


def layout(config: Mapping[str, Any], **request: Any) -> KvLayout:
    found = kv_layout(config, engine(config, **request))
    assert found is not None
    return found
