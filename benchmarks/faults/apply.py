"""Does to a program what the printed remedy says: runs its code, statement by statement, on the program's parts.

A statement is applied by its form (`STATEMENTS`):

- a layer that is called on `inputs` becomes the first, one assigned to `outputs` the last;
- any other layer is for the layers that the text names: those of its class take its arguments and keep the rest, after
  the others it is put; where the text names none, it goes before the output;
- layers named after "in place of" are taken out, and the printed ones put there;
- what `model.compile` and `model.fit` are given replaces what the program gave them;
- what is assigned to `x` and `y` is computed for the training and for the validation rows;
- `value = keras.ops.log(...)` stands for that function in the program's own loss;
- everything else is executed as it stands.
"""

from __future__ import annotations

import ast
import inspect
import re
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from data import Split

import kregtools
from kregtools.causes import Remedy

FOR_A_PERSON = ("Look at", "Compare", "Read the", "Collect", "Find the rows")


class NotMechanicalError(Exception):
    """The remedy asks for a person's judgement."""


@dataclass
class Setup:
    """All that a program hands to Keras; the model is not compiled."""

    model: keras.Model
    data: Split
    compile: dict[str, Any]
    fit: dict[str, Any]


@dataclass
class Change:
    """A setup while a remedy is applied to it: its layers, the layers named, and the names its code may use."""

    setup: Setup
    layers: list[keras.Layer]
    named: list[str]
    replaced: list[str]
    names: dict[str, Any]
    seen: dict[str, int] = field(default_factory=dict)

    def value(self, node: ast.expr, **names: Any) -> Any:
        """What an expression of the remedy gives."""
        return eval(ast.unparse(node), {**self.names, **names})

    def at(self, name: str) -> int:
        """Where a layer is."""
        return [layer.name for layer in self.layers].index(name)


def applied(remedy: Remedy, setup: Setup) -> Setup:
    """The setup after the remedy.

    Raises:
        NotMechanicalError: If the remedy asks for a person's judgement.
    """
    if remedy.text.startswith(FOR_A_PERSON):
        raise NotMechanicalError
    text, _, old = remedy.text.partition("in place of ")
    named, replaced = _named(text, setup.model), _named(old, setup.model)
    change = Change(setup, list(setup.model.layers), named or replaced, replaced, _names(setup))
    for statement in ast.parse(remedy.code).body:
        next(apply for apply in STATEMENTS if apply(statement, change))
    kept = [layer for layer in change.layers if layer.name not in replaced]
    setup.model = keras.Sequential([keras.Input(setup.model.input_shape[1:]), *map(_anew, kept)])
    return setup


# ---- statements: each says whether it was one of its form


def _layer(statement: ast.stmt, change: Change) -> bool:
    """`x = keras.layers.Dense(...)(x)`."""
    if not isinstance(statement, ast.Assign) or not isinstance(statement.value, ast.Call):
        return False
    target, call = ast.unparse(statement.targets[0]), statement.value
    given = ast.unparse(call.args[0]) if call.args else ""
    if given not in ("x", "inputs") or ast.unparse(call.func).startswith(("numpy.", "np.")):
        return False
    layer = change.value(call.func, units=1)
    if given == "inputs":
        change.layers.insert(0, layer)
    elif target == "outputs":
        change.layers[-1] = layer
    elif not change.named:
        change.layers.insert(-1, layer)
    else:
        _at_named(call.func, change, type(layer))
    return True


def _compile(statement: ast.stmt, change: Change) -> bool:
    """`model.compile(optimizer, loss=..., metrics=[...])`."""
    call = _called(statement, "model.compile")
    if call is None:
        return False
    given = {item.arg or "": item.value for item in call.keywords if item.arg != "metrics"}
    given.update(zip(("optimizer", "loss"), call.args, strict=False))
    change.setup.compile.update({name: change.value(node) for name, node in given.items()})
    return True


def _fit(statement: ast.stmt, change: Change) -> bool:
    """`model.fit(x, y, epochs=...)`."""
    call = _called(statement, "model.fit")
    if call is None:
        return False
    _data(call.args[:2], ("x", "y"), change)
    given = {item.arg: item.value for item in call.keywords if item.arg != "validation_data"}
    change.setup.fit.update({name: change.value(node) for name, node in given.items() if name})
    return True


def _rows(statement: ast.stmt, change: Change) -> bool:
    """`x = ...`, `y = ...`."""
    if not isinstance(statement, ast.Assign) or ast.unparse(statement.targets[0]) not in ("x", "y"):
        return False
    _data([statement.value], (ast.unparse(statement.targets[0]),), change)
    return True


def _guard(statement: ast.stmt, change: Change) -> bool:
    """`value = keras.ops.log(keras.ops.maximum(x, ...))`."""
    if not isinstance(statement, ast.Assign) or ast.unparse(statement.targets[0]) != "value":
        return False
    assert isinstance(statement.value, ast.Call)
    guarded, name = statement.value, ast.unparse(statement.value.func).removeprefix("keras.ops.")
    ops = {**vars(keras.ops), name: lambda x: change.value(guarded, x=x)}
    own, loss = types.SimpleNamespace(ops=types.SimpleNamespace(**ops)), change.setup.compile["loss"]
    change.setup.compile["loss"] = types.FunctionType(loss.__code__, {**loss.__globals__, "keras": own})
    return True


def _anything(statement: ast.stmt, change: Change) -> bool:
    exec(ast.unparse(statement), change.names)
    return True


STATEMENTS: tuple[Callable[[ast.stmt, Change], bool], ...] = (_layer, _compile, _fit, _guard, _rows, _anything)

# ---- parts of statements


def _named(text: str, model: keras.Model) -> list[str]:
    """The layers that a text names; "and 2 more" are the next of the class of the last one."""
    names = [layer.name for layer in model.layers if re.search(rf"\b{layer.name}\b", text)]
    more = re.search(r"and (\d+) more\b", text)
    if names and more:
        kind = type(model.get_layer(names[-1]))
        after = model.layers[[layer.name for layer in model.layers].index(names[-1]) + 1 :]
        names += [layer.name for layer in after if type(layer) is kind][: int(more[1])]
    return names


def _names(setup: Setup) -> dict[str, Any]:
    data = setup.data
    rows = {"x": data.x, "y": data.y, "x_train": data.x, "y_train": data.y, "x_val": data.x_val, "y_val": data.y_val}
    parts = {"model": setup.model, "optimizer": setup.compile["optimizer"], "loss": setup.compile["loss"]}
    return {"keras": keras, "kregtools": kregtools, "np": np, "numpy": np, **rows, **parts}


def _at_named(printed: ast.expr, change: Change, kind: type[keras.Layer]) -> None:
    """Several lines of one class are for the layers of that class one after the other, the last for all that follow."""
    if change.replaced:
        change.layers.insert(change.at(change.replaced[0]), change.value(printed))
        return
    same = [name for name in change.named if type(change.layers[change.at(name)]) is kind]
    start = change.seen.get(kind.__name__, 0)
    change.seen[kind.__name__] = start + 1
    for name in same[start:]:
        change.layers[change.at(name)] = _changed(change.layers[change.at(name)], printed, change)
    for name in () if same else change.named:
        change.layers.insert(change.at(name) + 1, change.value(printed))


def _changed(layer: keras.Layer, printed: ast.expr, change: Change) -> keras.Layer:
    """The layer with the arguments that are printed, and its own for the rest."""
    assert isinstance(printed, ast.Call)
    new = change.value(printed, units=getattr(layer, "units", None)).get_config()
    by_name = {item.arg or "": item.value for item in printed.keywords}
    given = inspect.signature(type(layer).__init__).bind(layer, *printed.args, **by_name).arguments
    return layer.from_config({**layer.get_config(), **{name: new[name] for name in given if name in new}})


def _anew(layer: keras.Layer) -> keras.Layer:
    """The layer before it was built, as its input may have changed; what was adapted stays."""
    return layer if isinstance(layer, keras.layers.Normalization) else layer.from_config(layer.get_config())


def _called(statement: ast.stmt, name: str) -> ast.Call | None:
    call = statement.value if isinstance(statement, ast.Expr) else None
    return call if isinstance(call, ast.Call) and ast.unparse(call.func) == name else None


def _data(nodes: list[ast.expr], names: tuple[str, ...], change: Change) -> None:
    """Computes rows anew; those of validation by the same expression."""
    data = change.setup.data
    parts = [(data.x, data.y), (data.x_val, data.y_val)]
    known = [{"x": x, "x_train": x, "y": y, "y_train": y} for x, y in parts]
    for name, node in zip(names, nodes, strict=False):
        training, validation = (change.value(node, **rows) for rows in known)
        change.setup.data = change.setup.data._replace(**{name: training, f"{name}_val": validation})
