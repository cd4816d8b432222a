"""The rules of published tools, re-implemented on a record: what each would report, in kregtools' names.

They are approximations: the tools look at one batch or at every step where a record holds sampled steps, and at means
of absolute values where it holds root mean squares. Thresholds are those of their source code.

- SageMaker Debugger: built-in rules with their defaults (Rauschmayr et al., MLSys 2021).
- UMLAUT: Schoop, Huang and Hartmann, CHI 2021.
- DeepDiagnosis: Wardat, Cruz, Le and Rajan, ICSE 2022.
- AutoTrainer: Zhang, Zhai, Ma and Shen, ICSE 2021.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from kregtools.record import Record


def sagemaker_debugger(record: Record) -> set[str]:
    """`AllZero` and `UnchangedTensor` are left out: they hold for tensors of most healthy runs."""
    gradients, ratios = record.matrix("kernel", "gradient_rms")[1], record.matrix("kernel", "update_ratio")[1]
    stds = record.matrix("activation", "std")[1][:3]
    losses, validation = record.log("loss"), record.log("val_loss")
    sampled, steps = record.series("", "loss", "value"), record.steps
    judged = steps + 10 < steps[-1] if len(steps) else steps
    lowest = [np.nanmin(sampled[steps > step + 10], initial=np.inf) for step in steps]
    counts = _label_counts(record)
    return _where(
        vanishing_gradient=_any(gradients < 1e-7),
        nonfinite=_nonfinite(record),
        dead_relu=_any(_dead(record) > 0.5),
        saturated_activation=_any(record.matrix("activation", "saturated_fraction")[1] > 0.5),
        bad_init=_any(np.nanmax(stds**2, 1, initial=0) > 10 * np.nanmin(stds**2, 1, initial=np.inf)),
        large_update=_any((ratios > 10) | (ratios < 1e-8)),
        overfit=_any((validation - losses) / losses > 0.1),
        no_learning=_any((np.array(lowest) >= sampled) & judged),
        class_imbalance=bool(len(counts)) and counts.max() > 10 * counts.min(),
    )


def umlaut(record: Record) -> set[str]:
    """The test of the last layer's name is its softmax rule, which any other output fails."""
    losses, validation = record.log("loss"), record.log("val_loss")
    rate = (record.facts.get("optimizer") or {}).get("learning_rate")
    accuracy, val_accuracy = record.log("accuracy"), record.log("val_accuracy")
    hidden = [layer for layer in record.facts.get("layers", ()) if "kernel" in layer.get("weights", ())][:-1]
    low, high = record.series("", "input", "min"), record.series("", "input", "max")
    return _where(
        unnormalized_input=_any(low < -1) or _any(high > 1),
        lr_too_high=rate is not None and rate > 0.01,
        lr_too_low=rate is not None and rate < 1e-7,
        overfit=_any((np.diff(validation) > 0) & (np.diff(losses) < 0)),
        train_val_mismatch=_any(val_accuracy[3:] > 0.95) or _any(val_accuracy[3:] > accuracy[3:] + 0.05),
        wrong_output_activation=all(output["activation"] != "softmax" for output in record.facts.get("outputs", ())),
        missing_nonlinearity=any(layer.get("activation") == "linear" for layer in hidden),
        nonfinite=_any(record.series("", "input", "nonfinite") > 0),
    )


def deep_diagnosis(record: Record) -> set[str]:
    """`mean == 0` counts as a numerical error there."""
    norms, rms = record.matrix("kernel", "gradient_norm")[1], record.matrix("kernel", "gradient_rms")[1]
    updates = record.matrix("kernel", "update_norm")[1]
    with np.errstate(all="ignore"):
        change = updates / (norms / rms) if updates.shape == norms.shape else updates
    means = record.matrix("activation", "mean")[1]
    relus = {name for name, _ in record.tensors("dead_units")}
    names, zeros = record.matrix("activation", "zero_fraction")
    relu_zeros = zeros[-1:, [name in relus for name in names]]
    losses, accuracy = record.log("loss"), record.log("accuracy")
    return _where(
        nonfinite=_nonfinite(record) or _any(means == 0),
        dead_relu=_any(relu_zeros >= 0.7),
        saturated_activation=_any(record.matrix("activation", "saturated_fraction")[1] > 0.5),
        vanishing_gradient=_any(change < 1e-7),
        no_learning=_same(losses, 5) or _same(accuracy, 20),
        unnormalized_input=_any(record.series("", "input", "max") > 1) or _any(record.series("", "input", "min") < -1),
    )


def auto_trainer(record: Record) -> set[str]:
    """Reports only where the accuracy stays low or never rises by .01 in an epoch."""
    gradients = record.matrix("kernel", "gradient_norm")[1]
    first, last = (gradients[:, index] if gradients.size else np.zeros(0) for index in (0, -1))
    zeros = record.matrix("kernel", "gradient_zero_fraction")[1]
    losses, accuracy = record.log("loss"), record.log("accuracy")
    stuck = np.isfinite(accuracy).any() and (np.nanmax(accuracy) < 0.6 or not _any(np.diff(accuracy) > 0.01))
    turns = [peak - low for peak, low in _extremes(accuracy)]
    with np.errstate(all="ignore"):
        ratio = first / last
    found = _where(
        vanishing_gradient=_any((ratio < 1e-3) & (first < 1e-4)),
        exploding_gradient=_any(ratio > 70) or not np.isfinite(losses).all() or _any(losses >= 1e3),
        dead_relu=_any(np.nanmean(zeros, 1) >= 0.7) if zeros.size else False,
    )
    found = found if stuck else set[str]()
    return found | _where(
        oscillating_loss=sum(turn >= 0.03 for turn in turns) >= max(0.2 * len(accuracy), 1),
        slow_convergence=bool(stuck) and np.nanmax(accuracy) < 0.6 and not _any(np.diff(accuracy) > 0.01),
    )


PUBLISHED: dict[str, Callable[[Record], set[str]]] = {
    "SageMaker Debugger": sagemaker_debugger,
    "UMLAUT": umlaut,
    "DeepDiagnosis": deep_diagnosis,
    "AutoTrainer": auto_trainer,
}


def reported(tool: str, record: Record) -> set[str]:
    """What the tool would report of the record."""
    with np.errstate(all="ignore"):
        return PUBLISHED[tool](record)


# ---- private


def _where(**shown: object) -> set[str]:
    return {name for name, value in shown.items() if value}


def _any(values: np.ndarray) -> bool:
    return bool(np.any(values))


def _nonfinite(record: Record) -> bool:
    sick = [record.series(layer, tensor, "nonfinite") > 0 for layer, tensor in record.tensors("nonfinite")]
    return any(map(_any, sick)) or not np.isfinite(record.log("loss")).all()


def _dead(record: Record) -> np.ndarray:
    return record.matrix("activation", "dead_units")[1] / record.matrix("activation", "units")[1]


def _same(values: np.ndarray, count: int) -> bool:
    return len(values) >= count and bool(np.all(values[-count:] == values[-1]))


def _label_counts(record: Record) -> np.ndarray:
    names = [name for name in record.statistics("", "target") if name.startswith("count_")]
    return np.array([np.nansum(record.series("", "target", name)) for name in names])


def _extremes(values: np.ndarray) -> list[tuple[float, float]]:
    """Local maxima with the minimum that follows each."""
    turns = [
        (kind, float(here))
        for before, here, after in zip(values, values[1:], values[2:], strict=False)
        for kind, shown in (("high", before < here > after), ("low", before > here < after))
        if shown
    ]
    return [(one[1], other[1]) for one, other in pairwise(turns) if (one[0], other[0]) == ("high", "low")]
