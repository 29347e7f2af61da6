"""The table of rules.  A rule is a function in rules_*.py and a row here.

`python -m policies.table` prints it as Markdown; `--write` puts it into docs/policies.md.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from . import rules_gpu as gpu
from . import rules_secrets as secret
from . import rules_service as service
from . import rules_source as source
from . import rules_stack as stack
from .resources import ENDPOINT, SESSION
from .rule import Level, Limit, Rule

FOLDER = Path(__file__).resolve().parent
DOCUMENT = FOLDER.parent / "docs" / "policies.md"
ENVIRONMENTS = ("dev", "prod")
ANYTHING = ["*"]
_MARKS = ("<!-- rules: made by `python -m policies.table --write` -->\n", "<!-- end of rules -->\n")


def _names(default: list[str], meaning: str) -> Limit:
    return Limit("array", default, meaning)


_ALLOW = _names([], "exceptions")
_SESSION, _ENDPOINT = (SESSION,), (ENDPOINT,)
_ADVISORY, _MANDATORY = Level.ADVISORY, Level.MANDATORY

RULES = (
    Rule(
        "gpus-per-session",
        "A session takes no more GPUs than allowed.",
        *(_MANDATORY, gpu.gpus_per_session, _SESSION),
        {"max": Limit("number", 8, "GPUs of one session")},
    ),
    Rule(
        "gpus-per-model",
        "All replicas of a model together take no more GPUs than allowed.",
        *(_MANDATORY, stack.gpus_per_model),
        limits={"max": Limit("number", 16, "GPUs of one model")},
    ),
    Rule(
        "gpus-per-stack",
        "A stack takes no more GPUs than allowed.",
        *(_MANDATORY, stack.gpus_per_stack),
        limits={"max": Limit("number", 32, "GPUs of one stack")},
    ),
    Rule(
        "gpu-quota",
        "A stack fits into the quota of each resource group.",
        *(_MANDATORY, stack.gpu_quota),
        limits={"quota": Limit("object", {}, "resource group → GPUs; a group that isn't there has no quota")},
    ),
    Rule(
        "gpu-card",
        "Models run on the cards that are meant for this environment.",
        *(_ADVISORY, gpu.gpu_card, _SESSION),
        {
            "allow": _names(ANYTHING, "cards, such as A100-*"),
            "units": _names(ANYTHING, "cuda.device, cuda.shares"),
        },
    ),
    Rule(
        "resource-group",
        "Models run in allowed resource groups.",
        *(_MANDATORY, gpu.resource_group, _SESSION),
        {"allow": _names(ANYTHING, "resource groups")},
    ),
    Rule(
        "gpu-memory-utilization",
        "gpu_memory_utilization leaves room on the card, and doesn't waste it.",
        *(_ADVISORY, gpu.gpu_memory_utilization, _SESSION),
        {"min": Limit("number", 0.5, "lowest share", most=1), "max": Limit("number", 0.95, "highest share", most=1)},
        gpu.clamp_gpu_memory_utilization,
    ),
    Rule(
        "max-model-len",
        "max_model_len is within bounds.",
        *(_ADVISORY, gpu.max_model_len, _SESSION),
        {
            "min": Limit("integer", 256, "fewest tokens"),
            "max": Limit("integer", 131072, "most tokens"),
            "allow_auto": Limit("boolean", True, "whether it may be as long as memory allows"),
        },
    ),
    Rule(
        "quantization",
        "Weights are quantized in an allowed way.",
        *(_ADVISORY, gpu.quantization, _SESSION),
        {"allow": _names(ANYTHING, "methods; none is weights as they are")},
    ),
    Rule(
        "image",
        "The image is pinned, and from an allowed registry.",
        *(_MANDATORY, source.image, _SESSION),
        {
            "registries": _names(ANYTHING, "registries, or registry/repository"),
            "require_digest": Limit("boolean", False, "whether a tag of x.y.z isn't enough"),
        },
    ),
    Rule(
        "revision",
        "The model's revision is a commit.",
        *(_ADVISORY, source.revision, _SESSION),
    ),
    Rule(
        "trust-remote-code",
        "No code of a model's repository runs.",
        *(_MANDATORY, source.trust_remote_code, _SESSION),
        {"allow": _names([], "models whose code was checked")},
    ),
    Rule(
        "dangerous-arguments",
        "No argument or variable opens vLLM, or goes around what was checked.",
        *(_MANDATORY, source.dangerous_arguments, _SESSION),
        {"allow": _names([], "flags and variables, such as --enable-lora")},
    ),
    Rule(
        "organisations",
        "Models come from allowed organisations.",
        *(_MANDATORY, source.organisations, _SESSION),
        {
            "allow": _names(ANYTHING, "organisations, or organisation/model"),
            "deny": _names([], "the same; wins"),
            "allow_folders": Limit("boolean", True, "whether a folder of the session may be served"),
        },
    ),
    Rule(
        "licences",
        "Models have an allowed licence.",
        *(_MANDATORY, source.licences, _SESSION),
        {"allow": _names(ANYTHING, "licences as the Hub names them"), "deny": _names([], "the same; wins")},
    ),
    Rule(
        "api-key",
        "Every model has an api key.",
        *(_MANDATORY, secret.api_key, _SESSION),
        {"min_length": Limit("integer", 20, "characters")},
    ),
    Rule(
        "api-keys-apart",
        "No api key is used for two models, or for anything else.",
        *(_MANDATORY, stack.api_keys_apart),
    ),
    Rule(
        "secrets",
        "No token or key stands in clear.",
        *(_MANDATORY, secret.secrets, _SESSION),
        {"allow": _names([], "variables of env that only look like secrets")},
    ),
    Rule(
        "public-exposure",
        "No model is open to everybody.",
        *(_MANDATORY, secret.public_exposure, (SESSION, ENDPOINT)),
        {"allow": _names([], "replicas such as chat-0 or chat-*")},
    ),
    Rule(
        "verdict",
        "The model will start.",
        *(_ADVISORY, service.verdict, _SESSION),
        {"allow": Limit("array", ["START", "MAYBE"], "START, MAYBE, WONT_START", ("START", "MAYBE", "WONT_START"))},
    ),
    Rule(
        "replicas",
        "A model has enough replicas.",
        *(_ADVISORY, stack.replicas),
        limits={"min": Limit("integer", 1, "replicas")},
    ),
    Rule(
        "served-names",
        "No two models have the same served name.",
        *(_MANDATORY, stack.served_names),
    ),
    Rule(
        "endpoints",
        "Every session has an endpoint.",
        *(_MANDATORY, stack.endpoints),
    ),
    Rule(
        "ready-timeout",
        "Waiting for a model has an end.",
        *(_ADVISORY, service.ready_timeout, _ENDPOINT),
        {
            "min": Limit("number", 60, "seconds"),
            "max": Limit("number", 7200, "seconds"),
            "require_wait": Limit("boolean", False, "whether `up` must wait for an answer"),
        },
        service.set_ready_timeout,
    ),
    Rule(
        "lifetime",
        "A session that somebody forgets ends by itself.",
        *(_ADVISORY, service.lifetime, _SESSION),
        {"max_hours": Limit("number", 72, "hours")},
    ),
)


def config(environment: str) -> dict[str, Any]:
    """The file for --policy-pack-config."""
    read: dict[str, Any] = json.loads((FOLDER / f"{environment}.json").read_text())
    return read


def markdown() -> str:
    """One row a rule."""
    configs = {environment: config(environment) for environment in ENVIRONMENTS}
    lines = [
        "| rule | what must hold | asked about | limits (default) | alone | dev | prod | remedy |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for rule in RULES:
        about = ", ".join({SESSION: "session", ENDPOINT: "endpoint"}[kind] for kind in rule.on) or "stack"
        limits = "<br>".join(f"`{k}` {limit.meaning} ({_shown(limit.default)})" for k, limit in rule.limits.items())
        where = " | ".join(_in_environment(rule, configs[environment]) for environment in ENVIRONMENTS)
        remedy = "yes" if rule.remedy else "–"
        cells = (f"`{rule.name}`", rule.says, about, limits or "–", rule.level, where, remedy)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _in_environment(rule: Rule, settings: dict[str, Any]) -> str:
    own = settings.get(rule.name, {})
    own = {"enforcementLevel": own} if isinstance(own, str) else own
    level = own.get("enforcementLevel", settings["all"])
    return "<br>".join([level, *(f"`{k}` {_shown(v)}" for k, v in own.items() if k != "enforcementLevel")])


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value).replace("*", "\\*") or "none"
    return json.dumps(value) if isinstance(value, (bool, dict)) else str(value)


def document(text: str) -> str:
    """`text` with the table between its marks."""
    before, _, rest = text.partition(_MARKS[0])
    _, _, after = rest.partition(_MARKS[1])
    return f"{before}{_MARKS[0]}\n{markdown()}\n{_MARKS[1]}{after}"


if __name__ == "__main__":
    if "--write" in sys.argv:
        DOCUMENT.write_text(document(DOCUMENT.read_text()))
    else:
        print(markdown(), end="")
