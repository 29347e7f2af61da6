"""The stack file as typed objects: what a user can say, and nothing else."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from providers import fields

_CLOSED = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

ModelName = fields.ModelName


class ClusterSettings(BaseModel):
    """Where the models run.  `endpoint` may come from BACKEND_ENDPOINT instead, which wins."""

    model_config = _CLOSED

    endpoint: fields.Text | None = None
    ca_file: fields.Text | None = None  # authorities to trust beside the system's; BACKEND_CA_FILE wins
    insecure: bool = False  # verifies no certificate, and says so; BACKEND_INSECURE wins
    domain: fields.Text = "default"
    project: fields.Text = "default"
    resource_group: fields.Text = "default"
    image: fields.Text  # no vLLM image is known to be in every cluster
    vllm_version: fields.Text | None = None  # where the image's name doesn't tell
    gpu: fields.Text | None = None  # the card's name, such as A100-80GB
    gpu_memory_gib: fields.Gib | None = None  # for a card without a name that is known
    compute_capability: fields.Capability | None = None
    gpu_unit: fields.GpuUnit = "cuda.device"
    model_cache: fields.Text | None = None  # a folder that is mounted as the Hub cache
    allow_queueing: bool = False  # whether `up` creates sessions that have to wait for room


class ModelSettings(BaseModel):
    """One model.  What isn't set comes from the preset, and without one from the defaults in resolution.py."""

    model_config = _CLOSED

    name: ModelName
    model: fields.Text | None = None
    revision: fields.Text | None = None
    preset: Literal["auto", "7b", "13b", "70b"] = "auto"
    quantization: fields.Text | None = None
    gpus: fields.Gpus | None = None
    cpu: fields.Count | None = None
    memory: fields.Size | None = None
    shmem: fields.Size | None = None
    tensor_parallel_size: fields.Count | None = None
    max_model_len: fields.MaxModelLen | None = None
    dtype: fields.Text = "auto"
    kv_cache_dtype: fields.Text | None = None
    gpu_memory_utilization: fields.Share | None = None
    trust_remote_code: bool = False
    max_num_seqs: fields.Count | None = None
    max_num_batched_tokens: fields.Count | None = None
    enforce_eager: bool = False
    served_model_name: fields.Text | None = None
    port: fields.Port = 8000
    env: fields.Environment = Field(default_factory=dict)
    extra_args: tuple[str, ...] = ()
    mounts: fields.Mounts = Field(default_factory=dict)
    model_cache: fields.Text | None = None  # "none": not even the cluster's
    gpu: fields.Text | None = None
    gpu_memory_gib: fields.Gib | None = None
    compute_capability: fields.Capability | None = None
    allow_unverified: bool = False
    max_lifetime: fields.Lifetime | None = None  # seconds from its start; nothing: until it is ended
    replicas: Annotated[fields.Whole, Field(ge=0, le=64)] = 1
    wait: bool = True
    ready_timeout: fields.Seconds = 1800.0
    session_name: fields.SessionName | None = None
    image: fields.Text | None = None
    vllm_version: fields.Text | None = None
    resource_group: fields.Text | None = None
    hf_token: fields.Text | None = Field(default=None, repr=False)
    api_key: fields.ApiKey | None = Field(default=None, repr=False)


class StackSettings(BaseModel):
    """A whole stack file.  `models` has an entry per model of the file, None for one that can't be read."""

    model_config = _CLOSED

    cluster: ClusterSettings
    models: tuple[ModelSettings | None, ...] = ()
    hf_token: fields.Text | None = Field(default=None, repr=False)
