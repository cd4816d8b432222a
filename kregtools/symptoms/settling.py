"""Whether the moving averages of batch normalizations have come to what the batches have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kregtools.record import Record
from kregtools.record.derived import derived
from kregtools.symptoms.symptom import CannotCheckError

# A moving average has forgotten 99 % of its start after so many of its time constants.
SETTLED = 5.0
LEAST_SETTLED = 2
# Training and validation differ by so much where nothing is amiss: the ratio of `train_val_mismatch`.
WORSE = 1.5
# Of the variance, and of the mean in standard deviations.
FACTOR = 1.5
SHIFT = 0.5


def settled(record: Record) -> np.ndarray:
    """The epochs, booleans, at whose end moving averages are near what the batches have.

    Where that was not measured: at whose end they have forgotten their start.
    """
    by_steps, (_, factors, shifts) = record.log("step") >= steps_to_settle(record), lags(record)
    if recalibrated(record) or not factors.size:
        return by_steps
    measured = np.isfinite(factors).any(axis=1)
    near = ~((factors > FACTOR) | (shifts > SHIFT)).any(axis=1)
    return np.where(measured, near, by_steps)


def require_settled(record: Record, least: int = LEAST_SETTLED) -> None:
    """Refuses a record whose validation losses tell of moving averages, not of what was learned."""
    near = settled(record)[np.isfinite(record.log("val_loss"))]
    if near.sum() < least:
        behind, measured = lag_at_the_end(record), bool(lags(record)[0])
        told = f"take {steps_to_settle(record):,.0f} steps to settle"
        if measured:
            told = f"were too far behind in {np.count_nonzero(~near)} of {len(near)} epochs"
        if behind:
            told = f"are off by {behind.told}"
        raise CannotCheckError(
            f"the moving averages of {behind.layer if behind else 'a batch normalization'}, by which validation data "
            f"are judged, {told}: train longer, or add `RecalibrateBatchNorm`"
        )


@dataclass(frozen=True)
class Lag:
    """How far the averages of a layer are behind: a factor of the variance, and the mean in standard deviations."""

    layer: str
    factor: float
    shift: float

    @property
    def told(self) -> str:
        """What is too much of the two, in words."""
        if self.factor > FACTOR:
            return f"a factor of {self.factor:.3g} in the variance"
        return f"{self.shift:.3g} standard deviations in the mean"


def lag_at_the_end(record: Record) -> Lag | None:
    """The layer that is furthest behind after the last epoch, if one is too far; none where it was not measured."""
    layers, factors, shifts = lags(record)
    if recalibrated(record) or not np.isfinite(factors[-1:]).any():
        return None
    times = np.maximum(np.log(factors[-1]) / np.log(FACTOR), shifts[-1] / SHIFT)
    worst = int(np.nanargmax(times))
    return Lag(layers[worst], float(factors[-1, worst]), float(shifts[-1, worst])) if times[worst] > 1 else None


def steps_to_settle(record: Record) -> float:
    """The steps after which moving averages have forgotten their start, 0 where they need not."""
    momenta = [
        layer.get("momentum") or 0.0
        for layer in record.facts.get("layers") or ()
        if "Normalization" in str(layer.get("class")) and layer.get("trainable") is not False
    ]
    if recalibrated(record) or max(momenta, default=0.0) <= 0.0:
        return 0.0
    return SETTLED / max(1e-6, 1.0 - max(momenta))


@derived
def recalibrated(record: Record) -> bool:
    """Whether statistics taken again stand in for the averages."""
    return bool((record.matrix("moving_variance", "recalibrated")[1] == 1.0).any())


def last_known(values: np.ndarray) -> float:
    """The last finite value, NaN if there is none: not every epoch is validated."""
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else float("nan")


@derived
def lags(record: Record) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The layers, and of each by epoch the factor that its variance, and the shift that its mean, is off by.

    Values of shape `(epochs, layers)`: of an epoch that was not measured those of the one before, NaN ahead of the
    first.
    """
    layers, factors = record.matrix("moving_variance", "lag")
    shifts = record.matrix("moving_mean", "lag")[1]
    measured = np.flatnonzero(np.isfinite(factors).any(axis=1)) if layers else np.zeros(0, int)
    if not measured.size:
        return [], np.zeros((len(record.epochs), 0)), np.zeros((len(record.epochs), 0))
    last = np.searchsorted(record.sample_epochs[measured], record.epochs, side="right") - 1
    known, rows = (last >= 0)[:, None], measured[np.maximum(last, 0)]
    return layers, np.where(known, factors[rows], np.nan), np.where(known, shifts[rows], np.nan)
