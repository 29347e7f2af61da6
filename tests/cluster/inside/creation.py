"""How the agent makes a container: published ports, folder, shim."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from socket import socket
from typing import Any

from ai.backend.agent.dummy.agent import DummyKernelCreationContext
from ai.backend.common.types import MountPermission, MountTypes, ServicePortProtocols

from tests.cluster.inside.agent_faults import fail_if_asked, fault_delay
from tests.cluster.inside.kernel import ProcessKernel
from tests.cluster.ports import HOST_PORTS

SHIM = Path(__file__).with_name("shim.py")


class ProcessKernelCreationContext(DummyKernelCreationContext):
    agent: Any  # the ProcessAgent, set by it

    async def prepare_container(
        self, resource_spec: Any, environ: Any, service_ports: Any, cluster_info: Any
    ) -> ProcessKernel:
        return ProcessKernel(
            self.ownership_data, self.kernel_config["network_id"], self.image_ref, self.kspec_version,
            agent_config=self.local_config.model_dump(by_alias=True), service_ports=service_ports,
            resource_spec=resource_spec, environ=environ, data={}, dummy_config=self.dummy_config,
        )  # fmt: skip

    async def start_container(
        self, kernel: ProcessKernel, cmdargs: Any, resource_opts: Any, preopen_ports: Any, cluster_info: Any
    ) -> dict[str, Any]:
        await fault_delay("create-delay", kernel.environ)
        fail_if_asked("create-fail", kernel.environ)
        config = self.local_config.container
        bind_host = str(config.bind_host)
        (kernel.folder / "work").mkdir(parents=True)
        if script := self.kernel_config.get("bootstrap_script"):
            (kernel.folder / "work" / "bootstrap.sh").write_text(script)
        listeners: dict[int, socket] = {}
        try:
            self._publish(kernel, bind_host, listeners)
            await self._start_shim(kernel, listeners)
        except BaseException:
            self.agent.port_pool.release_many([sock.getsockname()[1] for sock in listeners.values()])
            raise
        finally:
            host_ports = [sock.getsockname()[1] for sock in listeners.values()]
            for sock in listeners.values():
                sock.close()
        self.agent.watch(kernel)
        return {
            "container_id": kernel.kernel_id.hex * 2,  # 64 hexadecimal digits, as docker's
            "kernel_host": str(config.advertised_host or bind_host),
            "repl_in_port": 0,
            "repl_out_port": 0,
            "stdin_port": 0,
            "stdout_port": 0,
            "host_ports": host_ports,
            "domain_socket_proxies": [],
            "block_service_ports": self.internal_data.get("block_service_ports", False),
        }

    def _publish(self, kernel: ProcessKernel, host: str, listeners: dict[int, socket]) -> None:
        """A listening socket of the machine for each port of the container that others may reach."""
        for service_port in kernel.service_ports:
            if service_port["protocol"] == ServicePortProtocols.INTERNAL:
                continue
            for port in service_port["container_ports"]:
                listeners[port] = self.agent.listen_on_free_port(host)
            service_port["host_ports"] = tuple(
                listeners[port].getsockname()[1] for port in service_port["container_ports"]
            )

    async def _start_shim(self, kernel: ProcessKernel, listeners: dict[int, socket]) -> None:
        mounts = [
            [str(m.source), str(m.target), "ro" if m.permission == MountPermission.READ_ONLY else "rw"]
            for m in kernel.resource_spec.mounts
            if m.type == MountTypes.BIND
        ]
        listen = {str(sock.fileno()): port for port, sock in listeners.items()}
        container = {"listen": listen, "host_ports": HOST_PORTS, "mounts": mounts}
        (kernel.folder / "container.json").write_text(json.dumps(container))
        with (kernel.folder / "shim.log").open("wb") as log:
            shim = subprocess.Popen(
                [sys.executable, "-I", "-S", str(SHIM), str(kernel.folder)], env={"PATH": os.defpath},
                pass_fds=[sock.fileno() for sock in listeners.values()], start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        while shim.poll() is None:
            await asyncio.sleep(0.02)
        if shim.returncode != 0:
            raise RuntimeError("the container can't be made: " + (kernel.folder / "shim.log").read_text()[-300:])
