"""What the emulated cluster holds: users, images and sizes of the real test cluster, same names and keys."""

from decimal import Decimal

from emulator.cluster.models import Image, Policy, Settings, User

TINY = Policy(
    name="tiny",
    slots={"cpu": Decimal(2), "mem": Decimal(2 * 1024**3), "cuda.device": Decimal(1)},
    max_concurrent_sessions=2,
    max_containers_per_session=1,
)
ADMIN = User(
    access_key="AKIABAIADMINAAAAAAAA",
    secret_key="admin-secret-key-000000000000000000000000",
    id="ce6a413c-183f-5b70-ba1b-00ea9723fa79",
    email="admin@example.com",
    superadmin=True,
    policy=Policy(name="default"),
)
LIMITED = User(
    access_key="AKIABAIUSERAAAAAAAAA",
    secret_key="user-secret-key-0000000000000000000000000",
    id="aeb6eb71-4299-56e8-b0d5-57aaed8471cb",
    email="user@example.com",
    superadmin=False,
    policy=TINY,
)
USERS = (ADMIN, LIMITED)

_JUPYTER = ("jupyter", "http", 8091)
IMAGES = (
    Image(
        "cr.backend.ai/stable/python:3.11-ubuntu22.04",
        "87c3425b-74cd-5dec-a919-1c6589318cc4",
        (("ipython", "pty", 3000), _JUPYTER),
    ),
    Image(
        "cr.backend.ai/stable/vllm:0.11-cuda12.8-ubuntu22.04",
        "da602fab-a0e3-5478-8439-1fc6ddabbfe9",
        (_JUPYTER,),
    ),
    Image(
        "cr.backend.ai/stable/vllm:0.32.0-cuda12.9-ubuntu24.04",
        "5d5b8b2e-9a0c-5f0e-8b54-6f3f0b7f3a32",
        (_JUPYTER,),
    ),
)


def capacity(gpu_slot: str = "cuda.device") -> dict[str, Decimal]:
    """One agent; `gpu_slot` is cuda.device (whole cards) or cuda.shares: a cluster serves one of them."""
    return {"cpu": Decimal(32), "mem": Decimal(254929797120), gpu_slot: Decimal(8)}


def settings(gpu_slot: str, load_seconds: float | None, start_seconds: float) -> Settings:
    return Settings(capacity(gpu_slot), load_seconds=load_seconds, start_seconds=start_seconds)
