"""Error against training-set size: is it bias or variance, and would more data help?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
import pandas as pd

from kregtools._bias_variance import Verdict, Yardstick, judge
from kregtools._numbers import integer
from kregtools._size_fits import Fits, array
from kregtools.capture.host import random_state_kept

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DEFAULT_SIZES = 6
LEAST_SIZE = 8
RESERVED = {
    "sample_weight": "it has as many rows as `x`, of which each fit sees fewer; `class_weight` can be given",
    "validation_split": "it would take rows away from those that the training loss is measured on",
}
COLUMNS = ("size", "repeat", "epochs", "pace", "failure")


class Failure(NamedTuple):
    """A fit that gave no loss, and why."""

    size: int
    repeat: int
    reason: str


class LearningCurve:
    """Training and validation loss by training-set size, and what they say.

    Args:
        frame: What `frame()` returns: one row a fit.
        yardstick: What is a low loss and what a high one.

    Attributes:
        verdict: `"high_bias"`: both losses are high and close together. `"high_variance"`: the training loss is low,
            the validation loss above it, and the gap closes with more rows. `"balanced"`: the training loss is low
            and the gap narrow. `"undetermined"`: none of these is certain, and `reason` says what is missing.
        reason: The verdict in words.
        evidence: The numbers behind it: `train`, `validation` and their `gap` at the largest size, and by how much
            each changes with a doubling of the size over the last three (`train_per_doubling` and so on); of each
            the mean over the repeats and, with `_low` and `_high`, its one-sided 95 % bounds. `wide_gap` is what
            the gap is compared with, `constant`, `perfect` and `desired` what the losses are. `expected_validation`
            is what a power law expects of `doubled_size` rows, where one fits.
    """

    def __init__(self, frame: pd.DataFrame, yardstick: Yardstick | None = None) -> None:
        self._frame, self._yardstick = frame, yardstick or Yardstick()
        losses = frame.assign(again=frame["pace"] * frame["epochs"])
        tables = {
            name: losses.pivot(index="repeat", columns="size", values=name).sort_index(axis=1)
            for name in ("loss", "val_loss", "again")
        }
        training, validation, again = (table.to_numpy(dtype=float) for table in tables.values())
        sizes = tables["loss"].columns.to_numpy(dtype=float)
        judgement = judge(sizes, training, validation, again, self._yardstick)
        self.verdict: Verdict = judgement.verdict
        self.reason, self.evidence = judgement.reason, judgement.evidence

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The fits that raised an error or whose losses are not finite."""
        failed = self._frame[self._frame["failure"] != ""]
        rows = zip(failed["size"], failed["repeat"], failed["failure"], strict=True)
        return tuple(Failure(int(size), int(repeat), str(reason)) for size, repeat, reason in rows)

    def frame(self) -> pd.DataFrame:
        """One row a fit: size, repeat, loss, val_loss, every metric likewise, epochs, pace and failure.

        The training loss and metrics are those of the very rows that were trained on, measured in inference mode
        after the fit, like those of the validation data. `pace` is what an epoch took off the loss that `fit`
        reported, over its last fifth. What a failed fit did not give is NaN, and `failure` says why.
        """
        return self._frame.copy()

    def plot(self, metric: str = "loss", ax: Axes | None = None) -> Axes:
        """Draws a metric against the training-set size: the mean over the repeats, and one standard deviation.

        Args:
            metric: `"loss"` or a metric of the model, without `val_`. Defaults to `"loss"`.
            ax: Matplotlib axes to draw on. Defaults to `None`, which makes some.

        Returns:
            The axes.

        Raises:
            ValueError: If there is no such metric.
        """
        known = [name for name in self._frame if f"val_{name}" in self._frame]
        if metric not in known:
            raise ValueError(
                f"Invalid value for argument `metric`. Received: metric={metric!r}. Expected one of: "
                f"{', '.join(map(str, known))}."
            )
        return _plot(self._frame, metric, self._yardstick.constant if metric == "loss" else None, ax)

    def __repr__(self) -> str:
        by_size = self._frame.groupby("size")[["loss", "val_loss"]].agg(["mean", "std"])
        lines = [f"<LearningCurve: {self.verdict}>", f"  {self.reason}"]
        for size, row in by_size.iterrows():
            parts = [f"{name} {row[name, 'mean']:.4g} (sd {row[name, 'std']:.2g})" for name in ("loss", "val_loss")]
            lines.append(f"  {size} rows: {', '.join(parts)}")
        lines += [f"  failed: size {size}, repeat {repeat}: {reason}" for size, repeat, reason in self.failures]
        return "\n".join(lines)


def learning_curve(
    build: Callable[[], keras.Model],
    x: Any,
    y: Any,
    *,
    validation_data: Any,
    sizes: Sequence[int] | None = None,
    repeats: int = 5,
    seed: int = 0,
    desired_loss: float | None = None,
    **fit: Any,
) -> LearningCurve:
    r"""Measures the loss against the number of training rows and tells high bias from high variance.

    Use it before collecting more data, or before enlarging a network: with high bias more data will not help, with
    high variance a larger network will not. For each size $m$ and each repeat a new model is built and trained on
    $m$ rows; then, both in inference mode,

    $$J_{train}(m) = \frac{1}{m} \sum_{i \le m} L(\hat y_i, y_i), \qquad
    J_{val}(m) = \frac{1}{n} \sum_{i \le n} L(\hat y_i, y_i)$$

    where $J_{train}$ is taken over the very rows trained on. Penalties on weights are left out of both; activity
    penalties and those of `add_loss` are not. Each repeat draws its own rows, by class where the targets are labels,
    and its larger sizes contain its smaller ones.

    The verdict is that of the largest size, each comparison by a one-sided t-test at 95 % over the repeats. A
    training loss is low below 60 % of the way from a perfect to the best constant prediction, high above 80 %, or
    either side of `desired_loss`; a gap is wide beyond 5 % of that way and a fifth of the training loss. These
    numbers are judgement. The repeats share the validation data: that those are few is not in the spread.

    For the comparison to hold, every fit must come to its end. With a fixed number of epochs, fewer rows mean fewer
    steps: train for many, or with `EarlyStopping`.

    Each fit sets the global seeds of Keras and of its backend. Python's and NumPy's random states are put back.

    Args:
        build: Function without arguments that returns a new, compiled model.
        x: The training inputs: an array, or a list, tuple or dict of arrays for several inputs.
        y: The targets, likewise.
        validation_data: A tuple `(x, y)`, or a dataset that can be read many times.
        sizes: The numbers of rows. Defaults to `None`: six from a 32nd of the rows to all, each about twice the last.
        repeats: Positive integer. How often each size is fitted. Defaults to `5`.
        seed: Non-negative integer, from which the rows and the weights follow. Defaults to `0`.
        desired_loss: Float. The loss that would be good enough, such as that of another method or of people, which
            tells bias from noise. Defaults to `None`.
        **fit: What else `fit` takes, such as `epochs`, `batch_size` and `callbacks`. Each fit has its own copy of the
            callbacks; where there are any, `fit` is given the validation data too, so that they can monitor it.

    Returns:
        A `LearningCurve`, with `.verdict`, `.reason`, `.frame()` and `.plot()`.

    Raises:
        ValueError: If an argument is invalid, or `build` returns no new compiled model.
        RuntimeError: If every fit fails.

    Example:

    >>> stop = keras.callbacks.EarlyStopping("loss", patience=5)
    >>> curve = kregtools.learning_curve(build, x, y, validation_data=(x_val, y_val), epochs=200, callbacks=[stop])
    >>> print(curve)
    >>> curve.plot("accuracy").figure.savefig("curve.png")

    Reference:

    - Andrew Ng, Machine Learning, "Advice for applying machine learning": learning curves, high bias, high variance.
    """
    rows = _check(build, x, y, validation_data, fit)
    chosen, repeats, seed = _sizes(sizes, rows), _integer("repeats", repeats, 1), _integer("seed", seed, 0)
    if desired_loss is not None and not (isinstance(desired_loss, Real) and np.isfinite(float(desired_loss))):
        raise ValueError(
            f"Invalid value for argument `desired_loss`. Received: desired_loss={desired_loss!r}. Expected a number."
        )
    x, y = (keras.tree.map_structure(array, part) for part in (x, y))
    fits = Fits(build, x, y, validation_data, seed, fit)
    with random_state_kept():
        found = [fits.run(size, repeat) for repeat in range(repeats) for size in chosen]
    if all(row["failure"] for row in found):
        raise RuntimeError(
            f"None of the {len(found)} fits gave a loss. The first one, of {found[0]['size']} rows: "
            f"{found[0]['failure']}. Expected that `build().fit(x, y)` works and its loss is finite: try that first."
        ) from fits.error
    return LearningCurve(_frame(found), Yardstick(*fits.yardstick, desired_loss))


# ---- arguments


def _check(build: Any, x: Any, y: Any, validation_data: Any, fit: dict[str, Any]) -> int:
    """The number of rows."""
    if not callable(build) or isinstance(build, keras.Model):
        raise ValueError(
            f"Invalid value for argument `build`. Received: build={build!r}. Expected a function without arguments "
            "that returns a new, compiled model."
        )
    if validation_data is None or isinstance(validation_data, Iterator):
        raise ValueError(
            f"Invalid value for argument `validation_data`. Received: validation_data={validation_data!r}. Expected a "
            "tuple (x, y) or a dataset that can be read once for each fit."
        )
    for name in RESERVED.keys() & fit.keys():
        raise ValueError(f"`{name}` cannot be passed on to `fit`: {RESERVED[name]}. Leave it out.")
    return _rows(x, y)


def _rows(x: Any, y: Any) -> int:
    leaves = [leaf for part in (x, y) for leaf in keras.tree.flatten(part)]
    if y is None or not all(getattr(leaf, "shape", ()) for leaf in leaves):
        raise ValueError(
            f"Subsets of `x` and `y` are drawn. Received: x of type {type(x).__name__}, y of type {type(y).__name__}. "
            "Expected arrays with a first axis of rows."
        )
    rows = {int(leaf.shape[0]) for leaf in leaves}
    if len(rows) > 1 or max(rows) < 2:
        raise ValueError(
            f"`x` and `y` must have the same number of rows, and two at least. Received: {sorted(rows)} rows."
        )
    return rows.pop()


def _sizes(sizes: Sequence[int] | None, rows: int) -> list[int]:
    if sizes is None:
        least = max(rows / 2 ** (DEFAULT_SIZES - 1), min(LEAST_SIZE, rows / 2))
        return sorted({round(size) for size in np.geomspace(least, rows, DEFAULT_SIZES)})
    given = list(sizes) if isinstance(sizes, (Sequence, np.ndarray)) else []
    whole = all(isinstance(size, Integral) and not isinstance(size, bool) for size in given)
    if not whole or len(set(given)) < max(len(given), 2) or min(given) < 1 or max(given) > rows:
        raise ValueError(
            f"Invalid value for argument `sizes`. Received: sizes={sizes!r}. Expected at least two different integers "
            f"from 1 to {rows}, the number of rows; leave it out for {DEFAULT_SIZES} sizes."
        )
    return sorted(int(size) for size in given)


def _integer(name: str, value: Any, least: int) -> int:
    return integer(name, value, least, f"an integer from {least} on")


def _frame(found: list[dict[str, Any]]) -> pd.DataFrame:
    metrics = dict.fromkeys(name for row in found for name in row if name not in COLUMNS)
    frame = pd.DataFrame(found, columns=[*COLUMNS[:2], *metrics, *COLUMNS[2:]])
    return frame.sort_values(["size", "repeat"], ignore_index=True)


def _plot(frame: pd.DataFrame, metric: str, constant: float | None, ax: Axes | None) -> Axes:
    from matplotlib.ticker import NullLocator

    from kregtools.report.style import INK, TRAINING, VALIDATION, axes, inked

    ax = ax or axes(5.2, 3.0)
    by_size = frame.groupby("size")
    for name, label, color in ((metric, "training", TRAINING), (f"val_{metric}", "validation", VALIDATION)):
        mean, spread = by_size[name].mean(), by_size[name].std().fillna(0.0)
        ax.plot(mean.index, mean, color=color, marker="o", markersize=3, label=label)
        ax.fill_between(mean.index, mean - spread, mean + spread, color=color, alpha=0.2, linewidth=0)
    if constant is not None:
        ax.axhline(constant, color=INK, alpha=0.5, linestyle=":", linewidth=1, label="best constant")
    ax.set_xscale("log")
    sizes = frame["size"].unique()
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("training rows")
    ax.set_ylabel(metric, parse_math=False)
    ax.grid(alpha=0.2)
    ax.legend(frameon=False, labelcolor=INK, fontsize="small")
    return inked(ax)
