"""Checks of a model and its data before the first epoch."""

from __future__ import annotations

import traceback
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import keras

from kregtools._numbers import integer
from kregtools._preflight.context import Check, Context, Finding, cause, explained, look, symptom
from kregtools._preflight.data_checks import class_balance, input_outliers, nonfinite_data
from kregtools._preflight.model_checks import (
    dead_relu,
    initial_loss,
    input_scale,
    negative_loss,
    nonfinite,
    saturated_activation,
    signal_scale,
    symmetric_units,
    target_mismatch,
    target_scale,
)
from kregtools._preflight.one_batch import one_batch
from kregtools._preflight.rows import read
from kregtools._preflight.split_checks import leakage, split_shift
from kregtools.capture.forward import untouched
from kregtools.causes import Cause
from kregtools.diagnosis import SEVERITIES, Diagnosis, Unchecked
from kregtools.gradient_check import differences, require_compiled
from kregtools.symptoms import CannotCheckError

# The relative difference above which a gradient is wrong (CS231n); differences in float32 are known to two digits.
WRONG = {"float64": 1e-2}
WRONG_OTHERS = 0.2
# Rows of a dataset that are read.
MOST_READ = 16_384


def wrong_gradient(context: Context) -> Finding | None:
    """A gradient that is not that of the loss."""
    found, dtype = differences(context.model, context.train.evenly(8), entries=8)
    wrong = [path for path, apart in found.items() if not apart <= WRONG.get(dtype, WRONG_OTHERS)]
    if not wrong:
        return None
    worst = max(wrong, key=lambda path: found[path])
    message = f"The gradient of {worst} differs from that of the loss by {found[worst]:.2g} of its size, in {dtype}."
    return explained(
        symptom("wrong_gradient", "critical", message, wrong, difference=found[worst]),
        cause(
            *("custom_gradient", 0.8, "wrong_gradient", "Something between it and the loss has a gradient of its own."),
            "Check `custom_gradient`, `stop_gradient`, rounding and integer operations after this variable. The "
            "relative difference should be below 1e-4.",
            "kregtools.gradient_check(model, x, y)",
        ),
    )


CHECKS: tuple[Check, ...] = (
    Check("nonfinite_data", nonfinite_data),
    Check("target_mismatch", target_mismatch),
    Check("nonfinite", nonfinite),
    Check("input_scale", input_scale),
    Check("input_outliers", input_outliers),
    Check("target_scale", target_scale),
    Check("negative_loss", negative_loss),
    Check("initial_loss", initial_loss),
    Check("symmetric_units", symmetric_units),
    Check("signal_scale", signal_scale),
    Check("dead_relu", dead_relu),
    Check("saturated_activation", saturated_activation),
    Check("one_batch", one_batch),
    Check("split_shift", split_shift),
    Check("leakage", leakage),
    Check("class_balance", class_balance),
    Check("wrong_gradient", wrong_gradient),
)
NAMES = tuple(check.name for check in CHECKS)


class PreflightDiagnosis(Diagnosis):
    """A diagnosis whose symptoms are those of `preflight`: each is in exactly one of its states."""

    @property
    def coverage(self) -> tuple[int, int]:
        """How many checks ran, out of how many that were to run."""
        ran = len(self.passed) + len(self.symptoms)
        return ran, ran + len(self.unchecked)


def preflight(
    model: keras.Model,
    x: Any,
    y: Any = None,
    validation_data: Any = None,
    *,
    samples: int = 1024,
    steps: int = 200,
    gradients: bool = False,
    expected_loss: float | None = None,
    ignore: Collection[str] = (),
) -> Diagnosis:
    """Judges a compiled model and its data before the first epoch.

    Use it once before a long `fit`. It looks at the data, runs the model forward in inference mode, and trains a copy
    of it on a few rows. The model stays as it was: weights, optimizer, metrics, seed generators and random state; one
    that is not built yet is built, as `fit` would build it. A dataset that shuffles moves its order on.

    The checks, by the names of their symptoms:

    - `nonfinite_data`: NaN or infinity in inputs or targets;
    - `target_mismatch`: targets whose range or form does not fit the output layer or the loss;
    - `nonfinite`, `negative_loss`, `dead_relu`, `saturated_activation`: as in a run, before the first step; units
      that are off are critical from nine of ten in a layer on, and else for information;
    - `input_scale`, `input_outliers`, `target_scale`: inputs or targets that are not scaled, single values far off;
    - `initial_loss`: a first loss more than 3 times (crossentropy) or 10 times (others) that of a prediction that
      knows nothing: ln C, log 2, the variance of the targets;
    - `symmetric_units`, `signal_scale`: hidden kernels whose units are all alike or zero; a signal that dies out or
      blows up by a factor of 1,000 over the layers;
    - `one_batch`: eight rows that a copy of the model cannot learn by heart, without dropout and penalties;
    - `split_shift`, `leakage`: training and validation rows that are not alike, or the same;
    - `class_balance`: a class that is 10 times as frequent as another;
    - `wrong_gradient`: see `gradient_check`; only with `gradients=True`.

    Args:
        model: A compiled Keras model.
        x: What `fit` takes: arrays, or dicts or lists of them, a `tf.data.Dataset`, a `keras.utils.PyDataset`, or a
            list of batches. Arrays are looked at as a whole, of a dataset the first 16,384 rows.
        y: Targets, where `x` is arrays. Defaults to `None`.
        validation_data: A tuple `(x, y)` or a dataset. Defaults to `None`: what compares both is left unchecked.
        samples: Positive integer. How many rows the model is run on. Defaults to `1024`.
        steps: Positive integer. How many steps the copy is trained at each of three learning rates, at most. Defaults
            to `200`.
        gradients: Whether to check the gradient as well. Defaults to `False`.
        expected_loss: What the loss is before training, where the loss is one of your own; a perfect prediction is
            then taken to cost 0. Defaults to `None`.
        ignore: Names of checks that are left out. Defaults to `()`.

    Returns:
        A `Diagnosis`. Its verdict is `"healthy"` only where every check ran and found nothing; `unchecked` says what to
        pass for the others.

    Raises:
        ValueError: If an argument is invalid, the model is not compiled, or the data has no rows or no targets.

    Example:
    ```python
    diagnosis = kregtools.preflight(model, x_train, y_train, validation_data=(x_val, y_val))
    print(diagnosis)
    ```

    Reference:

    - [CS231n, Before learning: sanity checks](https://cs231n.github.io/neural-networks-3/#sanitycheck)
    """
    require_compiled("preflight", model)
    integer("samples", samples)
    integer("steps", steps)
    _check_names(ignore)
    train = read("x", x, y, MOST_READ)
    held_out = None if validation_data is None else read("validation_data", *_pair(validation_data), MOST_READ)
    with untouched(model):
        context = look(model, train, held_out, samples, expected_loss, steps)
        return _judged(context, {*ignore, *(() if gradients else ("wrong_gradient",))})


def _judged(context: Context, ignored: set[str]) -> Diagnosis:
    findings: list[Finding] = []
    passed: list[str] = []
    unchecked: list[Unchecked] = []
    for check in CHECKS:
        if check.name in ignored:
            continue
        try:
            found = check.find(context)
        except CannotCheckError as missing:
            unchecked.append(Unchecked(check.name, str(missing)))
        except Exception as error:
            first_line = str(error).partition("\n")[0]
            reason = f"its check failed ({type(error).__name__}: {first_line}); please report this"
            unchecked.append(Unchecked(check.name, reason, traceback.format_exc()))
        else:
            passed += [check.name] if found is None else []
            findings += [] if found is None else [found]
    symptoms = tuple(sorted((finding.symptom for finding in findings), key=lambda s: SEVERITIES.index(s.severity)))
    sick = any(symptom.severity == "critical" for symptom in symptoms)
    return PreflightDiagnosis(
        verdict="sick" if sick else "undetermined" if symptoms or unchecked else "healthy",
        symptoms=symptoms,
        causes=_merged([cause for finding in findings for cause in finding.causes], [s.name for s in symptoms]),
        passed=tuple(passed),
        unchecked=tuple(unchecked),
        ignored=tuple(name for name in NAMES if name in ignored),
    )


def _merged(causes: list[Cause], order: list[str]) -> tuple[Cause, ...]:
    """Each cause once, with all that it explains, the most probable first."""
    by_name: dict[str, list[Cause]] = {}
    for each in causes:
        by_name.setdefault(each.name, []).append(each)
    merged = []
    for same in by_name.values():
        explains = {name for each in same for name in each.explains}
        best = max(same, key=lambda each: each.confidence)
        merged.append(replace(best, explains=tuple(name for name in order if name in explains)))
    return tuple(sorted(merged, key=lambda each: -each.confidence))


def _pair(data: Any) -> tuple[Any, Any]:
    return tuple(data[:2]) if isinstance(data, (tuple, list)) and len(data) in (2, 3) else (data, None)  # pyright: ignore[reportReturnType]


def _check_names(ignore: Collection[str]) -> None:
    wrong = [ignore] if isinstance(ignore, str) else [name for name in ignore if name not in NAMES]
    if wrong:
        raise ValueError(
            f"Invalid value for argument `ignore`. Received: ignore={ignore!r}. "
            f"Expected a tuple of names out of: {', '.join(sorted(NAMES))}."
        )
