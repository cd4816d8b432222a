"""New models fitted to subsets of the rows, and measured."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from kregtools.capture import model_facts
from kregtools.capture.data import targets
from kregtools.record import Record, constant_loss, perfect_loss
from kregtools.symptoms.curves import paces


class Fits:
    """Fits new models to subsets of the rows, and measures them."""

    def __init__(
        self, build: Callable[[], keras.Model], x: Any, y: Any, validation: Any, seed: int, fit: dict[str, Any]
    ) -> None:
        self.error: Exception | None = None
        self.yardstick: tuple[float | None, float | None] = (None, None)
        self._build, self._x, self._y, self._validation, self._seed = build, x, y, validation, seed
        self._fit = {"verbose": 0, **fit}
        self._last: Any = None
        self._compared = False

    def run(self, size: int, repeat: int) -> dict[str, Any]:
        """One row of the frame."""
        found: dict[str, Any] = {"size": size, "repeat": repeat}
        keras.utils.set_random_seed(_derived(self._seed, 1, size, repeat))
        try:
            model = self._build()
        except Exception as error:
            return {**found, "failure": self._failure(error)}
        self._check_model(model)
        try:
            found.update(self._measure(model, _order(self._y, _derived(self._seed, 0, repeat))[:size]))
        except Exception as error:
            return {**found, "failure": self._failure(error)}
        bad = [name for name in ("loss", "val_loss") if not np.isfinite(found[name])]
        return {**found, "failure": f"its {' and '.join(bad)} is not finite" if bad else ""}

    def _measure(self, model: Any, rows: np.ndarray) -> dict[str, Any]:
        x, y = (keras.tree.map_structure(lambda leaf: leaf[rows], part) for part in (self._x, self._y))
        settings = {**self._fit, "callbacks": copy.deepcopy(self._fit.get("callbacks"))}
        if settings["callbacks"]:
            settings.setdefault("validation_data", self._validation)
        losses = np.asarray(model.fit(x, y, **settings).history["loss"], float)
        found = {"epochs": len(losses), "pace": paces(losses)[0] if len(losses) > 1 else np.nan}
        found.update(self._evaluate(model, (x, y)))
        found.update({f"val_{name}": value for name, value in self._evaluate(model, self._validation).items()})
        if not self._compared:
            self._compared, self.yardstick = True, _yardstick(model, self._x, self._y, rows)
        return found

    def _evaluate(self, model: Any, data: Any) -> dict[str, float]:
        arguments: dict[str, Any] = {"x": data}
        if isinstance(data, (tuple, list)):
            arguments = dict(
                zip(("x", "y", "sample_weight"), data, strict=False), batch_size=self._fit.get("batch_size")
            )
        found = model.evaluate(**arguments, verbose=0, return_dict=True)
        penalties = [v.regularizer(v) for v in model.trainable_variables if v.regularizer is not None]
        penalty = sum(float(array(value)) for value in penalties)
        return {**{name: float(value) for name, value in found.items()}, "loss": float(found["loss"]) - penalty}

    def _check_model(self, model: Any) -> None:
        if not isinstance(model, keras.Model) or not model.compiled:
            raise ValueError(
                f"Invalid value for argument `build`. It returned {model!r}. Expected a compiled `keras.Model`: call "
                "`model.compile(optimizer, loss)` in `build`."
            )
        if model is self._last:
            raise ValueError(
                f"Invalid value for argument `build`. It returned the same model '{model.name}' again, which is "
                "trained already. Expected a new model from each call."
            )
        self._last = model

    def _failure(self, error: Exception) -> str:
        self.error = self.error or error
        return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def array(values: Any) -> np.ndarray:
    """The values as a NumPy array, whatever the backend."""
    return np.asarray(keras.ops.convert_to_numpy(values) if keras.ops.is_tensor(values) else values)


def _derived(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint32)[0])


def _order(y: Any, seed: int) -> np.ndarray:
    """All rows in an order of which every beginning has the classes in their proportions."""
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(keras.tree.flatten(y)[0]))
    labels = _labels(y)
    if labels is None:
        return shuffled
    places = np.empty(len(shuffled))
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        places[members] = (np.arange(len(members)) + generator.random()) / len(members)
    return np.argsort(places, kind="stable")


def _labels(y: Any) -> np.ndarray | None:
    """The class of each row; `None` where the targets are no labels."""
    leaves = keras.tree.flatten(y)
    if len(leaves) > 1 or leaves[0].ndim > 2 or not np.issubdtype(leaves[0].dtype, np.number):
        return None
    columns = leaves[0].reshape(len(leaves[0]), -1)
    if columns.shape[1] > 1:
        one_hot = np.isin(columns, (0, 1)).all() and (columns.sum(axis=1) == 1).all()
        return columns.argmax(axis=1) if one_hot else None
    labels = columns[:, 0]
    return labels if (labels == np.floor(labels)).all() and len(np.unique(labels)) <= len(labels) / 2 else None


def _yardstick(model: Any, x: Any, y: Any, rows: np.ndarray) -> tuple[float | None, float | None]:
    """The losses of the best constant and of a perfect prediction; `None` for what cannot be told."""
    record = Record(model_facts(model))
    try:
        predicted = model(keras.tree.map_structure(lambda leaf: leaf[rows[:1]], x), training=False)
        values = {
            ("", name, statistic): value
            for name, leaf, output in _paired(model, y, predicted)
            for statistic, value in _scalars(targets(leaf, output))
        }
        record.add_sample(0, 0, values)
        return constant_loss(record), perfect_loss(record)
    except Exception:  # targets of a kind that nothing is known of, as ragged ones; the curve stands without
        return None, None


def _paired(model: Any, y: Any, predicted: Any) -> list[tuple[str, np.ndarray, Any]]:
    """Every output with its targets, named as in a record."""
    outputs = keras.tree.flatten_with_path(predicted)
    if len(outputs) == 1:
        return [("target", keras.tree.flatten(y)[0], outputs[0][1])]
    if isinstance(y, dict) and isinstance(predicted, (list, tuple)):
        y = [y[name] for name in model.output_names]
    names = (":".join(["target", *map(str, path)]) for path, _ in outputs)
    return list(zip(names, keras.tree.flatten(y), (output for _, output in outputs), strict=True))


def _scalars(statistics: dict[Any, Any]) -> Iterator[tuple[str, float]]:
    for name, value in statistics.items():
        numbers = np.atleast_1d(array(value))
        yield from zip(name if isinstance(name, tuple) else (name,), map(float, numbers), strict=True)
