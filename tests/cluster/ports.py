"""Every port of the cluster, in one table, and who has one that is taken.  All on 127.0.0.1; one cluster a machine."""

from __future__ import annotations

import contextlib
import socket
from enum import IntEnum
from pathlib import Path

LOOPBACK = "127.0.0.1"


class Port(IntEnum):
    """Fixed, so that a settings file of a stack can name the endpoint.

    All are below 32768: above it (where Backend.AI's own defaults for the *_MONITOR are) the system takes ports for
    outgoing connections, and a service then now and then doesn't start.
    """

    MANAGER = 18081
    MANAGER_INTERNAL = 18080
    MANAGER_MONITOR = 18082  # a debugging shell, as the other *_MONITOR
    MANAGER_MONITOR_WEB = 18083
    AGENT_RPC = 16001
    AGENT_SERVICE = 16003
    AGENT_SOCK = 16007
    AGENT_MONITOR = 16004
    AGENT_MONITOR_WEB = 16005
    STORAGE_CLIENT = 16021
    STORAGE_MANAGER = 16022
    STORAGE_INTERNAL = 16023
    STORAGE_MONITOR = 16024
    STORAGE_MONITOR_WEB = 16025
    COORDINATOR = 10200
    COORDINATOR_MONITOR = 10202
    COORDINATOR_MONITOR_WEB = 10203
    WORKER = 10201
    WORKER_MONITOR = 10301
    WORKER_MONITOR_WEB = 10302
    POSTGRES = 18100
    REDIS = 18110
    ETCD = 18120
    ETCD_PEER = 18121


CIRCUITS = (10205, 10300)  # URLs that the app-proxy gives out
SESSION_PORTS = (30000, 31000)  # published ports of sessions; below the system's own range for outgoing connections
# What a test serves on these ports of the machine, sessions reach at 127.0.0.1 under the same number: their only
# way out.  The first is where HF_ENDPOINT points in every session.
HUB = 18500
HOST_PORTS = (HUB, 18501)

ENDPOINT = f"http://{LOOPBACK}:{Port.MANAGER}"
_LISTEN = "0A"  # state in /proc/net/tcp


def is_open(port: int) -> bool:
    """Whether something accepts connections there.  (The socket module takes no member of an IntEnum.)"""
    with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, int(port)), timeout=1.0):
        return True
    return False


def listeners(ports: frozenset[int]) -> dict[int, int]:
    """Port -> pid of whoever listens there (0 when that can't be seen, such as in another container)."""
    sockets = _listening_sockets(ports)
    if not sockets:
        return {}
    found = dict.fromkeys(sockets.values(), 0)
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            target = str(link.readlink())
            if target.startswith("socket:[") and (port := sockets.get(target[8:-1])):
                found[port] = int(link.parts[2])
    return found


def _listening_sockets(ports: frozenset[int]) -> dict[str, int]:
    """Inode -> port."""
    sockets: dict[str, int] = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                port = int(fields[1].rpartition(":")[2], 16)
                if fields[3] == _LISTEN and port in ports:
                    sockets[fields[9]] = port
    return sockets
