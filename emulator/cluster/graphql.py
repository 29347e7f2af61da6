"""POST /admin/gql: the few queries on sessions and on what may be asked before one is created."""

import json
import uuid
from typing import Any

from graphql import GraphQLError, GraphQLSyntaxError, build_schema, graphql_sync, parse
from graphql.type import GraphQLScalarType

from emulator.cluster import exceptions as errors
from emulator.cluster.models import OCCUPYING, PROJECT_ID, Cluster, Image, Session, User, is_uuid
from emulator.cluster.shapes import gql_row, plain_slots

SCHEMA = build_schema(
    """
    scalar UUID
    scalar JSONString
    scalar DateTime
    type ComputeContainer {
      id: ID status: String status_info: String status_data: JSONString container_id: String agent: String
    }
    type ComputeSession {
      id: ID name: String type: String status: String status_info: String status_data: JSONString
      status_changed: DateTime result: String tag: String startup_command: String mounts: [String]
      service_ports: JSONString occupied_slots: JSONString requested_slots: JSONString
      resource_opts: JSONString created_at: DateTime starts_at: DateTime terminated_at: DateTime
      image: String domain_name: String group_name: String scaling_group: String access_key: String
      user_email: String cluster_size: Int agents: [String] containers: [ComputeContainer]
    }
    type ComputeSessionList { items: [ComputeSession]! total_count: Int! }
    type User { uuid: ID email: String role: String domain_name: String }
    type Image { id: UUID name: String tag: String }
    type Group { id: UUID name: String is_active: Boolean }
    type ScalingGroup { name: String is_active: Boolean resource_allocation_limit_for_sessions: JSONString }
    type KeyPairResourcePolicy { name: String total_resource_slots: JSONString max_concurrent_sessions: Int }
    type KeyPair { access_key: String concurrency_used: Int }
    type UserList { items: [User]! total_count: Int! }
    type Query {
      compute_session(id: UUID!): ComputeSession
      compute_session_list(
        limit: Int!, offset: Int!, filter: String, order: String, domain_name: String, group_id: String,
        access_key: String, status: String
      ): ComputeSessionList
      user_list(limit: Int!, offset: Int!): UserList
      user: User
      image(reference: String, architecture: String): Image
      images: [Image]
      groups_by_name(name: String!, domain_name: String): [Group]
      accessible_scaling_groups(project_id: UUID!): [ScalingGroup]
      keypair_resource_policy: KeyPairResourcePolicy
      keypair: KeyPair
    }
    """
)


def _uuid(value: Any) -> str:
    if not is_uuid(str(value)):
        raise ValueError("badly formed hexadecimal UUID string")
    return str(uuid.UUID(value))


_scalar = SCHEMA.type_map["UUID"]
assert isinstance(_scalar, GraphQLScalarType)
_scalar.parse_value = _uuid  # type: ignore[method-assign]


class _Root:
    """The resolvers: graphql-core calls the methods named like the fields."""

    def __init__(self, cluster: Cluster, user: User) -> None:
        self._cluster, self._user = cluster, user

    def compute_session(self, _info: Any, id: str) -> dict[str, Any] | None:
        session = self._cluster.sessions.get(id)
        return gql_row(session) if session and self._may_see(session) else None

    def compute_session_list(
        self,
        _info: Any,
        limit: int,
        offset: int,
        filter: str | None = None,
        access_key: str | None = None,
        status: str | None = None,
        **_unused: Any,
    ) -> dict[str, Any]:
        if access_key not in (None, self._user.access_key) and not self._user.superadmin:
            raise GraphQLError("Forbidden operation.", extensions={"code": errors.Forbidden.error_code})
        found = [
            session
            for session in reversed(list(self._cluster.sessions.values()))
            if self._may_see(session)
            and (access_key is None or session.user.access_key == access_key)
            and (not status or session.status in status.split(","))
            and _fits(session, filter)
        ]
        return {"items": [gql_row(s) for s in found[offset:][:limit]], "total_count": len(found)}

    def user_list(self, _info: Any, limit: int, offset: int) -> dict[str, Any]:
        if not self._user.superadmin:
            raise GraphQLError("Insufficient privilege.", extensions={"code": "user_auth_forbidden"})
        rows = [{"uuid": user.id, "email": user.email} for user in self._cluster.users.values()]
        return {"items": rows[offset:][:limit], "total_count": len(rows)}

    def user(self, _info: Any) -> dict[str, Any]:
        user = self._user
        role = "superadmin" if user.superadmin else "user"
        return {"uuid": user.id, "email": user.email, "role": role, "domain_name": "default"}

    def image(self, _info: Any, reference: str, architecture: str = "x86_64") -> dict[str, Any]:
        found = self._cluster.images.get(reference)
        if found is None or architecture != "x86_64" or not self._user.superadmin:
            error = errors.ImageNotFound()
            raise GraphQLError(error.title, extensions={"code": error.error_code})
        return _image(found)

    def images(self, _info: Any) -> list[dict[str, Any]]:
        """The test cluster shows its user none, who may start sessions of them all the same."""
        return [_image(image) for image in self._cluster.images.values()] if self._user.superadmin else []

    def groups_by_name(self, _info: Any, name: str, domain_name: str = "default") -> list[dict[str, Any]]:
        known = (name, domain_name) == ("default", "default")
        return [{"id": PROJECT_ID, "name": name, "is_active": True}] if known else []

    def accessible_scaling_groups(self, _info: Any, project_id: str) -> list[dict[str, Any]]:
        """With the most that one node has of each slot; there is one node."""
        largest = json.dumps(plain_slots(self._cluster.settings.capacity))
        row = {"name": "default", "is_active": True, "resource_allocation_limit_for_sessions": largest}
        return [row] if project_id == PROJECT_ID else []

    def keypair_resource_policy(self, _info: Any) -> dict[str, Any]:
        policy = self._user.policy
        slots = json.dumps(plain_slots(policy.slots))
        limit = policy.max_concurrent_sessions
        return {"name": policy.name, "total_resource_slots": slots, "max_concurrent_sessions": limit}

    def keypair(self, _info: Any) -> dict[str, Any]:
        mine = [s for s in self._cluster.living() if s.user == self._user and s.status in OCCUPYING]
        return {"access_key": self._user.access_key, "concurrency_used": len(mine)}

    def _may_see(self, session: Session) -> bool:
        return self._user.superadmin or session.user == self._user


def _image(image: Image) -> dict[str, Any]:
    name, _, tag = image.name.rpartition(":")
    return {"id": image.id, "name": name, "tag": tag}


def _fits(session: Session, text: str | None) -> bool:
    """The filter language, as far as `name == "x"` and `status == "x"`, joined by &."""
    for clause in filter(None, (text or "").split("&")):
        name, equals, value = clause.partition("==")
        if not equals or name.strip() not in ("name", "status"):
            raise GraphQLError(f"The emulator doesn't know the filter {clause.strip()!r}.")
        if getattr(session, name.strip()) != value.strip().strip('"'):
            return False
    return True


def execute(cluster: Cluster, user: User, body: Any) -> dict[str, Any]:
    """The GraphQL answer; InternalError (500) for what isn't GraphQL, as the real one."""
    query, variables = body.get("query"), body.get("variables")
    try:
        parse(query)
    except (GraphQLSyntaxError, TypeError):
        raise errors.InternalError from None
    result = graphql_sync(SCHEMA, query, root_value=_Root(cluster, user), variable_values=variables or {})
    return {"data": result.data, "errors": [e.formatted for e in result.errors] if result.errors else None}
