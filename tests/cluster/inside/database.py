"""Make what a new cluster begins with: RPC keys, the manager's schema, tables.json, role presets and roles.

One process, where the command line needs six: each of them would import the manager for six seconds.
Run in the folder of the configuration files.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from ai.backend.manager.cli.dbschema import oneshot
from ai.backend.manager.cli.permissions import _CREATOR_PRESET, _load
from ai.backend.manager.cli.role_fixture import RoleFixture
from ai.backend.manager.config.bootstrap import BootstrapConfig
from ai.backend.manager.data.permission.global_entity import global_entity_id
from ai.backend.manager.models.base import ensure_all_tables_registered, populate_fixture
from ai.backend.manager.repositories.db.engine import connect_database
from ai.backend.manager.repositories.global_entity.loader import GlobalEntityIDLoader
from ai.backend.manager.repositories.ops.v2.role_preset.provider import RolePresetOpsProvider
from ai.backend.manager.repositories.role_preset.repository import RolePresetRepository
from click.testing import CliRunner
from sqlalchemy.ext.asyncio import create_async_engine
from zmq.auth.certs import create_certificates


def make_keys(folder: Path) -> None:
    """Manager and agent prove to each other who they are."""
    for name in ("manager", "agent"):
        create_certificates(folder, name)


def make_schema() -> None:
    done = CliRunner().invoke(oneshot, ["-f", "alembic.ini"], obj=object())
    if done.exit_code != 0:
        raise SystemExit(f"the schema can't be made: {done.output}") from done.exception


async def fill() -> None:
    ensure_all_tables_registered()
    config = await BootstrapConfig.load_from_file(Path("manager.toml"))
    engine = create_async_engine(config.db.sqlalchemy_url())
    seeds = _load()
    await populate_fixture(engine, json.loads(Path("tables.json").read_text()))
    await populate_fixture(engine, RoleFixture(seeds).render_presets())
    await engine.dispose()
    async with connect_database(config.db) as db:
        await GlobalEntityIDLoader(db).load()
        scopes = {seed.id: global_entity_id(seed.scope) for seed in seeds if seed.scope is not None}
        creators = [seed.id for seed in seeds if seed.name == _CREATOR_PRESET]
        await RolePresetRepository(RolePresetOpsProvider(db)).provision_roles(creators, scopes)


if __name__ == "__main__":
    make_keys(Path("../keys"))
    make_schema()
    asyncio.run(fill())
