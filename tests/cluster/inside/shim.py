"""`python shim.py KERNEL_FOLDER`: the "container" of one kernel.  Standard library only, started with -I -S.

The agent starts one a kernel; like a container it outlives the agent.  The command returns once the shim runs in the
background, or fails with the reason on stderr.  What it gives the kernel's processes:

    processes  a PID namespace whose first process is the shim: when it ends, nothing stays behind
    network    a network namespace: `lo` and 172.17.0.2, so that every session may bind port 8000.  The agent hands
               over listening sockets of the machine; a connection there is relayed to 172.17.0.2:<container port>.
               As behind a container's port mapping, a server that binds 127.0.0.1 isn't reachable
    files      a mount namespace: /home/work is KERNEL_FOLDER/work, folders of the cluster are bind-mounted
    console    stdout and stderr of everything it runs, in KERNEL_FOLDER/console.log

KERNEL_FOLDER/container.json (read once) has
    {"listen": {"<inherited fd>": <container port>},   sockets to relay into the kernel
     "host_ports": [18500],                            127.0.0.1 ports of the machine to offer inside
     "mounts": [["/source", "/target", "ro"]]}
KERNEL_FOLDER/shim.pid has the shim's pid, as the machine sees it; KERNEL_FOLDER/shim.sock answers one JSON line:
    {"op": "run", "name": N, "argv": [...], "env": {...}, "cwd": "..."}  -> {"pid": 123} or {"error": "..."}
    {"op": "wait", "name": N}   -> {"exit": code} once N has ended (-15: by SIGTERM, as subprocess has it)
    {"op": "ping"}              -> {}
    {"op": "stop"}              -> {} once everything is gone; then the shim ends.  SIGTERM does the same
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

ADDRESS = "172.17.0.2"  # the first on docker's default bridge
HOME = "/home/work"
GRACE = 5.0  # seconds between SIGTERM and SIGKILL
CHUNK = 64 * 1024  # bytes
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK = 0x8914, 0x8916, 0x891C
IFF_UP_RUNNING = 0x1 | 0x40

type Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def mount(source: str, target: str, flags: int = 0, kind: str | None = None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), target.encode(), kind.encode() if kind else None, flags, None) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"mount {source} on {target}: {os.strerror(code)}")


def interface_up() -> None:
    """`ip link set lo up; ip address add 172.17.0.2/32 dev lo`, without iproute2."""

    def request(name: bytes, ip: str) -> bytes:
        return struct.pack("16sHH4s8x", name, socket.AF_INET, 0, socket.inet_aton(ip))

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP_RUNNING))
        fcntl.ioctl(sock, SIOCSIFADDR, request(b"lo:1", ADDRESS))
        fcntl.ioctl(sock, SIOCSIFNETMASK, request(b"lo:1", "255.255.255.255"))


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


class Namespaces:
    """Where the kernel lives; this process stays in it, as its first one."""

    def __init__(self, mounts: list[list[str]]) -> None:
        self.machine = os.open("/proc/self/ns/net", os.O_RDONLY)
        os.unshare(os.CLONE_NEWNET | os.CLONE_NEWNS | os.CLONE_NEWPID)
        self.own = os.open("/proc/self/ns/net", os.O_RDONLY)
        interface_up()
        mount("none", "/", MS_REC | MS_PRIVATE)
        for source, target, mode in [[os.path.abspath("work"), HOME, "rw"], *mounts]:
            # Below /home/work this makes the mount point in the kernel's own folder, elsewhere an empty one outside.
            os.makedirs(target, exist_ok=True)
            mount(source, target, MS_BIND)
            if mode == "ro":
                mount("none", target, MS_BIND | MS_REMOUNT | MS_RDONLY)
        self._enter_as_first_process()

    def _enter_as_first_process(self) -> None:
        ready, self._ready = os.pipe()
        if pid := os.fork():
            os.close(self._ready)
            ok = os.read(ready, 1)
            with open("shim.pid", "w") as file:
                file.write(str(pid))
            os._exit(0 if ok else 1)
        os.close(ready)
        mount("proc", "/proc", kind="proc")

    def tell_ready(self) -> None:
        os.write(self._ready, b"1")
        os.close(self._ready)

    def socket_in(self, namespace: int) -> socket.socket:
        """A socket stays where it was made, and this process has one thread: so it may look out for a moment."""
        os.setns(namespace, os.CLONE_NEWNET)
        try:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        finally:
            os.setns(self.own, os.CLONE_NEWNET)
        sock.setblocking(False)
        return sock

    def relay(self, namespace: int, ip: str, port: int) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            upstream = self.socket_in(namespace)
            up_writer: asyncio.StreamWriter | None = None
            try:
                await asyncio.get_running_loop().sock_connect(upstream, (ip, port))
                up_reader, up_writer = await asyncio.open_connection(sock=upstream)
                await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))
            except OSError:
                pass  # nothing listens there: the client sees its connection close
            finally:
                (up_writer or upstream).close()
                writer.close()

        return handle


class Shim:
    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._runs: dict[str, asyncio.subprocess.Process] = {}
        self._exits: dict[str, asyncio.Future[int]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._log = open("console.log", "ab", buffering=0)  # noqa: SIM115  # as long as the shim lives

    async def serve(self, namespaces: Namespaces) -> None:
        for fd, port in self._config["listen"].items():
            sock = socket.socket(fileno=int(fd))
            sock.setblocking(False)
            await asyncio.start_server(namespaces.relay(namespaces.own, ADDRESS, port), sock=sock)
        for port in self._config["host_ports"]:
            relay = namespaces.relay(namespaces.machine, "127.0.0.1", port)
            await asyncio.start_server(relay, "127.0.0.1", port)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, lambda: self._spawn(self._stop_and_exit()))
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        await asyncio.start_unix_server(self._request, "shim.sock")  # relative: the path's length doesn't matter
        namespaces.tell_ready()
        await asyncio.Event().wait()

    def _reap(self) -> None:
        """Orphans come to the first process of a PID namespace; asyncio reaps those that it started."""
        own = {process.pid for process in self._runs.values()}
        with contextlib.suppress(ChildProcessError):
            while (child := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and child.si_pid not in own:
                os.waitpid(child.si_pid, 0)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _exit_of(self, name: str) -> asyncio.Future[int]:
        return self._exits.setdefault(name, asyncio.get_running_loop().create_future())

    async def _run(self, name: str, argv: list[str], env: dict[str, str], cwd: str) -> dict[str, Any]:
        if name in self._runs:
            return {"error": f"{name} was run already"}
        process = await asyncio.create_subprocess_exec(
            *argv, env=env, cwd=cwd, start_new_session=True, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        self._runs[name] = process
        self._spawn(self._watch(name, process))
        return {"pid": process.pid}

    async def _watch(self, name: str, process: asyncio.subprocess.Process) -> None:
        # As the kernel runner has it: a run has ended when the process has AND nobody holds its output any more,
        # so `server &` keeps a batch job going while `server >/dev/null 2>&1 &` doesn't.
        assert process.stdout is not None
        while data := await process.stdout.read(CHUNK):
            self._log.write(data)
        self._exit_of(name).set_result(await process.wait())

    async def _stop(self) -> None:
        """SIGTERM and some time; the end of the shim is SIGKILL for all that is left."""
        alive = [process for process in self._runs.values() if process.returncode is None]
        for process in alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        if alive:
            await asyncio.wait([asyncio.ensure_future(process.wait()) for process in alive], timeout=GRACE)

    async def _stop_and_exit(self) -> None:
        await self._stop()
        os._exit(0)

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = json.loads(await reader.readline())
            answer = await self._answer(asked)
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
            writer.close()
            if asked["op"] == "stop":
                os._exit(0)
        except (OSError, ValueError):
            writer.close()

    async def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        match asked["op"]:
            case "run":
                try:
                    return await self._run(asked["name"], asked["argv"], asked["env"], asked["cwd"])
                except (OSError, ValueError) as problem:
                    return {"error": str(problem)}
            case "wait":
                return {"exit": await asyncio.shield(self._exit_of(asked["name"]))}
            case "stop":
                await self._stop()
                return {}
            case "ping":
                return {}
            case _:
                return {"error": "unknown op"}


def main(folder: str) -> None:
    os.chdir(folder)
    with open("container.json") as file:
        config = json.load(file)
    namespaces = Namespaces(config["mounts"])
    asyncio.run(Shim(config).serve(namespaces))


if __name__ == "__main__":
    main(sys.argv[1])
