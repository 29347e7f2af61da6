"""The dynamic provider as Pulumi's engine drives it: its own process, over gRPC, without the CLI."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf import struct_pb2
from pulumi.dynamic import ResourceProvider
from pulumi.dynamic.dynamic import serialize_provider
from pulumi.runtime import rpc
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "backendai-vllm"
UNKNOWN = rpc.UNKNOWN


class CallFailed(Exception):
    """The provider raised; the text is what the user would read."""


@dataclass
class ProviderProcess:
    """`with ProviderProcess(provider, env, config) as p: p.create({...})`."""

    provider: ResourceProvider
    env: Mapping[str, str]
    config: Mapping[str, str] | None = None
    stderr_path: Path | None = None

    def __enter__(self) -> Self:
        self._cache = tempfile.TemporaryDirectory()
        env = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("BACKEND_", "HF_", "HUGGING"))},
            "PULUMI_PROJECT": PROJECT,
            "XDG_CACHE_HOME": self._cache.name,
            **self.env,
        }
        self._stderr = open(self.stderr_path or os.devnull, "wb")
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-m", "pulumi.dynamic", "127.0.0.1:1"],
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )
        assert self._process.stdout is not None
        port = int(self._process.stdout.readline())
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self._stub = provider_pb2_grpc.ResourceProviderStub(self._channel)
        args = {f"{PROJECT}:{key}": value for key, value in (self.config or {}).items()}
        self._stub.Configure(provider_pb2.ConfigureRequest(args=_struct(args)))
        self._pickled = serialize_provider(self.provider)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._stderr.close()
        self._cache.cleanup()

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self, news: Mapping[str, Any], olds: Mapping[str, Any] | None = None) -> dict[str, str]:
        """The failures: property -> reason."""
        request = provider_pb2.CheckRequest(olds=self._props(olds or {}), news=self._props(news))
        return {f.property: f.reason for f in self._call("Check", request).failures}

    def diff(self, olds: Mapping[str, Any], news: Mapping[str, Any], id_: str = "x") -> tuple[str, list[str]]:
        """("none" | "some" | "unknown", what replaces)."""
        request = provider_pb2.DiffRequest(id=id_, olds=self._props(olds), news=self._props(news))
        answer = self._call("Diff", request)
        kind = {
            provider_pb2.DiffResponse.DIFF_NONE: "none",
            provider_pb2.DiffResponse.DIFF_SOME: "some",
            provider_pb2.DiffResponse.DIFF_UNKNOWN: "unknown",
        }[answer.changes]
        assert answer.deleteBeforeReplace or not answer.replaces  # GPUs are scarce
        return kind, list(answer.replaces)

    def create(self, props: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        answer = self._call("Create", provider_pb2.CreateRequest(properties=self._props(props)))
        return answer.id, _plain(answer.properties)

    def read(self, id_: str, props: Mapping[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any] | None]:
        answer = self._call("Read", provider_pb2.ReadRequest(id=id_, properties=self._props(props)))
        inputs = _plain(answer.inputs) if answer.HasField("inputs") else None
        return answer.id, _plain(answer.properties), inputs

    def update(self, id_: str, olds: Mapping[str, Any], news: Mapping[str, Any]) -> dict[str, Any]:
        request = provider_pb2.UpdateRequest(id=id_, olds=self._props(olds), news=self._props(news))
        return _plain(self._call("Update", request).properties)

    def delete(self, id_: str, props: Mapping[str, Any]) -> None:
        self._call("Delete", provider_pb2.DeleteRequest(id=id_, properties=self._props(props)))

    def _props(self, props: Mapping[str, Any]) -> struct_pb2.Struct:
        return _struct({**props, "__provider": self._pickled})

    def _call(self, method: str, request: Any) -> Any:
        try:
            return getattr(self._stub, method)(request, timeout=180)
        except grpc.RpcError as error:
            raise CallFailed(error.details()) from None


def _struct(props: Mapping[str, Any]) -> struct_pb2.Struct:
    return asyncio.run(rpc.serialize_properties(dict(props), {}))


def _plain(struct: struct_pb2.Struct) -> dict[str, Any]:
    props: dict[str, Any] = rpc.deserialize_properties(struct)
    props.pop("__provider", None)
    return props
