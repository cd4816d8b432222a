"""The monitors of a fit, for the callbacks beside them in the same list."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import keras

from kregtools.capture.names import layer_names
from kregtools.normalization import VarianceShift
from kregtools.record import Key

if TYPE_CHECKING:
    from kregtools.callbacks.fit_diagnosis import FitDiagnosis

_WATCHING: weakref.WeakKeyDictionary[Any, weakref.WeakSet[FitDiagnosis]] = weakref.WeakKeyDictionary()


def enter(monitor: FitDiagnosis) -> None:
    """Makes the monitor known to callbacks beside it."""
    _WATCHING.setdefault(monitor.model, weakref.WeakSet()).add(monitor)


def beside(callback: keras.callbacks.Callback) -> list[FitDiagnosis]:
    """The monitors in the same list as `callback`: Keras hands one `params` to all callbacks of a list."""
    return [monitor for monitor in _WATCHING.get(callback.model, ()) if monitor.params is callback.params]


def shift_values(model: keras.Model, shift: VarianceShift) -> dict[Key, float]:
    """What was measured at each layer, as a record names it."""
    names = layer_names(model)
    paths = {part.path or part.name: names[id(part)] for part in model._flatten_layers() if id(part) in names}
    found: dict[Key, float] = {}
    for layer in shift.layers:
        name = paths.get(layer.layer, layer.layer)
        found[name, "moving_variance", "variance_ratio"] = layer.variance_ratio
        found[name, "moving_variance", "recalibrated"] = float(shift.corrected)
        found[name, "moving_mean", "mean_shift"] = layer.mean_shift
    return found
