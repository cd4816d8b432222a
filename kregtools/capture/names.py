"""One name for every layer of a model, the same in facts, series and findings."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

import keras

UNNAMED = (keras.layers.InputLayer,)


def layer_names(model: keras.Model) -> dict[int, str]:
    """Names by `id(layer)`: the layer's own name where that is unique, else its path of names from the model."""
    paths: dict[int, str] = {}
    layers: dict[int, keras.Layer] = {}
    for path, layer in _walk(model, ""):
        if id(layer) not in layers:
            layers[id(layer)], paths[id(layer)] = layer, path
    short = Counter(layer.name for layer in layers.values())
    names = {key: layer.name if short[layer.name] == 1 else paths[key] for key, layer in layers.items()}
    return _unique(names)


def named_layers(model: keras.Model) -> list[tuple[str, keras.Layer]]:
    """Every layer of the model, in the order it was added, with its name."""
    names, seen = layer_names(model), set()
    layers = [layer for _, layer in _walk(model, "") if not (id(layer) in seen or seen.add(id(layer)))]
    return [(names[id(layer)], layer) for layer in layers]


def variable_names(model: keras.Model) -> dict[int, tuple[str, str]]:
    """The layer and the name of every trainable variable, by `id(variable)`."""
    owned = {}
    for name, layer in named_layers(model):
        names = _unique({id(variable): variable.name for variable in layer._trainable_variables})
        owned.update({key: (name, variable) for key, variable in names.items()})
    paths = _unique(
        {id(variable): variable.path for variable in model.trainable_variables if id(variable) not in owned}
    )
    return owned | {key: ("", path) for key, path in paths.items()}


def cells(model: keras.Model) -> set[int]:
    """The ids of recurrent cells and all in them: they run inside a loop, and once more for shape inference."""
    found = set()
    for _, layer in _walk(model, ""):
        if isinstance(layer, keras.layers.RNN):
            found |= {id(layer.cell)} | {id(inner) for _, inner in _walk(layer.cell, "")}
    return found


def _walk(layer: keras.Layer, prefix: str) -> Iterator[tuple[str, keras.Layer]]:
    for child in layer._flatten_layers(include_self=False, recursive=False):
        if isinstance(child, UNNAMED):
            continue
        path = f"{prefix}{child.name}"
        yield path, child
        yield from _walk(child, f"{path}/")


def _unique(names: dict[int, str]) -> dict[int, str]:
    """The names, those that were there before with the first number that makes no name of another."""
    taken, given, unique = set(names.values()), set(), {}
    for key, name in names.items():
        numbered = (f"{name}_{number}" for number in itertools.count(2))
        unique[key] = next(each for each in numbered if each not in taken) if name in given else name
        given.add(name)
        taken.add(unique[key])
    return unique
