"""What only the running manager can make: rows in its database aren't enough for its permission graph.

`python -m tests.cluster.inside.seed JSON` with endpoint, access_key, secret_key, project (an id), users (ids),
model_folder and folders (names).
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from ai.backend.client.config import APIConfig
from ai.backend.client.session import AsyncSession


async def seed(asked: dict[str, Any]) -> None:
    config = APIConfig(
        endpoint=asked["endpoint"], endpoint_type="api", domain="default", group="default",
        access_key=asked["access_key"], secret_key=asked["secret_key"],
    )  # fmt: skip
    async with AsyncSession(config=config) as session:
        await session.Group.add_users(asked["project"], asked["users"])
        await session.ScalingGroup.dissociate_domain("default", "default")  # the row of tables.json would be in the way
        await session.ScalingGroup.associate_domain("default", "default")
        folders: Any = await session.VFolder.list()  # a list, whatever its annotation says
        there = {folder["name"] for folder in folders}
        for name in asked["folders"]:
            if name not in there:
                mode = "model" if name == asked["model_folder"] else "general"
                await session.VFolder.create(name, usage_mode=mode, group=asked["project"])


if __name__ == "__main__":
    asyncio.run(seed(json.loads(sys.argv[1])))
