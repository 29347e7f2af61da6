"""What a run of Pulumi says, as lines for an operator; and what it has touched."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cli.console import say

if TYPE_CHECKING:
    from pulumi.automation import EngineEvent

_COLOURS = re.compile(r"<\{%.*?%\}>")
_OURS = re.compile(r":(VLLMModelSession|ModelEndpoint)$")
_CALLED = {"VLLMModelSession": "session", "ModelEndpoint": "endpoint"}
# What is done to a resource, as it is said before and after.
_DONE = {
    "create": ("create", "created"),
    "create-replacement": ("create again", "created again"),
    "update": ("change", "changed"),
    "replace": ("replace", "replaced"),
    "delete": ("end", "ended"),
    "delete-replaced": ("end, to create it again,", "ended, to be created again"),
}
_SHOWN_IN_PREVIEW = frozenset({"create", "update", "replace", "delete"})
_VERDICTS = "Will it start?"  # the head of their table, by components/verdicts.py
_SAID_ANYWAY = ("an unhandled error occurred", "update failed", "preview failed")  # what failed is told already


@dataclass
class Watch:
    """Shows events as they come.  `begun`: something was done to a session or an endpoint; `errors`: what failed.

    `quiet`: shows nothing, because what Pulumi prints itself is shown.  `verdicts`: shows what will start.
    """

    preview: bool = False
    quiet: bool = False
    verdicts: bool = True
    begun: bool = False
    errors: list[str] = field(default_factory=list)
    changes: dict[str, int] = field(default_factory=dict)

    def event(self, event: EngineEvent) -> None:
        """One event of the engine; called in a thread of the Automation API."""
        if event.diagnostic_event:
            self._said(event.diagnostic_event)
        elif event.policy_event:
            self._policy(event.policy_event)
        elif event.resource_pre_event:
            self._step(event.resource_pre_event.metadata, done=False)
        elif event.res_outputs_event:
            self._step(event.res_outputs_event.metadata, done=True)
        elif event.summary_event:
            self.changes = {str(_word(op)): count for op, count in event.summary_event.resource_changes.items()}

    def _said(self, said: Any) -> None:
        text = _COLOURS.sub("", said.message).strip()
        if not text or said.severity == "debug":
            return
        if said.severity == "error":
            if not text.startswith(_SAID_ANYWAY) and text not in self.errors:
                self.errors.append(text)
        elif said.severity == "info":
            if self.verdicts or not text.startswith(_VERDICTS):
                self._show(text)
        else:
            self._tell(f"warning: {text}" if said.severity == "warning" else text)

    def _policy(self, said: Any) -> None:
        text = f"{said.policy_name}: {_COLOURS.sub('', said.message).strip()}"
        if said.enforcement_level == "mandatory":
            self.errors.append(f"policy {text}")
        else:
            self._tell(f"warning: policy {text}")

    def _step(self, step: Any, *, done: bool) -> None:
        kind, op = _OURS.search(step.type), _word(step.op)
        if not kind or op not in _DONE:
            return
        self.begun = self.begun or not self.preview
        called = f"{_CALLED[kind[1]]} {step.urn.rpartition('::')[2]}"
        if self.preview:
            if not done and op in _SHOWN_IN_PREVIEW:
                self._show(f"would {_DONE[op][0]} {called}")
        elif done:
            self._show(f"{called}: {_DONE[op][1]}")

    def _show(self, text: str) -> None:
        if not self.quiet:
            say(text)
            sys.stdout.flush()

    def _tell(self, text: str) -> None:
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)


def _word(op: Any) -> str:
    """An operation's name; one that the API doesn't know comes as text."""
    return str(getattr(op, "value", op))
