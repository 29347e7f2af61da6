"""How trials are shown: a line a step, or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from cli.console import say
from cli.options import Output

from .steps import OK, Trial


def show(trials: Sequence[Trial], output: Output) -> None:
    """On stdout."""
    if output is Output.JSON:
        servers = [
            {
                "server": trial.server,
                "session_id": trial.session_id,
                "model": trial.model or None,
                "ok": trial.ok,
                "steps": [
                    {"name": s.name, "state": s.state, "detail": s.detail, "cure": s.cure or None, **s.figures}
                    for s in trial.steps
                ],
            }
            for trial in trials
        ]
        say(json.dumps({"ok": all(trial.ok for trial in trials), "servers": servers}, indent=2, ensure_ascii=False))
        return
    for trial in trials:
        say(f"{trial.server}" + (f" (session {trial.session_id})" if trial.session_id else ""))
        for step in trial.steps:
            say(f"  {step.name:<11} {step.state:<8} {step.detail}".rstrip())
            if step.cure and step.state != OK:
                say(f"  {'':<11} {'cure:':<8} {step.cure}")
