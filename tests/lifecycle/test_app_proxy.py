"""The invariant: where the cluster has an app-proxy, an endpoint is a URL that its secret cookie opens."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from emulator import Emulator

from .driver import ADMIN, TINY, PulumiStack


def test_an_endpoint_through_the_app_proxy(tmp_path: Path) -> None:
    with Emulator(load_seconds=0.3, app_proxy=True) as emulator:
        env = {
            "BACKEND_ENDPOINT": emulator.endpoint,
            "BACKEND_ACCESS_KEY": ADMIN[0],
            "BACKEND_SECRET_KEY": ADMIN[1],
            "HF_ENDPOINT": emulator.hub_endpoint,
        }
        stack = PulumiStack.new(tmp_path / "project", env)
        stack.configure([{"name": "chat", **TINY}])
        up = stack.up()
        (endpoint,) = stack.output("endpoints")
        cookie = stack.output("cookies")["chat-0"]
        assert endpoint["via"] == "app-proxy"
        headers = {"Cookie": f"appproxy_permit={cookie}", "Authorization": f"Bearer {stack.output('api_keys')['chat']}"}
        with urllib.request.urlopen(urllib.request.Request(endpoint["url"] + "/v1/models", headers=headers)) as answer:
            assert json.load(answer)["data"][0]["id"] == TINY["model"]
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(endpoint["url"] + "/v1/models")
        assert refused.value.code == 401
        refused.value.close()
        assert cookie not in up.text + stack.run("stack", "export", "--stack", stack.name).text
        stack.up("--expect-no-changes")
