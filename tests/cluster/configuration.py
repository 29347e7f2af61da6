"""The files that the services read, written anew at each start from the templates in config/."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from string import Template

from tests.cluster import ports
from tests.cluster.content import APP_PROXY_TOKEN, tables
from tests.cluster.places import CLONE, HERE, Places
from tests.cluster.ports import LOOPBACK, Port
from tests.cluster.problems import CannotRun

DATABASE_PASSWORD = "test-database-password"  # this and the others guard a server on loopback with test data
STORAGE_SECRET = "storage-manager-test-secret"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LOAD_SECONDS = "0.3"  # of the stand-in for vLLM, as tests/conftest.py has it for the emulator


VLLM_VERSION = "0.32.0"
REAL_VLLM = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}  # 1 GiB; no reports


def vllm_folder() -> Path:
    """The environment that tests/vllm/install.py makes."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "backendai-vllm"
    return cache / f"vllm-{VLLM_VERSION}"


def write_configuration(places: Places) -> None:
    values: dict[str, object] = {
        "root": places.root,
        "password": DATABASE_PASSWORD,
        "app_proxy_token": APP_PROXY_TOKEN,
        "storage_secret": STORAGE_SECRET,
        "first_session_port": ports.SESSION_PORTS[0],
        "last_session_port": ports.SESSION_PORTS[1],
        "first_circuit": ports.CIRCUITS[0],
        "last_circuit": ports.CIRCUITS[1],
    }
    values |= {port.name: int(port) for port in Port}
    for template in sorted((HERE / "config").iterdir()):
        (places.config / template.name).write_text(Template(template.read_text()).substitute(values))
    for name in ("manager", "agent", "storage"):
        (places.root / "ipc" / name).mkdir(parents=True, exist_ok=True)
    (places.root / "agent-var" / "commit").mkdir(parents=True, exist_ok=True)
    (places.volume / "version.txt").write_text("3")
    (places.config / "tables.json").write_text(json.dumps(tables(), indent=1))


def etcd_values() -> Mapping[str, str]:
    """What the services find in etcd, below their namespace."""
    return {
        "config/redis/addr": f"{LOOPBACK}:{Port.REDIS}",
        "config/system/timezone": "UTC",
        "config/docker/image/auto_pull": "digest",
        "config/network/subnet/agent": "0.0.0.0/0",
        "config/network/subnet/container": "0.0.0.0/0",
        "config/plugins/accelerator/mock/allocation_mode": "discrete",  # whole cards: cuda.device
        "config/idle/enabled": "",
        "volumes/default_host": "local:volume1",
        "volumes/exposed_volume_info": "percentage",
        "volumes/proxies/local/client_api": f"http://{LOOPBACK}:{Port.STORAGE_CLIENT}",
        "volumes/proxies/local/manager_api": f"http://{LOOPBACK}:{Port.STORAGE_MANAGER}",
        "volumes/proxies/local/secret": STORAGE_SECRET,
        "volumes/proxies/local/ssl_verify": "false",
        "volumes/_types/group": "",
        "volumes/_types/user": "",
    }


def service_environment(places: Places) -> dict[str, str]:
    """All that a service knows: nothing of the caller's environment (a proxy, another cluster's keys) gets in."""
    return {
        "PATH": f"{places.venv / 'bin'}:{HERE / 'bin'}:{SYSTEM_PATH}",  # bin/ has a `docker`
        "HOME": os.environ.get("HOME", "/root"),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(CLONE),
        "PYTHONUNBUFFERED": "1",
        "VIRTUAL_ENV": str(places.venv),
        "DOCKER_HOST": f"unix://{places.run}/no-docker.sock",  # a client of it is made; the socket need not exist
        "CLUSTER_ROOT": str(places.root),
        **({"CLUSTER_TICK": tick} if (tick := os.environ.get("CLUSTER_TICK")) else {}),  # see inside/manager.py
    }


def default_session_settings() -> dict[str, object]:
    """PATH and environment of every session; VLLM=real puts real vLLM where the stand-in is otherwise.

    Raises CannotRun when it isn't installed.
    """
    vllm, more = CLONE / "emulator" / "bin", dict[str, str]()
    if os.environ.get("VLLM") == "real":
        vllm, more = Path(os.environ.get("VLLM_BIN") or vllm_folder() / "bin"), REAL_VLLM
        if not (vllm / "vllm").exists():
            cure = "python -m tests.vllm.install, or set VLLM_BIN to its folder"
            raise CannotRun(f"VLLM=real, but there is no {vllm / 'vllm'}: {cure}")
    return {
        "path": f"{vllm}:{Path(sys.executable).parent}:{SYSTEM_PATH}",
        "environ": {
            "HF_ENDPOINT": f"http://{LOOPBACK}:{ports.HUB}",
            "EMULATOR_PYTHON": sys.executable,
            "VLLM_STANDIN_LOAD_SECONDS": LOAD_SECONDS,
            **more,
        },
    }
