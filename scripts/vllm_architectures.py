"""Makes serving/data/vllm_architectures.json: `python scripts/vllm_architectures.py TRANSFORMERS RELEASE=VLLM ...`.

TRANSFORMERS is the package's folder that the newest release runs with; each VLLM the folder `vllm` of a release, such
as out of its source distribution: `0.8=/src/vllm-0.8.5/vllm`.  Nothing of them is imported, only read.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parents[1] / "serving" / "data" / "vllm_architectures.json"
SOURCE = (
    "vllm/model_executor/models/registry.py of these releases of vLLM (and its _PREVIOUSLY_SUPPORTED_MODELS): text "
    "generation, multimodal and pooling architectures. not_yet: the last of the releases without it (none: it is in "
    "the first of them); gone_after: the last release with it; gone_in: the first of the releases without it, where "
    "the registry doesn't say the last with it; transformers_since: run by vLLM's Transformers backend from that "
    "release on; pooling: it writes no text. transformers_backend: generating classes of Transformers that declare "
    "_supports_attention_backend and that the last release's registry doesn't have: it runs them by that backend. "
    "model_types: what Transformers and the last release's own _CONFIG_REGISTRY read a config.json of without code "
    "from the repo. Made by scripts/vllm_architectures.py."
)
_LEFT_OUT = ("_VLLM_MODELS", "_OOT_SUPPORTED_MODELS", "_SPECULATIVE_DECODING_MODELS", "_PREVIOUSLY_SUPPORTED_MODELS")
_GENERATING = ("_TEXT_GENERATION_MODELS", "_MULTIMODAL_MODELS", "_TRANSFORMERS_SUPPORTED_MODELS")
_GENERATORS = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")

Registry = dict[str, tuple[str, str | None]]  # architecture -> the table it is in, and its module


def tables(path: Path) -> Iterator[tuple[str, ast.Dict]]:
    """Every dict of a module that is assigned to one name."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.Dict):
            yield target.id, value


def entries(table: ast.Dict) -> Iterator[tuple[str, Any]]:
    for key, value in zip(table.keys, table.values, strict=True):
        if isinstance(key, ast.Constant):
            yield str(key.value), value


def registry(vllm: Path) -> tuple[Registry, dict[str, str]]:
    """The architectures of a release, and the last release with each that is gone."""
    found: Registry = {}
    gone: dict[str, str] = {}
    for name, table in tables(vllm / "model_executor" / "models" / "registry.py"):
        if name == "_PREVIOUSLY_SUPPORTED_MODELS":
            gone |= {architecture: str(ast.literal_eval(value)) for architecture, value in entries(table)}
        elif name.endswith("_MODELS") and name not in _LEFT_OUT:
            for architecture, value in entries(table):
                found[architecture] = (name, ast.literal_eval(value)[0] if isinstance(value, ast.Tuple) else None)
    return found, gone


def minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def rows(releases: Sequence[str], found: dict[str, Registry], gone: dict[str, str]) -> Iterator[tuple[str, Any]]:
    for name in sorted({*gone, *(name for registered in found.values() for name in registered)}):
        seen = [release for release in releases if name in found[release]]
        if not seen:
            yield name, {"gone_after": minor(gone[name])}
            continue
        row: dict[str, Any] = {}
        if before := releases.index(seen[0]):
            row["not_yet"] = releases[before - 1]
        if (last := releases.index(seen[-1])) < len(releases) - 1:
            row["gone_after"] = minor(gone[name]) if name in gone else seen[-1]
            if name not in gone:
                row["gone_in"] = releases[last + 1]
        table, _ = found[seen[-1]][name]
        if (by := [release for release in seen if _by_transformers(found[release][name])]) and by[-1] == seen[-1]:
            row["transformers_since"] = by[0]
        if table not in _GENERATING and not name.startswith("Transformers"):
            row["pooling"] = True
        yield name, row


def _by_transformers(entry: tuple[str, str | None]) -> bool:
    return entry[1] == "transformers" or entry[0] == "_TRANSFORMERS_SUPPORTED_MODELS"


def backend_classes(transformers: Path, known: Registry) -> list[str]:
    """Generating classes that declare themselves fit for vLLM, by themselves or by a base."""
    classes: dict[str, tuple[bool | None, list[str]]] = {}
    for path in transformers.glob("models/*/modeling_*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                classes[node.name] = (_declared(node), [getattr(base, "id", "") for base in node.bases])

    def fit(name: str, seen: frozenset[str]) -> bool | None:
        declared, bases = classes.get(name, (None, []))
        if declared is not None or name in seen:
            return declared
        return next((found for base in bases if (found := fit(base, seen | {name})) is not None), None)

    return sorted(n for n in classes if n.endswith(_GENERATORS) and n not in known and fit(n, frozenset()))


def _declared(node: ast.ClassDef) -> bool | None:
    for line in node.body:
        target = line.targets[0] if isinstance(line, ast.Assign) else getattr(line, "target", None)
        if getattr(target, "id", "") == "_supports_attention_backend":
            return bool(getattr(getattr(line, "value", None), "value", False))
    return None


def model_types(transformers: Path, vllm: Path) -> list[str]:
    types = {"gpt-sw3"}  # added to the mapping by name
    for node in ast.parse((transformers / "models" / "auto" / "auto_mappings.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "CONFIG_MAPPING_NAMES":
            types |= {pair.elts[0].value for pair in node.value.args[0].elts}  # type: ignore[attr-defined]
    for node in ast.parse((vllm / "transformers_utils" / "config.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "_CONFIG_REGISTRY":
            for word in node.value.keywords:  # type: ignore[union-attr]
                types |= {word.arg} if word.arg else set(ast.literal_eval(word.value))
    return sorted(types)


def written(table: dict[str, Any]) -> str:
    """One architecture a line, so that a change reads well."""
    lines = [f' "source": {json.dumps(table["source"])},', f' "releases": {json.dumps(table["releases"])},']
    for key in ("transformers_backend", "model_types"):
        lines += [f' "{key}": [', ",\n".join(f"  {json.dumps(name)}" for name in table[key]), " ],"]
    body = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in table["architectures"].items())
    return "\n".join(["{", *lines, ' "architectures": {', body, " }", "}", ""])


def main() -> None:
    transformers = Path(sys.argv[1])
    folders = {release: Path(folder) for release, folder in (word.split("=", 1) for word in sys.argv[2:])}
    releases = sorted(folders, key=lambda release: [int(part) for part in release.split(".")])
    found: dict[str, Registry] = {}
    gone: dict[str, str] = {}
    for release in releases:
        found[release], left = registry(folders[release])
        gone |= left
    newest = releases[-1]
    table = {
        "source": SOURCE,
        "releases": releases,
        "transformers_backend": backend_classes(transformers, found[newest]),
        "model_types": model_types(transformers, folders[newest]),
        "architectures": dict(rows(releases, found, gone)),
    }
    TARGET.write_text(written(table), encoding="utf-8")


if __name__ == "__main__":
    main()
