"""Checks of layers that draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kregtools.testing.expectation import expect
from kregtools.testing.values import run, same_weights

DRAWS = 256
CALLS = 8
STANDARD_ERRORS = 6


def check_seeds(make: Callable[..., Any], batch: np.ndarray, per_sample: bool) -> None:
    """Draws: anew at each call, the same from the same seed, none at inference, one for each sample if asked."""
    first = make(seed=7)
    reference = _draws(first, batch, first)
    expect(len(np.unique(reference, axis=0)) > 1, f"{CALLS} calls with training=True give the same")
    expect(np.array_equal(_draws(make(seed=7), batch, first), reference), "one seed gives two different series")
    expect(not np.array_equal(_draws(make(seed=8), batch, first), reference), "the seeds 7 and 8 give the same")
    unseeded = _draws(make(seed=None), batch, first)
    expect(
        not np.array_equal(unseeded, _draws(make(seed=None), batch, first)), "two layers without a seed give the same"
    )
    fixed = run(first, batch, training=False)
    expect(np.array_equal(fixed, run(first, batch, training=False)), "two calls with training=False differ")
    if per_sample:
        # Some samples may well be left as they are, or meet with the same draw.
        equal = run(make(seed=7), np.repeat(batch[:1], 32, axis=0), training=True)
        expect(len(np.unique(equal, axis=0)) > 1, "all samples of a batch get the same draw")


def check_expectation(layer: Any, batch: np.ndarray) -> None:
    """The mean of many calls in training is the output at inference."""
    expected = run(layer, batch, training=False)
    outputs = np.stack([run(layer, batch, training=True) for _ in range(DRAWS)]).astype("float64")
    error = outputs.std(axis=0, ddof=1) / np.sqrt(DRAWS)
    distance = np.abs(outputs.mean(axis=0) - expected)
    # What does not vary is equal, but for rounding.
    rounding = 1e-5 * np.abs(expected).max()
    off = float(np.mean(distance > STANDARD_ERRORS * error + rounding))
    expect(off == 0, f"the mean of {DRAWS} calls in training is off in {off:.1%} of the elements")


def _draws(layer: Any, batch: np.ndarray, weights_of: Any) -> np.ndarray:
    run(weights_of, batch, training=False)
    run(layer, batch, training=False)
    same_weights(weights_of, layer)
    return np.stack([run(layer, batch, training=True) for _ in range(CALLS)])
