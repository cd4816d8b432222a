"""The one-way street: what each part of the package may import."""

import ast
from collections import Counter
from pathlib import Path

import pytest

import kregtools

ROOT = Path(kregtools.__file__).parent
# Each stage may import those before it. `capture` and `callbacks` stand outside: nothing on the street knows them.
STREET = ("record", "symptoms", "causes", "diagnosis", "report", "run")
BACKENDS = {"tensorflow", "jax", "torch"}


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def stage(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path, lazily: bool = True) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree) if lazily else ast.iter_child_nodes(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def ours(names: set[str]) -> set[str]:
    return {name.split(".")[1] for name in names if name.startswith("kregtools.")} - {"errors", "_time_limit"}


@pytest.mark.parametrize("path", [p for p in modules() if stage(p) in STREET], ids=lambda p: str(p.relative_to(ROOT)))
def test_the_street_is_one_way(path):
    before = set(STREET[: STREET.index(stage(path)) + 1])
    assert ours(imports(path, lazily=False)) <= before
    assert not ours(imports(path)) & {"capture", "callbacks"}


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_backends_and_private_keras_are_named_in_capture_alone(path):
    names = imports(path)
    if stage(path) == "capture":
        return
    assert not {name for name in names if name.startswith("keras.src")}
    assert not {name.split(".")[0] for name in names} & BACKENDS


@pytest.mark.parametrize("path", [p for p in modules() if stage(p) in STREET], ids=lambda p: str(p.relative_to(ROOT)))
def test_judging_does_without_keras(path):
    assert "keras" not in {name.split(".")[0] for name in imports(path)}


def test_no_two_test_modules_share_a_name():
    """Pytest would refuse one of them, but only where both are collected."""
    names = Counter(path.name for path in Path(__file__).parent.rglob("*.py") if path.name != "conftest.py")
    assert [name for name, count in names.items() if count > 1] == []
