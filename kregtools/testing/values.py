"""What a layer puts out, as numbers."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


def numbers(tensor: Any) -> np.ndarray:
    """A tensor of any backend as an array; floats of any width as float32."""
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    tensor = keras.ops.cast(tensor, "float32") if "float" in dtype else tensor
    return np.array(keras.ops.convert_to_numpy(tensor))


def run(layer: Any, batch: np.ndarray, training: bool) -> np.ndarray:
    """The outputs of one call."""
    return numbers(layer(batch, training=training))


def same_weights(source: Any, target: Any) -> None:
    """Gives one layer the weights of another; the state of seeds is not among them."""
    target.set_weights([numbers(weight) for weight in source.weights])
