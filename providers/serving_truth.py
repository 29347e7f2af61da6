"""What a running session serves, against what was declared.

Only a server that lists its models can be wrong.  One that can't be asked (it loads, is busy, refuses the key) isn't:
whether it answers is the endpoint's matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from backendai import Api

ASK_TIMEOUT = 3.0  # seconds
_LONGEST = 200  # characters of the names that a server lists


async def drift(api: Api, session_id: str, props: Mapping[str, Any]) -> str:
    """In words, such as "serves 'x', not 'y'"; empty when it serves what was declared, or can't be asked."""
    from backendai import open_tunnel
    from serving import served_models

    async with open_tunnel(api, session_id, str(int(props.get("port") or 8000))) as url:
        lengths = await served_models(url, props.get("api_key"), ASK_TIMEOUT)
    return _difference(lengths, props)


class Otherwise(NamedTuple):
    """What a server serves in another way than was declared."""

    key: str
    declared: str
    served: str


def otherwise(lengths: Mapping[str, int | None], props: Mapping[str, Any]) -> Otherwise | None:
    """The first difference between the models that a server lists, each with its max_model_len, and what was declared.

    A length that isn't declared as a number, or isn't told, is none.
    """
    name = str(props.get("served_model_name"))
    if name not in lengths:
        return Otherwise("served_model_name", name, ", ".join(map(repr, lengths)) or "nothing")
    declared, served = _tokens(props.get("max_model_len")), lengths[name]
    if declared is None or served is None or declared == served:
        return None
    return Otherwise("max_model_len", str(declared), str(served))


def _difference(lengths: Mapping[str, int | None], props: Mapping[str, Any]) -> str:
    from backendai import redact

    found = otherwise(lengths, props) if lengths else None
    if found is None:
        return ""
    if found.key == "max_model_len":
        return f"max_model_len is {found.served}, not {found.declared}"
    names = redact(found.served, [props.get("api_key")])  # whole: half a secret isn't found
    return f"serves {names[:_LONGEST]}, not {found.declared!r}"


def _tokens(declared: object) -> int | None:
    """None where no number was declared, and for what no release takes for one."""
    from serving import InvalidArgument, max_model_len_tokens

    try:
        return max_model_len_tokens(int(declared) if isinstance(declared, float) else declared)  # type: ignore[arg-type]
    except InvalidArgument:
        return None
