"""Changes to a stack file that leave every other byte of it as it was: comments, blank lines, quotes, order.

A YAML library that writes a document lays it out anew.  So the parser only tells where things are, and lines are put in
or taken out of the text; what came of it is read again and compared with what was wanted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .boundary import CliError
from .pulumi_cli import PROJECT

if TYPE_CHECKING:
    from yaml.nodes import MappingNode, Node, SequenceNode

MODELS = f"{PROJECT}:models"
_DEFAULT_INDENT = 2  # columns, where the file has no entry yet to go by
_BY_HAND = "Change it by hand in an editor."


class CannotEdit(CliError):
    """The file is laid out in a way that isn't understood well enough to change it."""


def config_of(text: str, file: Path) -> dict[str, Any]:
    """All config keys, with the project's name; secrets as `{"secure": ...}`.  Raises CliError."""
    content = _load(text, file)
    config = content.get("config") if isinstance(content, dict) else None
    return config if isinstance(config, dict) else {}


def entries_of(text: str, file: Path) -> list[dict[str, Any]]:
    """The models that the file names.  Raises CliError."""
    models = config_of(text, file).get(MODELS)
    if models is not None and not isinstance(models, list):
        raise CliError(f"models in {file.name} is no list.", "Write one entry a line, each after a dash.")
    return [entry for entry in models or [] if isinstance(entry, dict)]


def with_entry(text: str, entry: Mapping[str, Any], file: Path) -> str:
    """The text with one more model at the end of the list.  Raises CliError."""
    models = _models(text, file)
    made = _Text(text).added(models, entry) if models else _Text(text).begun(entry, file)
    return _proved(made, [*entries_of(text, file), dict(entry)], file)


def without_entry(text: str, name: str, file: Path) -> str:
    """The text without the model of that name; what stands above its entry stays.  Raises CliError."""
    from yaml.nodes import SequenceNode

    entries, models = entries_of(text, file), _models(text, file)
    if not isinstance(models, SequenceNode) or not any(entry.get("name") == name for entry in entries):
        raise CliError(f"{file.name} has no model '{name}'.", f"It has: {', '.join(_names(entries)) or 'none'}.")
    index = next(n for n, item in enumerate(models.value) if _field(item, "name") == name)
    rest = [entry for entry in entries if entry.get("name") != name]
    return _proved(_Text(text).removed(models, index), rest, file)


def with_settings(text: str, settings: Mapping[str, str]) -> str:
    """The text with more keys at its outermost level, such as the salt of its secrets."""
    end = "\r\n" if "\r\n" in text else "\n"
    text = text if not text or text.endswith("\n") else text + end
    return text + "".join(f"{key}: {_scalar(value)}{end}" for key, value in settings.items())


def read(file: Path) -> str:
    """The file's text, line ends as they are; "" where there is none.  Raises CliError."""
    try:
        return file.read_bytes().decode()
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        raise CliError(
            f"{file} is no text file.", f"Take the last sound version: git checkout -- {file.name}"
        ) from None


def write(file: Path, text: str) -> None:
    """All of the text or nothing of it, with the file's own permissions.  Raises OSError."""
    file = file.resolve()  # a link stays one
    made = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        made.write_bytes(text.encode())
        if file.exists():
            made.chmod(file.stat().st_mode & 0o777)
        made.replace(file)
    finally:
        made.unlink(missing_ok=True)


def _load(text: str, file: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        cure = f"Correct it, or take the last sound version: git checkout -- {file.parent.name}/{file.name}"
        raise CliError(f"{file} isn't sound YAML{where}.", cure) from None


def _proved(text: str, wanted: list[dict[str, Any]], file: Path) -> str:
    try:
        found = entries_of(text, file)
    except CliError:
        found = []
    if found != wanted:
        raise CannotEdit(f"{file.name} is laid out in a way that this command can't change.", _BY_HAND)
    return text


def _names(entries: list[dict[str, Any]]) -> list[str]:
    return [str(entry["name"]) for entry in entries if entry.get("name")]


def _value(node: MappingNode, key: str) -> tuple[Node, Node] | None:
    return next(((k, v) for k, v in node.value if k.value == key), None)


def _field(node: Node, key: str) -> str | None:
    from yaml.nodes import MappingNode

    found = _value(node, key) if isinstance(node, MappingNode) else None
    return str(found[1].value) if found else None


def _models(text: str, file: Path) -> Node | None:
    """The node of the list; None where the file has no such key."""
    import yaml

    _load(text, file)
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        return None
    config = _value(root, "config")
    found = _value(config[1], MODELS) if config and isinstance(config[1], yaml.MappingNode) else None
    return found[1] if found else None


def _scalar(value: Any) -> str:
    """A value in one line, quoted where YAML wants it."""
    import yaml

    text: str = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _lines_of(entry: Mapping[str, Any]) -> Iterator[str]:
    for key, value in entry.items():
        if isinstance(value, Mapping):
            yield f"{key}:"
            yield from (f"  {line}" for line in _lines_of(value))
        else:
            yield f"{key}: {_scalar(value)}"


class _Text:
    """The text as lines, each with its end."""

    def __init__(self, text: str) -> None:
        self._end = "\r\n" if "\r\n" in text else "\n"
        if text and not text.endswith("\n"):
            text += self._end
        self._text, self._lines = text, text.splitlines(keepends=True)

    def added(self, models: Node, entry: Mapping[str, Any]) -> str:
        from yaml.nodes import SequenceNode

        if isinstance(models, SequenceNode) and models.value:
            return self._in_flow(models, entry) if models.flow_style else self._in_block(models, entry)
        # `models: []`, or nothing after the colon: the list begins on the next line
        line = models.start_mark.line
        begin, end = models.start_mark.index, models.end_mark.index
        indent = self._indent(line) + _DEFAULT_INDENT
        lines = "".join(self._entry(entry, indent, indent + _DEFAULT_INDENT))
        head, tail = self._text[:begin].rstrip(" "), self._text[end:]
        rest, _, after = tail.partition("\n")
        return head + rest.rstrip() + self._end + lines + after

    def begun(self, entry: Mapping[str, Any], file: Path) -> str:
        """A file that says nothing of models yet."""
        column = _DEFAULT_INDENT
        lines = [f"{' ' * column}{MODELS}:{self._end}", *self._entry(entry, 2 * column, 3 * column)]
        match = re.search(r"^config:[ \t]*(#.*)?\r?\n", self._text, re.MULTILINE)
        if match:
            keys = re.match(r"[ \t]+(?=\S)", self._text[match.end() :])
            if keys and len(keys[0]) != column:
                raise CannotEdit(f"{file.name} has no models to add to.", f"Add `{MODELS}: []` to its config.")
            return self._text[: match.end()] + "".join(lines) + self._text[match.end() :]
        return self._text + f"config:{self._end}" + "".join(lines)

    def removed(self, models: SequenceNode, index: int) -> str:
        if models.flow_style:
            return self._out_of_flow(models, index)
        dash = self._dash(models, index)
        first = self._text.count("\n", 0, dash)
        last = self._last_line(models.value[index], dash - self._text.rfind("\n", 0, dash) - 1)
        lines = self._lines[:first] + self._lines[last + 1 :]
        if len(models.value) == 1:
            key = next(n for n in range(first - 1, -1, -1) if re.match(rf"\s*['\"]?{MODELS}", self._lines[n]))
            lines[key] = re.sub(rf"({MODELS}['\"]?:)", r"\1 []", self._lines[key], count=1)
        return "".join(lines)

    def _in_block(self, models: SequenceNode, entry: Mapping[str, Any]) -> str:
        dash, last = self._dash(models, len(models.value) - 1), models.value[-1]
        column = dash - self._text.rfind("\n", 0, dash) - 1
        on_one_line = self._text.count("\n", 0, dash) == last.start_mark.line
        keys = last.start_mark.column if on_one_line else column + _DEFAULT_INDENT
        at = self._last_line(last, column) + 1
        return "".join([*self._lines[:at], *self._entry(entry, column, keys), *self._lines[at:]])

    def _in_flow(self, models: SequenceNode, entry: Mapping[str, Any]) -> str:
        at = models.value[-1].end_mark.index
        return f"{self._text[:at]}, {_scalar(dict(entry))}{self._text[at:]}"

    def _out_of_flow(self, models: SequenceNode, index: int) -> str:
        items = models.value
        begin, end = items[index].start_mark.index, items[index].end_mark.index
        if index:
            begin = items[index - 1].end_mark.index
        elif len(items) > 1:
            end = items[1].start_mark.index
        return self._text[:begin] + self._text[end:]

    def _entry(self, entry: Mapping[str, Any], column: int, keys: int) -> list[str]:
        """Lines of an entry whose dash is at `column` and whose keys are at `keys`."""
        lines = [" " * keys + line + self._end for line in _lines_of(entry)]
        lines[0] = " " * column + "-" + lines[0][column + 1 :]
        return lines

    def _dash(self, models: SequenceNode, index: int) -> int:
        """Where the dash of an item is; a blank after it, or the end of a line, parts it from the item."""
        return self._text.rindex("-", models.start_mark.index, max(models.value[index].start_mark.index, 1))

    def _last_line(self, item: Node, column: int) -> int:
        """The last line that belongs to an item whose dash is at `column`: what it says, and comments further in."""
        line = max(_ends(item))
        while not self._lines[line].strip():  # a block of text ends where something else begins
            line -= 1
        while line + 1 < len(self._lines):
            following = self._lines[line + 1]
            if not following.lstrip().startswith("#") or self._indent(line + 1) <= column:
                break
            line += 1
        return line

    def _indent(self, line: int) -> int:
        return len(self._lines[line]) - len(self._lines[line].lstrip(" "))


def _ends(node: Node) -> Iterator[int]:
    """The last lines of everything in a node: where a block itself ends is told by what comes after it only."""
    from yaml.nodes import CollectionNode, MappingNode, ScalarNode

    if isinstance(node, MappingNode) and node.value and not node.flow_style:
        for key, value in node.value:
            yield key.end_mark.line
            yield from _ends(value)
    elif isinstance(node, CollectionNode) and node.value and not node.flow_style:
        for value in node.value:
            yield from _ends(value)
    elif isinstance(node, ScalarNode) and node.style in ("|", ">"):
        yield node.end_mark.line - (1 if node.end_mark.column == 0 else 0)
    else:
        yield node.end_mark.line
