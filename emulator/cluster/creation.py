"""POST /session: what is refused, in the order in which the manager refuses it, and what is filled in.

request schema -> config schema -> owner -> project -> image -> mounts -> slots -> existing name ->
type's own rules -> resource group -> containers -> ports -> image minimum. The two schemas are pydantic
models with the manager's field names, so that its error texts come out the same.
"""

import time
import uuid
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any

from pydantic import BaseModel, Field, ValidationError, field_validator

from emulator.cluster import exceptions as errors
from emulator.cluster.models import MIB, Cluster, Image, Session, User

RESERVED_PORTS = (2000, 2001, 2200, 7681)
DEFAULT_SHMEM = 64 * MIB
MAX_TAG = 64  # characters; the database column's width, checked by nobody before it
UNITS = {"b": 1, "k": 1024, "m": MIB, "g": 1024 * MIB, "t": 1024 * 1024 * MIB}
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class SessionTypes(Enum):
    INTERACTIVE = "interactive"
    BATCH = "batch"
    INFERENCE = "inference"
    SYSTEM = "system"


class ClusterMode(Enum):
    SINGLE_NODE = "single-node"
    MULTI_NODE = "multi-node"


class CreateFromParamsRequest(BaseModel):
    session_name: str
    priority: int = Field(default=10, ge=0, le=100)
    image: str
    architecture: str | None = None
    type: SessionTypes = SessionTypes.INTERACTIVE
    group: str = "default"
    domain: str = "default"
    cluster_size: int = Field(default=1, ge=1)
    cluster_mode: ClusterMode = ClusterMode.SINGLE_NODE
    config: dict[str, Any] = Field(default_factory=dict)
    tag: str | None = None
    enqueue_only: bool = False
    max_wait_seconds: int = Field(default=0, ge=0)
    starts_at: str | None = None
    batch_timeout: str | int | None = None
    reuse: bool = True
    startup_command: str | None = None
    bootstrap_script: str | None = None
    callback_url: str | None = None
    owner_access_key: str | None = None


# The names on the wire of what is called otherwise above and below.
ALIASES = {
    "name": "session_name",
    "clusterSize": "cluster_size",
    "clusterMode": "cluster_mode",
    "enqueueOnly": "enqueue_only",
    "maxWaitSeconds": "max_wait_seconds",
    "reuseIfExists": "reuse",
    "startupCommand": "startup_command",
    "scalingGroup": "scaling_group",
}


class ResourceOpts(BaseModel):
    shmem: int | None = None

    @field_validator("shmem", mode="before")
    @classmethod
    def _size(cls, value: Any) -> Any:
        try:
            return None if value is None else size(value)
        except InvalidOperation:
            raise ValueError("Unconvertible value", value, "b") from None


class CreationConfigV7(BaseModel):
    mounts: list[str] | None = None
    mount_map: dict[str, str] | None = None
    mount_ids: list[uuid.UUID] | None = None
    environ: dict[str, str] | None = None
    scaling_group: str | None = None
    resources: dict[str, object] | None = None
    resource_opts: ResourceOpts | None = None
    preopen_ports: list[int] | None = None
    attach_network: uuid.UUID | None = None


def create(cluster: Cluster, user: User, body: Any) -> tuple[Session, bool, str]:
    """The session, whether it is new, and the status to answer: after waiting when the body says so."""
    asked, config = _parsed(body)
    user = _owner(cluster, user, asked.owner_access_key)
    if (asked.group, asked.domain) != ("default", "default"):
        raise errors.ProjectNotFound
    image = cluster.images.get(asked.image)
    if image is None or asked.architecture not in (None, "x86_64"):
        raise errors.ImageNotFound(f"Unknown image reference: {asked.image} ({asked.architecture or 'x86_64'})")
    _check_mounts(cluster, config)
    resources = _slots(cluster, config.resources or {})
    existing = cluster.by_name(user, asked.session_name)
    if existing is not None:
        if not asked.reuse or existing.image != image:
            raise errors.SessionAlreadyExists(data={"existingSessionId": existing.id})
        return existing, False, existing.status
    _check_type(asked)
    _check_rest(user, image, asked, config)
    shmem = config.resource_opts.shmem if config.resource_opts else None
    shmem = DEFAULT_SHMEM if shmem is None else shmem
    session = Session(
        name=asked.session_name,
        user=user,
        image=image,
        type=asked.type.value,
        resources=_with_minimum(cluster, image, resources, shmem),
        shmem=shmem,
        command=asked.startup_command,
        environ=config.environ or {},
        ports=tuple(config.preopen_ports or ()),
        mounts={name: (config.mount_map or {}).get(name) or name for name in config.mounts or ()},
        tag=asked.tag,
        priority=asked.priority,
        bootstrap_script=asked.bootstrap_script,
        callback_url=asked.callback_url,
        batch_timeout=_seconds(asked.batch_timeout),
        created_at=cluster.now(),
        due=time.monotonic() + cluster.settings.tick,
    )
    time.sleep(cluster.settings.create_latency)  # others may create one of this name meanwhile: 409
    cluster.add(session)
    return (
        session,
        True,
        session.status if asked.enqueue_only else _wait(cluster, session, asked.max_wait_seconds),
    )


def size(value: Any) -> int:
    """Bytes of "16g" or 1024. Raises decimal.InvalidOperation."""
    text = str(value).strip().lower()
    if text[-1:] in UNITS:
        return int(Decimal(text[:-1]) * UNITS[text[-1]])
    return int(Decimal(text))


def _parsed(body: Any) -> tuple[CreateFromParamsRequest, CreationConfigV7]:
    asked = parse(CreateFromParamsRequest, _renamed(body))
    try:
        return asked, CreationConfigV7.model_validate(_renamed(asked.config))
    except ValidationError as error:
        text = "".join(_schema_text(error))
        raise errors.InvalidParameters("Input validation error", {"config": text}) from None


def _renamed(body: Any) -> Any:
    return {ALIASES.get(key, key): value for key, value in body.items()} if isinstance(body, dict) else body


def parse[T: BaseModel](model: type[T], body: Any) -> T:
    """The body as this model; InvalidRequest (400) with the manager's text."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        text, data = _schema_text(error)
        raise errors.InvalidRequest(f"<BackendAISchemaValidationFailed(400): {text}>{data}") from None


def _schema_text(error: ValidationError) -> tuple[str, str]:
    details = error.errors(include_input=False, include_context=False)
    return f"Schema validation failed. ({error})", f"\n -> extra_data: {{'errors': {details}}}"


def _owner(cluster: Cluster, user: User, access_key: str | None) -> User:
    if access_key is None or access_key == user.access_key:
        return user
    if not user.superadmin:
        raise errors.Forbidden("Only admins can perform operations on behalf of other users.")
    if access_key not in cluster.users:
        raise errors.InvalidRequest("Unknown owner access key")
    return cluster.users[access_key]


def _check_mounts(cluster: Cluster, config: CreationConfigV7) -> None:
    unknown = [name for name in config.mounts or () if name.split("/")[0] not in cluster.settings.vfolders]
    unknown += [str(folder) for folder in config.mount_ids or ()]
    if unknown:
        raise errors.VFolderNotFound(data=unknown[:1])


def _slots(cluster: Cluster, asked: dict[str, object]) -> dict[str, Decimal]:
    for slot in asked:
        if slot not in cluster.settings.capacity:
            raise errors.UnknownSlot(f"Unknown slot type: '{slot}'")
    slots = {}
    for slot, value in asked.items():
        try:
            slots[slot] = Decimal(size(value)) if slot == "mem" else Decimal(str(value))
        except InvalidOperation:
            raise errors.InvalidParameters(
                f"Invalid resource allocation: Cannot convert the slot '{slot}' to decimal: '{value}'"
            ) from None
        if slots[slot] < 0:
            raise errors.InvalidQuantity(f"Resource slot '{slot}' cannot be negative: {value}")
    return slots


def _check_type(asked: CreateFromParamsRequest) -> None:
    batch = asked.type is SessionTypes.BATCH
    for name in ("starts_at", "batch_timeout"):
        if getattr(asked, name) is not None and not batch:
            raise errors.InvalidParameters(f"Parameter {name} should be used only for batch sessions")
    if batch and not asked.startup_command:
        raise errors.InvalidParameters("Batch sessions must have a non-empty startup command.")
    if asked.type is SessionTypes.INFERENCE:
        raise errors.InvalidParameters("Inference session requires at least one vfolder with usage_mode=MODEL.")


def _check_rest(user: User, image: Image, asked: CreateFromParamsRequest, config: CreationConfigV7) -> None:
    if config.scaling_group not in (None, "default"):
        raise errors.ResourceGroupNotFound(config.scaling_group)
    limit = user.policy.max_containers_per_session
    if limit is not None and asked.cluster_size > limit:
        raise errors.QuotaExceeded(
            f"Session requests {asked.cluster_size} kernels, "
            f"exceeding the keypair limit of {limit} containers per session."
        )
    if config.attach_network is not None or len(asked.tag or "") > MAX_TAG:
        raise errors.InternalError
    own = [port for _, _, port in image.service_ports]
    reserved = f"reserved ports ({list(RESERVED_PORTS)})"
    declared = "ports declared by the image's service metadata"
    for kind, taken in ((reserved, RESERVED_PORTS), (declared, own)):
        if clash := [port for port in config.preopen_ports or () if port in taken]:
            raise errors.InvalidParameters(f"kernel_specs[0] preopen_ports {clash} collide with {kind}.")


def _with_minimum(cluster: Cluster, image: Image, slots: dict[str, Decimal], shmem: int) -> dict[str, Decimal]:
    """What isn't asked for, or asked for as 0, is the image's minimum; less than that is refused."""
    minimum = {"cpu": Decimal(image.min_cpu), "mem": Decimal(image.min_mem + shmem)}
    filled = {**slots, **{slot: slots.get(slot) or least for slot, least in minimum.items()}}
    if any(filled[slot] < least for slot, least in minimum.items()):
        mem = image.min_mem + shmem
        text = f"{mem // MIB}m" if mem < 1024 * MIB else f"{mem / 1024 / MIB:.3g}g"
        raise errors.InvalidParameters(
            "kernel_specs[0] resource request is smaller than the image minimum "
            f"(cpu={image.min_cpu} cuda.device=0 cuda.shares=0 mem={text})."
        )
    return {slot: filled[slot] for slot in sorted(filled) if filled[slot]}


def _seconds(value: str | int | None) -> float | None:
    if isinstance(value, str) and value[-1:] in SECONDS:
        return float(value[:-1]) * SECONDS[value[-1]]
    return None if value is None else float(value)


def _wait(cluster: Cluster, session: Session, seconds: int) -> str:
    started = {"RUNNING", "TERMINATING", "TERMINATED", "CANCELLED", "ERROR"}
    with cluster.changed:
        over = cluster.changed.wait_for(lambda: session.status in started or cluster.closed, seconds or None)
    return session.status if over else "TIMEOUT"
