"""ModelServingStack: the replicas of one model, each a session and the endpoint that proves it."""

from __future__ import annotations

from typing import Any

import pulumi

from providers.model_endpoint import ModelEndpoint
from providers.stack_identity import StackIdentity
from providers.vllm_model_session import VLLMModelSession

from .readiness_hook import readiness_hook
from .resolution import ResolvedModel
from .room import Room


class ModelServingStack(pulumi.ComponentResource):
    """One model as it was resolved from the settings.

    `endpoints` has an entry per replica; `api_key` is the one key of all replicas, a secret; `cookies` has, per
    replica that is reached through an app-proxy, the secret cookie that opens it.  `secret_env`: what `env` holds is
    encrypted in the stack file, and so in the state.
    """

    endpoints: pulumi.Output[list[dict[str, Any]]]
    api_key: pulumi.Output[str]
    cookies: pulumi.Output[dict[str, str]]

    def __init__(
        self,
        model: ResolvedModel,
        identity: StackIdentity,
        room: Room,
        opts: pulumi.ResourceOptions | None = None,
        *,
        secret_env: bool = False,
    ) -> None:
        super().__init__("backendai:serving:ModelServingStack", model.name, None, opts)
        self._model, self._identity, self._room, self._secret_env = model, identity, room, secret_env
        self.api_key = pulumi.Output.secret(model.api_key) if model.api_key else identity.api_key(model.name)
        self._opened: dict[str, pulumi.Output[str | None]] = {}
        entries = [self._replica(index) for index in range(model.replicas)]
        self.endpoints = pulumi.Output.all(*entries).apply(list)
        self.cookies = pulumi.Output.all(**self._opened).apply(lambda all_: {k: v for k, v in all_.items() if v})
        self.register_outputs({"endpoints": self.endpoints, "api_key": self.api_key, "cookies": self.cookies})

    def _replica(self, index: int) -> pulumi.Output[dict[str, Any]]:
        model, name = self._model, f"{self._model.name}-{index}"
        args = {
            **model.inputs,
            "session_name": model.replica_session_name(index) or self._identity.session_name(name),
            "owner": self._room.owner(name),
            "api_key": self.api_key,
            "hf_token": model.hf_token,
        }
        if self._secret_env and args.get("env"):
            args["env"] = pulumi.Output.secret(args["env"])
        session = VLLMModelSession(name, args, pulumi.ResourceOptions(parent=self))
        hooks = readiness_hook(name) if model.wait else None
        endpoint = ModelEndpoint(
            name,
            {
                "session_id": session.id,
                "session_name": session.session_name,
                "served_model_name": session.served_model_name,
                "api_key": session.api_key,
                "port": session.port,
                "domain": model.inputs["domain"],
                "wait": model.wait,
                "predicted": _predicted(model, session),
                "ready_timeout": model.ready_timeout,
            },
            pulumi.ResourceOptions(parent=self, hooks=hooks),
        )
        self._opened[name] = pulumi.Output.secret(endpoint.cookie)
        return pulumi.Output.all(
            name=name,
            model=session.served_model_name,
            session_id=session.id,
            session_name=session.session_name,
            url=endpoint.url,
            via=endpoint.via,
            port=session.port,
            max_model_len=endpoint.max_model_len,
            ready_seconds=endpoint.ready_seconds,
            predicted=endpoint.predicted,
            measured=endpoint.measured,
        ).apply(lambda entry: {**entry, "port": int(entry["port"])})


def _predicted(model: ResolvedModel, session: VLLMModelSession) -> pulumi.Input[dict[str, Any] | None]:
    """What was predicted of the session as it was declared; nothing where a policy's remedy has made another of it."""
    said = model.inputs.get("gpu_memory_utilization")
    whole = dict(model.predicted) or None
    if said is None or whole is None:
        return whole
    return session.gpu_memory_utilization.apply(lambda made: whole if made == said else None)
