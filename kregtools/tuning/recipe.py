"""The program that trains the best model of a search anew, without the search."""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
import textwrap
from collections.abc import Iterable
from typing import Any

LOAD = [
    "",
    "",
    "def load():",
    '    raise NotImplementedError("return your data: (x, y), (x_val, y_val), (x_test, y_test)")',
    "",
]
BUILD = [
    "",
    "",
    "def build(hp):",
    '    raise NotImplementedError("put the builder of your model here: {}")',
    "",
]
PARTS = '("x", "y", "sample_weight")'


def builder_of(hypermodel: Any) -> Any:
    """The function of the user's own that builds the model, or the class of the hypermodel."""
    given = _given(hypermodel)
    given = getattr(given, "func", given)  # of a partial
    given = getattr(given, "__func__", given)  # of a method
    if given is None:
        return type(hypermodel)
    return given if inspect.isfunction(given) else type(given)


def _given(hypermodel: Any) -> Any:
    """The builder that was given to the search; `None` where the hypermodel's class has its own."""
    return None if getattr(hypermodel.build, "__self__", None) is hypermodel else hypermodel.build


def recipe(hypermodel: Any, config: dict[str, Any]) -> str:
    """A program that builds and trains the best model anew; of data and builders that cannot be copied, a gap."""
    source, build, fit = _builder(hypermodel)
    program = _program(hypermodel, config, source, build, fit)
    if _undefined(program):
        program = _program(hypermodel, config, *_gap(hypermodel))
    return program


def _program(hypermodel: Any, config: dict[str, Any], source: list[str], build: str, fit: str) -> str:
    batch = f", batch_size={config['batch_size']}" if config["batch_size"] else ""
    return "\n".join(
        [
            f'"""Trains the best model of a search anew: trial {config["trial"]}, {config["objective"]} '
            f'{config["score"]:.4f}."""',
            "",
            "from __future__ import annotations",
            "",
            "import keras",
            "import keras_tuner",
            *source,
            *([] if hasattr(hypermodel, "load") else LOAD),
            "",
            f"VALUES = {config['hyperparameters']!r}",
            "",
            f"keras.utils.set_random_seed({config['seed']})",
            "hp = keras_tuner.HyperParameters()",
            "hp.values = dict(VALUES)",
            f"model = {build}(hp)",
            f"train, validation, test = {'hypermodel.load()' if hasattr(hypermodel, 'load') else 'load()'}",
            f'stop = keras.callbacks.EarlyStopping("val_loss", patience={config["patience"]}, '
            "restore_best_weights=True)",
            f"data = dict(zip({PARTS}, train))",
            f"{fit}**data, validation_data=validation, epochs={config['epochs']}{batch}, callbacks=[stop])",
            f"data = dict(zip({PARTS}, validation))",
            'print("validation:", model.evaluate(**data, verbose=0, return_dict=True))',
            "",
        ]
    )


def _builder(hypermodel: Any) -> tuple[list[str], str, str]:
    """The lines that define the builder, and how it builds and fits."""
    target, given = builder_of(hypermodel), _given(hypermodel)
    source = _source(target)
    if given is not None:
        return (source, target.__name__, "model.fit(") if source and given is target else _gap(hypermodel)
    arguments = _arguments(hypermodel)
    if not source or arguments is None:
        return _gap(hypermodel)
    return [*source, f"hypermodel = {target.__name__}({arguments})"], "hypermodel.build", "hypermodel.fit(hp, model, "


def _gap(hypermodel: Any) -> tuple[list[str], str, str]:
    name = builder_of(hypermodel).__qualname__
    return [line.format(name) for line in BUILD], "build", "model.fit("


def _arguments(hypermodel: Any) -> str | None:
    """What a hypermodel was made with, as far as its attributes tell; `None` where they do not."""
    if hasattr(hypermodel, "fixed"):
        return f"**{hypermodel.fixed!r}"
    given = []
    for name, parameter in inspect.signature(type(hypermodel)).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        value = getattr(hypermodel, name, parameter.default)
        if not _is_literal(value):
            return None
        given.append(f"{name}={value!r}")
    return ", ".join(given)


def _is_literal(value: Any) -> bool:
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError):
        return False


def _source(target: Any) -> list[str]:
    """An import where there is something to import, else a copy with what it needs of its module; else nothing."""
    if target.__module__ != "__main__" and target.__qualname__.isidentifier():
        return [f"from {target.__module__} import {target.__name__}", ""]
    if getattr(target, "__closure__", None):
        return []
    try:
        own = textwrap.dedent(inspect.getsource(target))
        module = ast.parse(inspect.getsource(sys.modules[target.__module__]))
        tree = ast.parse(own)
    except (OSError, TypeError, SyntaxError, KeyError):
        return []
    if not isinstance(tree.body[0], (ast.FunctionDef, ast.ClassDef)) or tree.body[0].name != target.__name__:
        return []
    copied = [ast.unparse(node) for node in _needed(module, tree)]
    return [*copied, "", "", own]


def _needed(module: ast.Module, tree: ast.Module) -> list[ast.stmt]:
    """The statements of a module that define what a part of it uses, in their order."""
    available = {name: node for node in module.body for name in _defined([node])}
    chosen: list[ast.stmt] = []
    names = _used(tree) - _defined(tree.body)
    while names:
        node = available.get(names.pop())
        if node is not None and node not in chosen:
            chosen.append(node)
            names |= _used(node)
    future = [n for n in chosen if isinstance(n, ast.ImportFrom) and n.module == "__future__"]
    return [node for node in module.body if node in chosen and node not in future]


def _defined(nodes: Iterable[ast.stmt]) -> set[str]:
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            names |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return names


def _used(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _undefined(program: str) -> set[str]:
    """The names that a program uses and nowhere defines."""
    tree = ast.parse(program)
    nodes = list(ast.walk(tree))
    known = _defined(n for n in nodes if isinstance(n, ast.stmt)) | set(dir(builtins)) | {"__file__", "__name__"}
    known |= {n.id for n in nodes if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    known |= {n.arg for n in nodes if isinstance(n, ast.arg)}
    known |= {n.name for n in nodes if isinstance(n, ast.ExceptHandler) and n.name}
    return _used(tree) - known
