"""A Hub token on its way into the stack file: encrypted, and never an argument of any process that we start."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cli.boundary import CliError
from cli.pulumi_cli import PROJECT, set_secret
from cli.stack import Stack

STDIN = "-"
_OPTION = "--huggingface-token"


class Encrypted(NamedTuple):
    """What stands for it in the file, and the settings that the file needs for it where it has none yet."""

    value: Mapping[str, str]
    settings: Mapping[str, str]


def token_from(given: str) -> str:
    """The token that was typed, or with "-" the first line of stdin.  Raises CliError."""
    if given == STDIN:
        given = _asked()
    else:
        print(
            f"warning: others on this machine can see a command line (ps): pipe the token to `{_OPTION} -`, or export "
            "HF_TOKEN.",
            file=sys.stderr,
        )
    token = given.strip()
    if not token or any(c.isspace() for c in token):
        raise CliError("is no token.", "Write one word, such as hf_..., or - to read it from stdin.", option=_OPTION)
    return token


def _asked() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline()
    import getpass

    return getpass.getpass("Hugging Face token: ")


def encrypted(stack: Stack, token: str) -> Encrypted:
    """Encrypted as the stack encrypts its secrets, in a copy of its file.  Raises CliError."""
    import yaml

    with tempfile.TemporaryDirectory(prefix="bai-vllm-") as folder:
        copy = Path(folder) / stack.file.name
        if stack.file.exists():
            shutil.copy(stack.file, copy)
        before = _content(yaml.safe_load(copy.read_text()) if copy.exists() else None)
        set_secret(_KEY, token, "--config-file", str(copy), stack=stack.name, folder=stack.folder)
        after = _content(yaml.safe_load(copy.read_text()))
    value = after["config"][_KEY]
    if not isinstance(value, dict) or "secure" not in value:
        raise CliError("The Pulumi CLI has encrypted nothing.", f"`pulumi config set --secret {_KEY}` does it by hand.")
    return Encrypted(value, {key: str(after[key]) for key in after if key not in (*before, "config")})


_KEY = f"{PROJECT}:hf_token"


def _content(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
