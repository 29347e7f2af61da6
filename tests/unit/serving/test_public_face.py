"""The invariant: the room's face is complete and cheap to import; nothing in it knows Pulumi or a cluster."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import serving
from serving import errors
from serving.errors import GatedModel, InvalidArgument, InvalidArguments, ServingError

ROOM = Path(serving.__file__).parent
FORBIDDEN = {"pulumi", "ai", "backendai", "components", "providers", "emulator", "cli", "policies"}
HEAVY = ("aiohttp", "httpx", "huggingface_hub", "tenacity", "pydantic", "asyncio")


def test_names_are_sorted_and_all_there() -> None:
    assert serving.__all__ == sorted(serving.__all__)
    assert dir(serving) == serving.__all__
    for name in serving.__all__:
        thing = getattr(serving, name)
        assert thing.__name__ == name
    with pytest.raises(AttributeError):
        serving.no_such_name  # noqa: B018


def test_every_error_is_on_the_face_and_in_the_drawing() -> None:
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, ServingError)]
    assert {c.__name__ for c in classes} <= set(serving.__all__)
    assert all(c.__name__ in (errors.__doc__ or "") for c in classes)
    assert len({c.code for c in classes}) == len(classes)


def test_importing_the_room_loads_nothing_heavy() -> None:
    program = f"import sys, serving; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", sorted(ROOM.glob("*.py")), ids=lambda path: path.stem)
def test_nothing_in_the_room_imports_what_is_above_it(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            imported.add((node.module or "").partition(".")[0])
    assert not imported & FORBIDDEN


def test_an_error_reads_as_one_paragraph_with_its_cure() -> None:
    error = InvalidArgument("It is wrong.", "Put it right.", key="port")
    assert str(error) == "It is wrong. Cure: Put it right."
    assert str(ServingError("It is so.")) == "It is so."
    assert (error.key, GatedModel("x", reason="no-token").key) == ("port", "hf_token")
    both = InvalidArguments([error, InvalidArgument("No.", "Yes.", key="dtype")])
    assert str(both) == "port: It is wrong. Cure: Put it right.\ndtype: No. Cure: Yes."
