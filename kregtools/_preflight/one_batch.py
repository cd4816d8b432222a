"""Whether a copy of the model can learn a few rows by heart."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import tree

from kregtools._preflight.context import Context, Finding, cause, explained, symptom
from kregtools._preflight.copies import copy_of
from kregtools._preflight.model_checks import CONFIGURATION, expected_loss
from kregtools._preflight.rows import Rows
from kregtools.capture.forward import tensors
from kregtools.record import perfect_loss
from kregtools.symptoms import CannotCheckError

ROWS = 8
# Of the way from the first loss to a perfect one.
LEARNED = 0.5
RATES = (3e-3, 3e-2, 3e-4)
LOOK_EVERY = 10


def one_batch(context: Context) -> Finding | None:
    """A few rows that cannot be learned by heart."""
    if context.loss_error is not None:
        raise CannotCheckError("the loss cannot be computed: see `target_mismatch`")
    perfect, expected = perfect_loss(context.record), expected_loss(context)
    if context.expected_loss is not None and perfect is None:
        perfect = 0.0
    if perfect is None or expected is None:
        raise CannotCheckError("what a constant and a perfect prediction cost is not known: pass `expected_loss`")
    rows = _rows(context)
    model = copy_of(context.model, rows.x)
    _without_regularization(model)
    first, best = np.nan, np.inf
    start = model.get_weights()
    for rate in RATES:
        model.set_weights(start)
        first, last = _fit(context, model, rows, rate, lambda loss, first: _is_learned(loss, first, expected, perfect))
        best = np.fmin(best, last)
        if _is_learned(last, first, expected, perfect):
            return None
    return _not_learned(context, rows, float(first), float(best), perfect)


def _is_learned(loss: float, first: float, expected: float, perfect: float) -> bool:
    start = min(first, expected) if np.isfinite(first) else expected
    # A network that was trained before has nothing left to learn.
    least = max(perfect + LEARNED * (start - perfect), perfect + 0.1 * (expected - perfect))
    return bool(loss <= least)


def _rows(context: Context) -> Rows:
    """Different rows, as many as the model has weights for."""
    sample = context.train.evenly(64)
    flat = [leaf.reshape(len(leaf), -1) for leaf in tree.flatten(sample.x)]
    keys = [b"".join(leaf[row].tobytes() for leaf in flat) for row in range(len(sample))]
    different = sorted({key: row for row, key in reversed(list(enumerate(keys)))}.values())
    outputs = [output.get("shape") or [1] for output in context.record.facts["outputs"]]
    width = max([int(shape[-1] or 1) for shape in outputs], default=1)
    weights = sum(int(np.prod(variable.shape)) for variable in context.model.trainable_variables)
    rows = sample.take(np.array(different[: max(1, min(ROWS, weights // width))]))
    if not weights:
        raise CannotCheckError("the model has no trainable weights: set `trainable = True` on some layer")
    if not all(np.isfinite(leaf).all() for leaf in tree.flatten((rows.x, rows.y)) if leaf.dtype.kind == "f"):
        raise CannotCheckError("the rows hold NaN or infinity: mend the data first")
    return rows


def _without_regularization(model: Any) -> None:
    for layer in model._flatten_layers():
        if "Dropout" in type(layer).__name__ or "Noise" in type(layer).__name__:
            layer.rate = 0.0
    for variable in model.variables:
        variable.regularizer = None


def _fit(context: Context, model: Any, rows: Rows, rate: float, is_enough: Any) -> tuple[float, float]:
    """The first and the last loss of a fit to these rows."""
    compiled, own = context.model._compile_loss, keras.optimizers.Adam(rate)
    model.compile(own, context.model.loss, compiled._user_loss_weights, jit_compile=_must_compile())
    x, y = tensors(rows.x), tensors(rows.y)
    first = last = float("nan")
    for step in range(context.steps):
        looks = step % LOOK_EVERY == 0 or step == context.steps - 1
        if looks:
            model.reset_metrics()
        loss = model.train_on_batch(x, y)
        if looks:
            last = float(np.ravel(loss)[0])
            first = last if step == 0 else first
            if not np.isfinite(last) or (step > 0 and is_enough(last, first)):
                break
    if model.losses:
        raise CannotCheckError("the model adds losses of its own: leave out `add_loss` and activity regularizers")
    return first, last


def _must_compile() -> bool:
    # Step by step JAX is slow without, and the others are quick.
    return keras.backend.backend() == "jax"


def _not_learned(context: Context, rows: Rows, first: float, best: float, perfect: float) -> Finding:
    found = symptom(
        "one_batch",
        "critical",
        f"{len(rows)} rows cannot be learned by heart: in {context.steps} steps of Adam, at {len(RATES)} learning "
        f"rates, the loss goes from {first:.3g} to {best:.3g} at best; a perfect prediction costs {perfect:.3g}.",
        first=first,
        best=best,
        perfect=perfect,
    )
    own = cause(
        *("unsound_model", 0.5, "one_batch", "Nothing of the inputs, or no gradient, gets through the model."),
        "Look for a layer that lets no gradient through (rounding, argmax, a mask of zeros, `trainable=False`), for "
        "inputs and targets that do not belong together, and for an output that cannot give the targets. Take layers "
        "out until the rows are learned.",
        "kregtools.gradient_check(model, x, y)",
    )
    return explained(found, own, record=context.record, rules=CONFIGURATION)
