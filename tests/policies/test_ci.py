"""The invariant: the workflows for teams run what is there, never without the policies, and comment what was said."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from policies.table import FOLDER

ROOT = FOLDER.parent
CI = ROOT / "docs" / "ci"
PREVIEW = """\
Previewing update (prod):
Loading policy packs...: done

    pulumi:pulumi:Stack backendai-vllm-prod running Will it start?
Policies:
    ❌ backendai-vllm@v0.0.1 (local: policies/analyzer)
        - [mandatory]  replicas  (pulumi:providers:pulumi-python: default)
          A model has enough replicas.
          chat: replicas is 1; 2 or more are required (min). Cure: Set replicas to 2.

Diagnostics:
  pulumi:pulumi:Stack (backendai-vllm-prod):
    Will it start?
    model   GPU        verdict
    ------  ---------  -----------
    chat    H100-80GB  START
    writer  T4         WON'T START
    warning: writer: something else
    error: preview failed

Outputs:
    endpoints: [unknown]
"""


def comment(text: str, tmp_path: Path) -> str:
    preview = tmp_path / "preview.txt"
    preview.write_text(text)
    return subprocess.run([CI / "comment.sh", preview], capture_output=True, text=True, check=True).stdout


def test_the_comment_has_the_verdicts_the_policies_and_the_preview(tmp_path: Path) -> None:
    said = comment(PREVIEW, tmp_path)
    table = said.split("### Will it start?\n\n```\n")[1].split("\n```")[0]
    assert table.splitlines()[0] == "model   GPU        verdict"
    assert table.splitlines()[-1] == "writer  T4         WON'T START"
    policies = said.split("### Policies\n\n```\n")[1].split("\n```")[0]
    assert "Cure: Set replicas to 2." in policies and "Will it start?" not in policies
    assert PREVIEW in said
    assert said.endswith("</details>\n")


def test_a_preview_that_failed_early_is_a_comment_too(tmp_path: Path) -> None:
    said = comment("error: the stack is locked\n", tmp_path)
    assert said.startswith("<details>") and "error: the stack is locked" in said


def scripts(value: Any) -> list[str]:
    """All shell lines of a workflow."""
    if isinstance(value, dict):
        own = [line for key in ("run", "script", "before_script", "after_script") for line in _lines(value.get(key))]
        return own + [line for item in value.values() for line in scripts(item)]
    return [line for item in value for line in scripts(item)] if isinstance(value, list) else []


def _lines(value: Any) -> list[str]:
    return value.splitlines() if isinstance(value, str) else list(value or ())


@pytest.mark.parametrize("name", ["github-actions.yml", "gitlab-ci.yml"])
def test_preview_and_up_have_the_policies(name: str) -> None:
    text = (CI / name).read_text()
    lines = scripts(yaml.safe_load(text))
    for verb in ("pulumi preview", "pulumi up --yes"):
        (line,) = [line for line in lines if verb in line]
        assert "$POLICIES" in line and '--stack "$STACK"' in line and "--skip-preview" not in line
    assert "POLICIES: --policy-pack policies/analyzer --policy-pack-config policies/prod.json" in text
    assert any("docs/ci/comment.sh preview.txt" in line for line in lines)
    for path in ("policies/analyzer", "policies/prod.json", "docs/ci/comment.sh", "stacks/Pulumi.prod.yaml"):
        assert (ROOT / path).exists()
