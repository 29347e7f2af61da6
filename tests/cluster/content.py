"""What the cluster holds from the start: the emulator's users, images, policies and folders, same names, keys and ids.

One list for both, so that one conformance suite can ask both the same questions.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from emulator.cluster import fixtures
from emulator.cluster.models import PROJECT_ID, RESOURCE_GROUP_ID, Image, Policy, Settings, User
from tests.cluster.ports import LOOPBACK, Port

APP_PROXY_TOKEN = "test-app-proxy-token"
FOLDERS = Settings(fixtures.capacity()).vfolders
UNLIMITED = 30  # concurrent sessions of a policy without that limit
MODEL_FOLDER = "llm-model"  # the one with usage mode model, as deployments want it
_NAMESPACE = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")
_REGISTRY = "cr.backend.ai"
_PERMISSIONS = (
    "create-vfolder", "modify-vfolder", "delete-vfolder", "mount-in-session", "upload-file", "download-file",
    "invite-others", "set-user-specific-permission",
)  # fmt: skip
_HOSTS = {"local:volume1": list(_PERMISSIONS)}

type Row = dict[str, Any]


def _id(name: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"backendai-vllm/{name}"))


def tables() -> Mapping[str, list[Row]]:
    """Table -> rows, as the manager's own fixture loader takes them."""
    domain = {"name": "default", "description": "", "is_active": True, "total_resource_slots": {}}
    group = {**domain, "domain_name": "default", "resource_policy": "default", "allowed_vfolder_hosts": _HOSTS}
    return {
        "domains": [
            {**domain, "id": _id("domain"), "is_default": True, "allowed_vfolder_hosts": _HOSTS,
             "allowed_docker_registries": [_REGISTRY]},
        ],
        "user_resource_policies": [
            {"name": "default", "max_vfolder_count": 0, "max_quota_scope_size": -1,
             "max_session_count_per_model_session": 10, "max_customized_image_count": 3},
        ],
        "project_resource_policies": [
            {"name": "default", "max_vfolder_count": 0, "max_quota_scope_size": -1, "max_network_count": 3},
        ],
        "keypair_resource_policies": [_policy(user.policy) for user in fixtures.USERS],
        "groups": [
            {**group, "id": PROJECT_ID, "type": "general"},
            {**group, "id": _id("model-store"), "name": "model-store", "type": "model-store"},
        ],
        "scaling_groups": [
            {"id": RESOURCE_GROUP_ID, "name": "default", "description": "", "is_active": True, "is_public": True,
             "is_default": True, "driver": "static", "driver_opts": {}, "scheduler": "fifo", "scheduler_opts": {},
             "wsproxy_addr": f"http://{LOOPBACK}:{Port.COORDINATOR}", "wsproxy_api_token": APP_PROXY_TOKEN},
        ],
        "sgroups_for_domains": [
            {"id": _id("resource-group-for-domain"), "resource_group_id": RESOURCE_GROUP_ID, "domain_id": _id("domain")}
        ],
        "users": [_user(user) for user in fixtures.USERS],
        "association_groups_users": [{"group_id": PROJECT_ID, "user_id": user.id} for user in fixtures.USERS],
        "keypairs": [_keypair(user) for user in fixtures.USERS],
        "resource_slot_types": [
            _slot("cpu", "count", "Core", 100, required=True),
            _slot("mem", "bytes", "GiB", 200, required=True),
            _slot("cuda.device", "count", "GPU", 300),
            _slot("cuda.shares", "count", "fGPU", 400),
        ],
        "resource_presets": [
            {"name": "cuda01-small", "resource_slots": {"cpu": "1", "mem": "4294967296", "cuda.device": "1"}}
        ],
        "container_registries": [
            {"id": _id("registry"), "registry_name": _REGISTRY, "url": f"https://{_REGISTRY}", "type": "harbor2",
             "project": "stable", "is_global": True},
        ],
        "runtime_variants": _runtime_variants(),
        "login_client_types": [
            {"id": _id("core"), "name": "core", "description": "CLI, SDK"},
            {"id": _id("webui"), "name": "webui", "description": "web"},
        ],
        "images": [_image(image) for image in fixtures.IMAGES],
    }  # fmt: skip


def _policy(policy: Policy) -> Row:
    return {
        "name": policy.name,
        "is_default": policy.name == "default",
        "default_for_unspecified": "LIMITED" if policy.slots else "UNLIMITED",
        "total_resource_slots": {slot: str(amount) for slot, amount in policy.slots.items()},
        "max_session_lifetime": 0,
        "max_concurrent_sessions": policy.max_concurrent_sessions or UNLIMITED,
        "max_containers_per_session": policy.max_containers_per_session or 2,
        "idle_timeout": 3600,
        "allowed_vfolder_hosts": _HOSTS,
    }


def _user(user: User) -> Row:
    name = user.email.partition("@")[0]
    return {
        "uuid": user.id, "username": name, "email": user.email, "password": f"{name}-test-password-1!",
        "need_password_change": False, "full_name": name, "description": "", "status": "active",
        "status_info": "admin-requested", "domain_name": "default", "domain_id": _id("domain"),
        "resource_policy": "default", "role": "superadmin" if user.superadmin else "user",
    }  # fmt: skip


def _keypair(user: User) -> Row:
    return {
        "access_key": user.access_key, "secret_key": user.secret_key, "is_active": True,
        "is_admin": user.superadmin, "is_default": True, "user": user.id, "resource_policy": user.policy.name,
        "rate_limit": 30000,
    }  # fmt: skip


def _slot(name: str, kind: str, unit: str, rank: int, *, required: bool = False) -> Row:
    return {
        "uuid": _id(name), "slot_name": name, "slot_type": kind, "required": required, "display_name": name,
        "description": name, "display_unit": unit, "display_icon": name.partition(".")[0],
        "number_format": {"binary": kind == "bytes", "round_length": 2 if name == "cuda.shares" else 0}, "rank": rank,
    }  # fmt: skip


def _image(image: Image) -> Row:
    """A name with labels; there is no content behind it."""
    name, _, tag = image.name.rpartition(":")
    cuda = "cuda" in tag
    labels = {
        "ai.backend.kernelspec": "1",
        "ai.backend.role": "COMPUTE",
        "ai.backend.envs.corecount": "OMP_NUM_THREADS",
        "ai.backend.features": "uid-match",
        "ai.backend.base-distro": tag.rpartition("-")[2],
        "ai.backend.runtime-type": "python",
        "ai.backend.runtime-path": "/usr/bin/python3",
        "ai.backend.resource.min.cpu": str(image.min_cpu),
        "ai.backend.resource.min.mem": str(image.min_mem),
        "ai.backend.service-ports": ",".join(f"{app}:{protocol}:{port}" for app, protocol, port in image.service_ports),
    }
    if cuda:
        labels |= {
            "ai.backend.accelerators": "cuda",
            "ai.backend.resource.min.cuda.device": "0",
            "ai.backend.resource.min.cuda.shares": "0",
            "ai.backend.model-port": "8000",
            "ai.backend.endpoint-ports": "vllm",
        }
    return {
        "id": image.id, "name": image.name, "project": "stable", "image": name, "tag": tag, "registry": _REGISTRY,
        "registry_id": _id("registry"), "architecture": "x86_64", "config_digest": "sha256:" + "0" * 64 + " ",
        "size_bytes": 1000000, "is_local": False, "type": "COMPUTE", "accelerators": "cuda" if cuda else "",
        "labels": labels, "resources": {}, "status": "ALIVE",
    }  # fmt: skip


def _runtime_variants() -> list[Row]:
    health = {"enable": True, "path": "/health", "interval": 10.0, "max_retries": 10, "initial_delay": 1800.0}
    services = {
        "vllm": (False, {"start_command": "vllm serve '{model_path}'", "port": 8000, "health_check": health}),
        "custom": (True, {"port": 8080, "health_check": {"enable": False, "path": "/health"}}),
        "cmd": (False, {"port": 8000}),
    }
    return [
        {"name": name, "description": name, "reads_vfolder_config_files": reads,
         "default_model_definition": {"models": [{"name": f"{name}-model", "service": service}]}}
        for name, (reads, service) in services.items()
    ]  # fmt: skip
