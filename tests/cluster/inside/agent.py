"""Start the stock agent with a backend that runs every kernel as processes of this machine.

It builds on the stock `dummy` backend, which only pretends: there is nothing behind its kernels.  Here a kernel is
a container of our own (kernel.py, shim.py).  All that the agent does around one stays the code of AbstractAgent:
batch execution, events, log collection, heartbeats, port pool, recovery after a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import pickle
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import ai.backend.agent.dummy as dummy_backend
from ai.backend.agent.agent import ACTIVE_STATUS_SET, AbstractAgent
from ai.backend.agent.dummy.agent import DummyAgent
from ai.backend.agent.types import Container, KernelLifecycleStatus, LifecycleEvent, Port
from ai.backend.common.docker import LabelName
from ai.backend.common.events.event_types.kernel.types import KernelLifecycleEventReason
from ai.backend.common.types import ContainerStatus

from tests.cluster.inside.agent_faults import fail_if_asked, fault, fault_delay
from tests.cluster.inside.creation import ProcessKernelCreationContext
from tests.cluster.inside.kernel import ProcessKernel

_pulling = contextvars.ContextVar("pulling", default=False)


class ProcessAgent(DummyAgent):
    # Stubbed out by the dummy backend; the stock code fits.
    execute = AbstractAgent.execute
    get_public_service_ports = AbstractAgent.get_public_service_ports
    sync_container_lifecycles = AbstractAgent.sync_container_lifecycles

    async def init_kernel_context(
        self,
        ownership_data: Any,
        kernel_image: Any,
        kernel_config: Any,
        *,
        restarting: bool = False,
        cluster_ssh_port_mapping: Any = None,
    ) -> ProcessKernelCreationContext:
        distro = await self.resolve_image_distro(kernel_config["image"])
        context = ProcessKernelCreationContext(
            ownership_data, self.event_producer, kernel_image, kernel_config, distro, self.local_config,
            self.computers, restarting=restarting, dummy_config=self.dummy_config,
        )  # fmt: skip
        context.agent = self
        return context

    def listen_on_free_port(self, host: str) -> socket.socket:
        """A socket on a port of the agent's pool, which has to be given back."""
        while True:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((host, self.port_pool.acquire()))
                sock.listen(128)
                return sock
            except OSError:  # somebody else's: it stays out of the pool for a minute
                sock.close()

    # Images: there is nothing to pull unless a fault says so.

    async def check_and_pull(self, image_configs: Any) -> Any:
        _pulling.set(True)  # the pull's task inherits this; create_kernel() asks again, without it
        return await super().check_and_pull(image_configs)

    async def check_image(self, image_ref: Any, image_id: str, auto_pull: Any) -> bool:
        return _pulling.get() and (fault("pull-delay") is not None or fault("pull-fail") is not None)

    async def pull_image(self, image_ref: Any, registry_conf: Any, *, timeout_seconds: float | None) -> None:
        await fault_delay("pull-delay")
        fail_if_asked("pull-fail")

    async def extract_image_command(self, image: str) -> None:
        return None

    # The kernels' life.

    async def create_batch_execution_task(
        self, session_id: Any, kernel_id: Any, code_to_execute: str, timeout_seconds: float | None = None
    ) -> None:
        """The manager now and then asks twice for the same session: its short and its long cycle both promote it.
        The real kernel runner queues the second run behind the first, whose end is the session's end."""
        kernel = self.kernel_registry.get(kernel_id)
        if kernel is None or kernel.batch_requested:
            return
        kernel.batch_requested = True
        await super().create_batch_execution_task(session_id, kernel_id, code_to_execute, timeout_seconds)

    def watch(self, kernel: ProcessKernel) -> None:
        """Notice the end of a shim, whoever started it."""
        fd = os.pidfd_open(int((kernel.folder / "shim.pid").read_text()))
        loop = asyncio.get_running_loop()
        tasks: set[asyncio.Task[Any]] = set()

        def ended() -> None:
            loop.remove_reader(fd)
            os.close(fd)
            kernel.running = False
            if kernel.state == KernelLifecycleStatus.RUNNING:  # died by itself, like docker's "die" event
                event = self.inject_container_lifecycle_event(
                    kernel.kernel_id, kernel.session_id, LifecycleEvent.CLEAN,
                    KernelLifecycleEventReason.SELF_TERMINATED, container_id=kernel.container_id,
                )  # fmt: skip
                tasks.add(loop.create_task(event))

        loop.add_reader(fd, ended)
        kernel.running = True

    async def enumerate_containers(self, status_filter: Any = ACTIVE_STATUS_SET) -> list[tuple[Any, Any]]:
        """What `docker ps` is to the docker backend."""
        found = []
        for kernel_id, kernel in list(self.kernel_registry.items()):
            status = ContainerStatus.RUNNING if kernel.running else ContainerStatus.EXITED
            if kernel.container_id is None or status not in status_filter:
                continue
            labels = {
                LabelName.AGENT_ID: str(self.id), LabelName.OWNER_AGENT: str(self.id),
                LabelName.KERNEL_ID: str(kernel_id), LabelName.SESSION_ID: str(kernel.session_id),
            }  # fmt: skip
            ports = [
                Port(str(kernel["kernel_host"]), inside, outside)
                for port in kernel.service_ports
                for inside, outside in zip(port["container_ports"], port["host_ports"], strict=False)
                if outside
            ]
            container = Container(
                id=kernel.container_id, status=status, image=str(kernel.image), labels=labels, ports=ports,
                backend_obj={"HostConfig": {"Mounts": []}, "Mounts": []},
            )  # fmt: skip
            found.append((kernel_id, container))
        return found

    async def reconstruct_resource_usage(self) -> None:
        """The stock one reads it from the containers; here the registry has it."""
        async with self.resource_lock:
            for computer in self.computers.values():
                computer.alloc_map.clear()
            for kernel in self.kernel_registry.values():
                for device, allocations in kernel.resource_spec.allocations.items():
                    self.computers[device].alloc_map.apply_allocation(allocations)

    async def destroy_kernel(self, kernel_id: Any, container_id: Any) -> None:
        kernel = self.kernel_registry.get(kernel_id)
        if kernel is None or not kernel.running:
            return
        await fault_delay("destroy-delay", kernel.environ)
        with contextlib.suppress(OSError, ValueError):
            await kernel.shim("stop")
        while kernel.running:
            await asyncio.sleep(0.02)

    async def clean_kernel(self, kernel_id: Any, container_id: Any, restarting: bool) -> None:
        kernel = self.kernel_registry.get(kernel_id)
        if kernel is None:
            return

        async def console() -> AsyncIterator[bytes]:
            with (kernel.folder / "console.log").open("rb") as log:
                while chunk := log.read(65536):
                    yield chunk

        if container_id is not None:
            await self.collect_logs(kernel_id, container_id, console())
        shutil.rmtree(kernel.folder, ignore_errors=True)

    # A restart of the agent: the containers went on.

    async def _write_kernel_registry_to_recovery(self, kernel_registry: Mapping[Any, Any], metadata: Any) -> None:
        for kernel in kernel_registry.values():
            if kernel.running:
                (kernel.folder / "kernel.new").write_bytes(pickle.dumps(kernel))
                (kernel.folder / "kernel.new").replace(kernel.folder / "kernel.pickle")

    async def _load_kernel_registry_from_recovery(self) -> dict[Any, Any]:
        registry = {}
        for path in Path(self.local_config.container.scratch_root).glob("*/kernel.pickle"):
            kernel = pickle.loads(path.read_bytes())
            kernel.agent_config = self.local_config.model_dump(by_alias=True)
            with contextlib.suppress(OSError, ValueError):  # no shim: it ended meanwhile, the agent cleans it up
                await kernel.shim("ping")
                kernel.state = KernelLifecycleStatus.RUNNING
                self.watch(kernel)
            registry[kernel.kernel_id] = kernel
        return registry

    async def scan_running_kernels(self) -> None:
        await super().scan_running_kernels()
        await self.reconstruct_resource_usage()


dummy_backend.DummyAgent = ProcessAgent  # the class that `backend = "dummy"` starts

from ai.backend.agent.server import main  # noqa: E402

if __name__ == "__main__":
    sys.argv[0] = "agent"
    main()
