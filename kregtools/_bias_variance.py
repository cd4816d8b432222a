"""High bias or high variance, judged from the training and the validation loss against the training-set size."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np

Verdict = Literal["high_bias", "high_variance", "balanced", "undetermined"]

# Of the way from a perfect to the best constant prediction: below LEVEL is a fit, as in `underfit`, above CERTAIN none.
LEVEL = 0.6
CERTAIN = 0.8
# A gap is wide beyond the larger of: this share of that way, and this share of the training loss.
WIDE = 0.05
WIDE_OF_LOSS = 0.2
# How many sizes, the largest ones, tell where a curve is going.
LAST = 3
# A power law has three parameters, and has to foretell one size that it was not fitted to.
LEAST_TO_FIT = 5
MISFIT = 0.05
EXPONENTS = np.geomspace(0.05, 2.0, 60)
# Student's t, one-sided 95 %, by degrees of freedom from 1 on; the last one serves for more.
STUDENT = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812)


class Yardstick(NamedTuple):
    """What the losses are compared with; `None` for what is not known."""

    constant: float | None = None
    perfect: float | None = None
    desired: float | None = None

    @property
    def scale(self) -> float | None:
        """From a perfect to the best constant prediction."""
        if self.constant is None or self.perfect is None or self.constant <= self.perfect:
            return None
        return self.constant - self.perfect

    @property
    def levels(self) -> tuple[float, float] | None:
        """A training loss below the first is low, one above the second is high."""
        if self.desired is not None:
            return self.desired, self.desired
        if self.scale is None or self.perfect is None:
            return None
        return self.perfect + LEVEL * self.scale, self.perfect + CERTAIN * self.scale


class Judgement(NamedTuple):
    """A verdict with the sentence and the numbers behind it."""

    verdict: Verdict
    reason: str
    evidence: dict[str, float]


class Interval(NamedTuple):
    """A mean over repeats and its one-sided 95 % bounds."""

    low: float
    mean: float
    high: float


def judge(
    sizes: np.ndarray, training: np.ndarray, validation: np.ndarray, paces: np.ndarray, yardstick: Yardstick
) -> Judgement:
    """Ng's diagnosis, each comparison as a t-test over the repeats.

    Args:
        sizes: Rising, shape `(sizes,)`.
        training: The training losses, shape `(repeats, sizes)`, NaN where a fit failed.
        validation: The validation losses, likewise.
        paces: By how much as many epochs again would lower the training loss, likewise.
        yardstick: What is a low loss and what a high one.
    """
    sound = np.isfinite(training) & np.isfinite(validation)
    kept = np.flatnonzero(sound.sum(axis=0) >= 2)
    if len(kept) < 2:
        return Judgement(
            "undetermined",
            "A verdict takes two sizes or more with two fits or more at each: raise `repeats`, and look at `failures`.",
            {},
        )
    training, validation = (np.where(sound, losses, np.nan)[:, kept] for losses in (training, validation))
    evidence = _measured(sizes[kept], training, validation, paces[:, kept], yardstick)
    verdict, reason = _verdict(evidence, yardstick)
    if verdict == "high_variance":
        reason += _expectation(sizes[kept], validation, yardstick, evidence)
    return Judgement(verdict, reason, {name: value for name, value in evidence.items() if math.isfinite(value)})


def _measured(
    sizes: np.ndarray, training: np.ndarray, validation: np.ndarray, paces: np.ndarray, yardstick: Yardstick
) -> dict[str, float]:
    gap = validation - training
    found = {
        "train": interval(training[:, -1]),
        "validation": interval(validation[:, -1]),
        "gap": interval(gap[:, -1]),
        "train_per_doubling": interval(_slopes(sizes, training)),
        "validation_per_doubling": interval(_slopes(sizes, validation)),
        "gap_per_doubling": interval(_slopes(sizes, gap)),
    }
    numbers = {f"{name}{end}": getattr(i, at) for name, i in found.items() for end, at in _ENDS}
    known = {name: value for name, value in yardstick._asdict().items() if value is not None}
    wide = max(WIDE * (yardstick.scale or 0.0), WIDE_OF_LOSS * abs(found["train"].mean - (yardstick.perfect or 0.0)))
    return {"size": float(sizes[-1]), **numbers, **known, "wide_gap": wide, "pace": interval(paces[:, -1]).mean}


_ENDS = (("_low", "low"), ("", "mean"), ("_high", "high"))


def _verdict(e: dict[str, float], yardstick: Yardstick) -> tuple[Verdict, str]:
    if yardstick.levels is None:
        return "undetermined", (
            f"At {e['size']:g} rows {_losses(e)}, and what is a low loss here is not known: pass `desired_loss`."
        )
    low, high = yardstick.levels
    if yardstick.desired is not None and e["validation_high"] <= yardstick.desired:
        return "balanced", f"At {e['size']:g} rows {_losses(e)}: no more than the desired {yardstick.desired:.3g}."
    if e["gap_high"] >= e["wide_gap"] >= e["gap_low"]:
        return "undetermined", (
            f"At {e['size']:g} rows {_losses(e)}: over the repeats the gap is not told from {e['wide_gap']:.3g}, "
            "which would be wide. Raise `repeats`."
        )
    if e["train_low"] > high:
        return _of_high_loss(e, yardstick, high)
    if e["train_high"] < low:
        return _of_low_loss(e, yardstick)
    return "undetermined", (
        f"At {e['size']:g} rows {_losses(e)}. A training loss below {low:.3g} would be a fit, one above {high:.3g} "
        "none; between them the network is too small, or the targets are noise. Pass the loss that you hope for as "
        "`desired_loss`, or raise `repeats`."
    )


def _of_high_loss(e: dict[str, float], yardstick: Yardstick, high: float) -> tuple[Verdict, str]:
    at = f"At {e['size']:g} rows {_losses(e)}, and {_mark(yardstick)}"
    if e["gap_low"] > e["wide_gap"]:
        return "undetermined", f"{at}: the training loss is high and the gap is wide, which is both bias and variance."
    # NaN, the pace of a single epoch, does not pass either.
    if not e["train"] - e["pace"] > high or e["train"] + min(e["train_per_doubling_high"], 0.0) <= high:
        return "undetermined", f"{at}: the fits had not come to an end. Train for more epochs."
    return "high_bias", (
        f"{at}: both losses are high and close together. More data will not help; a larger network, better features "
        "or less regularization may."
    )


def _of_low_loss(e: dict[str, float], yardstick: Yardstick) -> tuple[Verdict, str]:
    at = f"At {e['size']:g} rows {_losses(e)}, and {_mark(yardstick)}"
    if e["gap_high"] < e["wide_gap"]:
        return "balanced", f"{at}: the training loss is low and the gap is narrow."
    if e["validation_per_doubling_high"] < 0 and e["gap_per_doubling_high"] < 0:
        return "high_variance", (
            f"{at}: the gap is wide, and closing. The validation loss falls by "
            f"{-e['validation_per_doubling']:.3g} with each doubling of the rows: more data helps, and so may "
            "regularization or a smaller network."
        )
    return "undetermined", (
        f"{at}: the gap is wide, and over the repeats it is not seen to close with more rows. Either the validation "
        "data differ in kind from the training data, or more sizes, further apart, and more `repeats` are needed."
    )


def _losses(e: dict[str, float]) -> str:
    return f"the training loss is {e['train']:.3g} and the validation loss {e['validation']:.3g}"


def _mark(yardstick: Yardstick) -> str:
    if yardstick.desired is not None:
        return f"{yardstick.desired:.3g} is desired"
    return f"the best constant prediction costs {yardstick.constant:.3g}"


def _expectation(sizes: np.ndarray, validation: np.ndarray, yardstick: Yardstick, evidence: dict[str, float]) -> str:
    """What a power law expects of twice the rows, added to `evidence`; nothing where it does not fit."""
    expected = extrapolated(sizes, np.nanmean(validation, axis=0), 2 * sizes[-1], yardstick.perfect or 0.0)
    if expected is None:
        return ""
    evidence.update(doubled_size=2.0 * sizes[-1], expected_validation=expected)
    return f" With {2 * sizes[-1]:g} rows a validation loss of about {expected:.3g} is to be expected."


def interval(values: np.ndarray) -> Interval:
    """The mean of the finite values and its bounds; a single value has none."""
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return Interval(-math.inf, float(values.mean()) if len(values) else math.nan, math.inf)
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))
    half = STUDENT[min(len(values) - 1, len(STUDENT)) - 1] * error
    return Interval(mean - half, mean, mean + half)


def _slopes(sizes: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """How each repeat changes with a doubling of the size, over the largest sizes; NaN where one of them failed."""
    doublings = np.log2(sizes[-LAST:])
    centred = doublings - doublings.mean()
    return losses[:, -LAST:] @ centred / (centred @ centred)


def extrapolated(sizes: np.ndarray, losses: np.ndarray, size: float, floor: float = 0.0) -> float | None:
    """The loss at `size` by a power law a + b m^-c with a >= `floor`, or `None` where none fits.

    It fits if, taken from all sizes but the largest, it foretells the loss at the largest to 5 %, and if no size is
    off by more than that once all are taken.
    """
    if len(sizes) < LEAST_TO_FIT or not (losses > 0).all():
        return None
    before, whole = _power_law(sizes[:-1], losses[:-1], floor), _power_law(sizes, losses, floor)
    if before is None or whole is None or abs(_at(before, sizes[-1]) / losses[-1] - 1) > MISFIT:
        return None
    if (np.abs(_at(whole, sizes) / losses - 1) > MISFIT).any():
        return None
    return float(_at(whole, size))


def _power_law(sizes: np.ndarray, losses: np.ndarray, floor: float) -> tuple[float, float, float] | None:
    fits = [_with_exponent(sizes, losses, floor, float(c)) for c in EXPONENTS]
    falling = [fit for fit in fits if fit[1] > 0]
    return min(falling, key=lambda fit: float(((_at(fit, sizes) / losses - 1) ** 2).sum()), default=None)


def _with_exponent(sizes: np.ndarray, losses: np.ndarray, floor: float, c: float) -> tuple[float, float, float]:
    powers = sizes**-c
    a, b = np.linalg.lstsq(np.stack([1 / losses, powers / losses], axis=1), np.ones(len(losses)), rcond=None)[0]
    if a < floor:
        weighted = powers / losses
        a, b = floor, float(weighted @ (1 - floor / losses) / (weighted @ weighted))
    return float(a), float(b), c


def _at(law: tuple[float, float, float], size: np.ndarray | float) -> np.ndarray:
    a, b, c = law
    return a + b * np.asarray(size, float) ** -c
