"""Moments of activations under a standard normal input."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import keras
import numpy as np

# Panels of this width end on every kink of Keras' activations: 0, 1, 2.5, 3 and 6, and their negatives.
PANEL = 0.5
LIMIT = 12.0
NODES = 12


class Moments(NamedTuple):
    """Moments of an activation f of z ~ N(0, 1).

    Attributes:
        mean: E f(z).
        square: E f(z)².
        slope_square: E f'(z)².
    """

    mean: float
    square: float
    slope_square: float


def moments(activation: str | Callable[..., Any] | None) -> Moments:
    """The moments of an activation whose input is standard normal.

    They say what the activation does to the variance of a signal on its way forward (`square`) and of a gradient on
    its way back (`slope_square`). They are computed by Gauss-Legendre quadrature, with the derivative of the
    polynomial that interpolates f on each panel. The panels are 0.5 wide: where f has a kink that is no multiple of
    that, `slope_square` is right to about 1 %, and the others to 0.1 %.

    Args:
        activation: The name of a Keras activation, or any element-wise function of a tensor; `None` is the identity.

    Returns:
        The moments, a named tuple of `mean`, `square` and `slope_square`.

    Raises:
        ValueError: If there is no such activation, or it is not element-wise, or a moment is not finite.

    Example:

    >>> kregtools.initializers.moments("relu").square
    0.5
    """
    return _moments(_function(activation))


def gain(activation: str | Callable[..., Any] | None) -> float:
    """The factor by which weights must be larger to make up for an activation: 1 / sqrt(E f(z)²).

    Args:
        activation: As for `moments`.

    Returns:
        The factor, a float.

    Raises:
        ValueError: As for `moments`.

    Example:

    >>> round(kregtools.initializers.gain("relu"), 4)
    1.4142
    """
    return 1.0 / math.sqrt(moments(activation).square)


def _function(activation: str | Callable[..., Any] | None) -> Callable[..., Any]:
    try:
        return keras.activations.get(activation)
    except (ValueError, TypeError) as error:
        names = [name for name in dir(keras.activations) if name not in ("get", "serialize", "deserialize")]
        known = ", ".join(name for name in names if name.islower() and not name.startswith("_"))
        raise ValueError(
            f"Unknown activation. Received: activation={activation!r}. Expected a function of a tensor, None for the "
            f"identity, or one of: {known}."
        ) from error


@functools.lru_cache(maxsize=256)
def _moments(function: Callable[..., Any]) -> Moments:
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    starts = np.arange(-LIMIT, LIMIT, PANEL)[:, None]
    z = starts + PANEL / 2 * (nodes + 1)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * weights * PANEL / 2
    # A layer may be built while Keras traces it, where nothing has a value. Tracing ends at the thread's border.
    with ThreadPoolExecutor(max_workers=1) as executor:
        values = executor.submit(_evaluate, function, z).result()
    slopes = values @ _differentiation(nodes).T * 2 / PANEL
    found = Moments(*(float((density * part).sum()) for part in (values, values**2, slopes**2)))
    if not (np.isfinite(found).all() and found.square > 0):
        raise ValueError(
            f"The activation has no moments under a standard normal input. Received: {function!r}, with E f² = "
            f"{found.square}. Expected a function that is finite and not zero throughout."
        )
    return found


def _differentiation(nodes: np.ndarray) -> np.ndarray:
    """The matrix that takes the values of a polynomial at `nodes` to those of its derivative."""
    legendre = np.polynomial.legendre
    to_values = legendre.legvander(nodes, NODES - 1)
    derivative = legendre.legder(np.eye(NODES))
    return legendre.legvander(nodes, NODES - 2) @ derivative @ np.linalg.inv(to_values)


def _evaluate(function: Callable[..., Any], z: np.ndarray) -> np.ndarray:
    def at(points: np.ndarray) -> np.ndarray:
        # JAX has no float64 unless it is asked to; the moments are then right to about 1e-6.
        dtype = "float32" if keras.backend.backend() == "jax" else "float64"
        tensor = keras.ops.convert_to_tensor(points.astype(dtype), dtype=dtype)
        return np.asarray(keras.ops.convert_to_numpy(function(tensor)), dtype="float64")

    values = at(z.ravel())
    half = z.size // 2
    if values.shape != (z.size,) or not np.allclose(at(z.ravel()[:half]), values[:half], atol=1e-5, equal_nan=True):
        raise ValueError(
            f"The activation is not element-wise. Received: {function!r}. Expected a function that treats every "
            "value by itself; softmax, for one, does not, and stands at the output."
        )
    return values.reshape(z.shape)
