"""The gradient of a model, against differences of its loss."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from kregtools._numbers import integer
from kregtools._preflight.copies import copy_of
from kregtools._preflight.rows import Rows, read
from kregtools.capture.forward import call, tensors, untouched
from kregtools.capture.gradients import Loss, floatx, gradient, loss_of
from kregtools.symptoms import CannotCheckError

# The step that balances the curvature of a loss near 1 against its rounding, about the cube root of the precision.
STEPS = {"float64": 1e-5, "float32": 1e-2}
# Rounding in the difference of two losses, in units of the precision.
ROUNDINGS = 32


def gradient_check(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    samples: int = 16,
    entries: int = 16,
    epsilon: float | None = None,
    seed: int = 0,
) -> dict[str, float]:
    r"""Compares the gradient that trains a model with differences of its loss.

    Use it on a layer, a loss or a train step with a gradient of its own. For each trainable variable some entries are
    moved up and down by `epsilon`, and the two-sided difference $f_n = (L(w + h) - L(w - h)) / 2h$ is compared with
    the analytic gradient: $|f_a - f_n| / max(|f_a|, |f_n|)$, with the norms over the sampled entries.

    It runs on a copy in float64 on TensorFlow, where the model can be copied, else in the model's own precision. There
    differences are known to about two digits only. Dropout is off, penalties are included, and the model stays as it
    was. In float64, below 1e-7 is exact, up to 1e-4 is usual with kinks such as relu's, and above 1e-2 the gradient is
    wrong. A gradient that cannot be told from rounding counts as 0.

    Args:
        model: A compiled Keras model.
        x: Rows like those in training: arrays, a `tf.data.Dataset`, a `keras.utils.PyDataset` or a list of batches.
        y: Targets, where `x` is arrays. Defaults to `None`.
        samples: Positive integer. How many rows the loss is computed from. Defaults to `16`.
        entries: Positive integer. How many entries of each variable are moved. Defaults to `16`.
        epsilon: Positive float, the size of the move. Defaults to `None`: 1e-5 in float64, else 1e-2.
        seed: Integer that says which entries are chosen. Defaults to `0`.

    Returns:
        The relative difference by path of the variable; NaN where the loss is not finite.

    Raises:
        ValueError: If an argument is invalid, the model is not compiled, or the data has no targets.

    Example:
    ```python
    differences = kregtools.gradient_check(model, x_train, y_train)
    assert max(differences.values()) < 1e-4
    ```

    Reference:

    - [CS231n, Gradient checks](https://cs231n.github.io/neural-networks-3/#gradcheck)
    """
    require_compiled("gradient_check", model)
    for name, value in (("samples", samples), ("entries", entries)):
        integer(name, value)
    if epsilon is not None and not epsilon > 0:
        raise ValueError(
            f"Invalid value for argument `epsilon`. Received: epsilon={epsilon!r}. Expected a positive number."
        )
    rows = read("x", x, y, samples).evenly(samples)
    return differences(model, rows, entries, epsilon, seed)[0]


def differences(
    model: Any, rows: Rows, entries: int, epsilon: float | None = None, seed: int = 0
) -> tuple[dict[str, float], str]:
    """The relative differences by path, and the precision they were computed in."""
    with untouched(model):
        call(model, tensors(rows.take(slice(0, 1)).x))  # builds it as `fit` would
        paths = [variable.path for variable in model.trainable_variables]
        double = _in_double(model, rows) if keras.backend.backend() == "tensorflow" else None
        with floatx("float64" if double is not None else keras.config.floatx()):
            used = model if double is None else double
            found, dtype = _compared(used, rows, entries, epsilon, np.random.default_rng(seed))
    return dict(zip(paths, found, strict=True)), dtype


def require_compiled(what: str, model: Any) -> None:
    """Refuses a model without a loss."""
    if not getattr(model, "compiled", False) or getattr(model, "loss", None) is None:
        raise ValueError(
            f"`{what}` judges a loss, and the model has none. Received: model={model!r}. Call "
            "`model.compile(optimizer, loss)` first."
        )


def _in_double(model: Any, rows: Rows) -> Any:
    """A compiled copy that computes in float64, `None` where there can be none."""
    with floatx("float64"):
        try:
            copy = copy_of(model, rows.x, "float64")
            losses = keras.tree.map_structure(_double_loss, model.loss)
            copy.compile(loss=losses, loss_weights=model._compile_loss._user_loss_weights, jit_compile=False)
            value: Any = copy.compute_loss(y=tensors(rows.y), y_pred=call(copy, tensors(rows.x)), training=False)
        except Exception:  # whatever hinders it, the model itself can still be checked
            return None
    return copy if keras.backend.standardize_dtype(value.dtype) == "float64" else None


def _double_loss(loss: Any) -> Any:
    if isinstance(loss, keras.losses.Loss):
        return type(loss).from_config({**loss.get_config(), "dtype": "float64"})
    return loss


def _compared(
    model: Any, rows: Rows, entries: int, epsilon: float | None, generator: np.random.Generator
) -> tuple[list[float], str]:
    loss = loss_of(model, rows.x, rows.y)
    values = [variable.value for variable in model.trainable_variables]
    if not values:
        raise CannotCheckError("the model has no trainable variables")
    start: Any = keras.ops.stop_gradient(loss(values))
    dtype = keras.backend.standardize_dtype(start.dtype)
    step = epsilon or STEPS.get(dtype, STEPS["float32"])
    floor = ROUNDINGS * (2e-16 if dtype == "float64" else 1e-7) * max(abs(float(start)), 1e-3) / step
    found = []
    for index, exact in enumerate(gradient(loss, values)):
        chosen = generator.permutation(exact.size)[:entries]
        moved = np.array([_difference(loss, values, index, entry, step) for entry in chosen])
        found.append(_relative(exact.reshape(-1)[chosen], moved, floor))
    return found, dtype


def _difference(loss: Loss, values: list[Any], index: int, entry: int, step: float) -> float:
    original = np.array(keras.ops.convert_to_numpy(values[index]))
    sides = []
    for sign in (1.0, -1.0):
        moved = original.copy()
        moved.reshape(-1)[entry] += sign * step
        tensor = keras.ops.convert_to_tensor(moved)
        value: Any = keras.ops.stop_gradient(loss([*values[:index], tensor, *values[index + 1 :]]))
        sides.append((float(value), moved.reshape(-1)[entry]))
    (high, up), (low, down) = sides
    return (high - low) / (float(up) - float(down))


def _relative(exact: np.ndarray, moved: np.ndarray, floor: float) -> float:
    largest = max(float(np.linalg.norm(exact)), float(np.linalg.norm(moved)))
    apart = float(np.linalg.norm(exact - moved))
    if largest < floor * np.sqrt(max(exact.size, 1)):
        return 0.0
    return apart / largest
