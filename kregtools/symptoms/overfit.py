"""What is learned of the training data does not hold for the validation data."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from kregtools.record import Record, example
from kregtools.symptoms.comparison import accuracy, beats_majority, mismatch, share_correct, trained_before
from kregtools.symptoms.curves import jumps, penalty_unseen, tail, trend, validation_data_loss, will_reach
from kregtools.symptoms.evidence import LEAST_EPOCHS, data_loss, require_epochs, validation_loss
from kregtools.symptoms.negative_loss import impossible, never_negative
from kregtools.symptoms.settling import WORSE, last_known, require_settled, settled
from kregtools.symptoms.symptom import Symptom, SymptomRule
from kregtools.symptoms.yardstick import yardstick

RISE = 1.10
STEADY_RISE = 1.05
FELL = 0.9
MORE_ERRORS = 1.25
GAP = 1.20
LEAST_SINCE = 10
# Of a rank correlation r of n points, r * sqrt(n - 1) exceeds this by chance in one of a hundred cases.
BY_CHANCE = 2.33
STEADY = 0.8
DRIFT = 0.5
ABOVE_FALLS = 3.5
ABOVE_JUMPS = 1.5
CONVERGED = 0.05
LEARNED = 0.5
APART = 0.05
BINARY = {"losses": [{"name": "binary_crossentropy"}]}


# Loss and accuracy of a network that learns wrong labels by heart: the loss alone says little.
NOISY_LABELS = {
    "loss": [2.0 - 0.1 * epoch for epoch in range(16)],
    "accuracy": [0.4 + 0.03 * epoch for epoch in range(16)],
    "val_loss": [1.0, 0.80, 0.73, 0.70, 0.69, *(0.69 + 0.005 * epoch for epoch in range(11))],
    "val_accuracy": [0.88, 0.90, 0.91, 0.92, 0.92, *(0.92 - 0.01 * epoch for epoch in range(11))],
}


NEVER_HELD = {"val_loss": [25.0, 8.0, 5.0, 4.8, 4.7], "val_accuracy": [0.6, 0.7, 0.74, 0.75, 0.76]}
ACCURATE = {"accuracy": [0.5, 0.7, 0.8, 0.9, 0.98]}
TARGETS = {
    ("", "target", name): [value] * 4 for name, value in {"mean": 0.5, "std": 0.5, "min": 0.0, "max": 1.0}.items()
}


class Overfit(SymptomRule):
    """The network learns the training data by heart.

    How it is detected: at the end (the mean of the last two epochs, or of the last 5 % of a long run) the validation
    loss stands more than 10 % above its lowest value, or more than 5 % where it has risen steadily for ten epochs or
    more, or where the validation accuracy says the same: a quarter more errors than in the onset's epoch, and fewer in
    training. The training loss has fallen since, is at least a sixth below it and, penalties left out, below that of
    the best constant prediction, where that is known. A validation loss that jumps is told by its size: the rise is
    more than 3.5 times what it falls by in between, or it drifts upwards over ten epochs or more (rank correlation with
    time above 0.5), or over fewer as one curve in a hundred would by chance. One that is far above the training loss in
    every epoch, and never fell by a tenth and below the constant's, is another symptom, `train_val_mismatch`; one below
    5 % of the constant's does no harm. Where losses may be negative, and are, shares are of what the training loss fell
    by; where they may not, and are, the symptom is `negative_loss`. The onset is the epoch with the lowest validation
    loss: what comes after it was learned by heart.

    Epochs at whose end the moving averages of a batch normalization were far from what its batches had do not count:
    their validation loss tells of these. Where fewer than three are left, or fewer than half and a validation loss that
    is more than 1.5 times the training loss and no longer falls, what is not found is not denied either.

    Without a rise, and so without an onset: the training loss falls below half of what the best constant prediction
    costs, the validation loss has never been below that cost, nor will it be in as many epochs again, and the
    validation accuracy ends more than 5 points below the training's. It beats the share of the most frequent class;
    where it does not, the symptom is `no_generalization`. A fit that goes on with a trained network is not judged so.

    Why it matters: every epoch after the onset makes the network worse on data it has not seen. Where there is none,
    it is sure of what it says, and wrong, from the first epoch on.

    What to do: see the cause; dropout, L2, more data or augmentation, a smaller network, or stopping at the onset
    with `EarlyStopping(restore_best_weights=True)`.

    Threshold: 10 % is the rule of SageMaker Debugger. 5 % if steady or confirmed, and what counts as noise, are
    judgement. A tenth that it fell is the 10 % it has to rise. Half of the constant's loss is what
    `loss_metric_mismatch` takes for learned, 5 points what `train_val_mismatch` takes for a difference.
    """

    name = "overfit"
    SICK: ClassVar = (
        example(
            logs={
                "loss": [0.55, 0.38, 0.28, 0.20, 0.14, 0.09, 0.06, 0.04],
                "val_loss": [0.44, 0.33, 0.28, 0.28, 0.30, 0.34, 0.38, 0.43],
            }
        ),
        example(
            logs={
                "loss": [0.9 * 0.9**epoch for epoch in range(30)],
                "val_loss": [0.5 + 0.4 * abs(epoch - 9) / 100 for epoch in range(30)],
            }
        ),
        example(
            logs={
                "loss": [0.9 * 0.9**epoch for epoch in range(30)],
                "val_loss": [0.4 + 0.02 * abs(epoch - 9) + 0.06 * (-1) ** epoch for epoch in range(30)],
            }
        ),
        example(logs=NOISY_LABELS),
        example(logs={"loss": [0.42, 0.20, 0.08], "val_loss": [0.33, 0.38, 0.52]}),
        example(
            logs={
                "loss": [0.6, 0.4, 0.3, 0.24, 0.2, 0.16, 0.13, 0.11, 0.09, 0.08],
                "val_loss": [0.56, 0.47, 0.80, 0.52, 0.60, 0.68, 0.76, 0.85, 0.95, 1.05],
            }
        ),
        example(
            logs={
                "loss": [1.4, 0.2, -0.5, -0.9, -1.2, -1.4, -1.6, -1.7],
                "val_loss": [0.6, -0.3, -0.8, -0.6, 0.2, 1.5, 3.1, 5.2],
            }
        ),
        example(
            logs={
                "loss": [0.42, 0.20, 0.12, 0.08, 0.05, 0.03, 0.02, 0.015],
                "val_loss": [0.66, 0.50, 0.55, 0.63, 0.72, 0.80, 0.88, 0.95],
            },
            facts=BINARY,
        ),
        example(logs={"loss": [60.0, 9.0, 1.0, 0.3, 0.1], **ACCURATE, **NEVER_HELD}, facts=BINARY, series=TARGETS),
    )
    HEALTHY: ClassVar = (
        example(logs={"loss": [60.0, 9.0, 3.0, 0.9, 0.6], **ACCURATE, **NEVER_HELD}, facts=BINARY, series=TARGETS),
        example(logs={"loss": [60.0, 9.0, 1.0, 0.3, 0.1], **ACCURATE, **NEVER_HELD}),
        example(
            logs={
                "loss": [5.0, 1.0, 0.4, 0.3, 0.25],
                **ACCURATE,
                **NEVER_HELD,
                "val_accuracy": [0.5, 0.8, 0.9, 0.95, 0.96],
            },
            facts=BINARY,
            series=TARGETS,
        ),
        example(
            logs={
                "loss": [0.9 * 0.9**epoch for epoch in range(10)],
                "val_loss": [0.6, 0.5, 0.55, 0.42, 0.52, 0.40, 0.50, 0.43, 0.41, 0.49],
            }
        ),
        example(logs={"loss": [0.5, 0.3, 0.2, 0.1], "val_loss": [1.4, 1.5, 1.7, 2.0]}, facts=BINARY),
        example(
            logs={"loss": [0.2, 0.05, 0.01, 0.001], "val_loss": [0.1, 0.02, 0.023, 0.025]},
            facts=BINARY,
        ),
        example(logs={"loss": [0.6, 0.4, 0.3, 0.25], "val_loss": [0.5, 0.4, 0.33, 0.31]}),
        example(
            logs={
                "loss": [1.4, 0.2, -0.5, -0.9, -1.0, -1.05, -1.07, -1.08],
                "val_loss": [0.6, -0.3, -0.7, -0.9, -0.95, -0.93, -0.96, -0.91],
            }
        ),
        example(logs={"loss": [0.6, 0.4, 0.3, 0.25], "val_loss": [0.5, 0.33, 0.31, 0.32]}),
        example(logs={"loss": [0.6, 0.7, 0.9, 1.5], "val_loss": [0.6, 0.8, 1.0, 1.6]}),
        example(logs={**NOISY_LABELS, "val_accuracy": [0.92] * 16, "val_loss": [0.7, *[0.6] * 10, *[0.64] * 5]}),
        example(
            logs={"loss": [2e5, 4e3, 1.2, 1.2], "val_loss": [3e4, 2e4, 5e4, 5e4]},
            facts={"losses": [{"name": "mean_squared_error"}]},
            series={("", "target", "mean"): [0.0] * 4, ("", "target", "std"): [1.0] * 4},
        ),
    )

    def check(self, record: Record) -> Symptom | None:
        validation, known = validation_loss(record), settled(record)
        require_epochs(record)
        if impossible(record):
            return None
        if (known & np.isfinite(validation)).sum() < LEAST_EPOCHS:
            found = self._judged(record, validation)
            if found:
                require_settled(record, LEAST_EPOCHS)
            return found
        judged = np.where(known, validation, np.nan)
        found = self._judged(record, judged)
        last, trained = last_known(validation), record.log("loss")[-1]
        if not found and last > np.nanmin(judged) and last > WORSE * trained > 0:
            require_settled(record, math.ceil(np.isfinite(validation).sum() / 2))
        return found

    def _judged(self, record: Record, validation: np.ndarray) -> Symptom | None:
        training, known = record.log("loss"), np.flatnonzero(np.isfinite(validation))
        zero = _zero(record, training, validation)
        training, validation = training - zero, validation - zero
        onset = int(known[np.argmin(validation[known])])
        last = known[-max(2, math.ceil(0.05 * len(known))) :]
        end, lowest = float(validation[last].mean()), float(validation[onset])
        trained = float(training[last].mean())
        confirmed = _more_errors(record, onset, last)
        rose = onset < last[0] and _rose(validation[known], int(np.argmin(validation[known])), end, confirmed)
        by_heart = trained < training[onset] and GAP * trained < end and _learned(record, last)
        judged = yardstick(record)
        converged = judged is not None and end <= judged.at(CONVERGED)
        held = lowest <= FELL * validation[known[0]] and (judged is None or lowest < judged.constant)
        apart = mismatch(record) and not held
        if converged or apart:
            return None
        if not (rose and by_heart):
            return self._without_a_rise(record)
        rise, epoch = end / lowest - 1, int(record.epochs[onset]) + 1
        return Symptom(
            self.name,
            "warning",
            f"The validation loss is lowest in epoch {epoch} ({lowest + zero:.3g}) and has risen by "
            + (f"{end - lowest:.3g}" if zero else f"{rise:.0%}")
            + f" since, while the training loss fell from {training[onset] + zero:.3g} to {trained + zero:.3g}"
            + _metric_gap(record)
            + ".",
            (),
            int(record.logs[onset]["step"]),
            {
                "onset_epoch": float(epoch),
                "lowest_val_loss": lowest + zero,
                "final_val_loss": end + zero,
                "rise": rise,
                "threshold": RISE - 1,
                **_gaps(record),
            },
        )

    def _without_a_rise(self, record: Record) -> Symptom | None:
        """Of a network that learned its rows, and of which the validation loss was never worth anything."""
        judged, seen, unseen = yardstick(record), accuracy(record), accuracy(record, "val_")
        if judged is None or seen is None or unseen is None or penalty_unseen(record) or trained_before(record):
            return None
        training, validation = data_loss(record), validation_data_loss(record)
        if not np.isfinite(validation).all() or not beats_majority(record, "val_"):
            return None
        trained, end, lowest = tail(training), tail(validation), float(validation.min())
        learned = trained < training[0] and trained <= judged.at(LEARNED)
        held = lowest <= judged.constant or will_reach(validation, judged.constant)
        if not learned or held or not tail(seen) - tail(unseen) > APART:
            return None
        return Symptom(
            self.name,
            "warning",
            f"The training loss falls to {trained:.3g}, {judged.told(trained)}, and the validation loss was never "
            f"below {lowest:.3g}, {judged.told(lowest)}{_metric_gap(record)}.",
            (),
            None,
            {
                "lowest_val_loss": lowest,
                "final_val_loss": end,
                **judged.evidence,
                "threshold": judged.constant,
                **_gaps(record),
            },
        )


def _zero(record: Record, training: np.ndarray, validation: np.ndarray) -> float:
    """Where losses are counted from: as far below the lowest one as the training loss has fallen, if that is negative.

    The likelihood of a density has no bound, so that a share of the loss says nothing.
    """
    if any(never_negative(loss) for loss in record.facts.get("losses") or []):
        return 0.0
    both = np.concatenate([training, validation])
    least, seen = float(both[np.isfinite(both)].min()), training[np.isfinite(training)]
    return least - float(np.ptp(seen)) if least < 0 and len(seen) else 0.0


def _rose(losses: np.ndarray, onset: int, end: float, confirmed: bool) -> bool:
    """Whether the validation loss, from its lowest value on, rose by more than its jumps."""
    since, rise = losses[onset:], end - losses[onset]
    drift, long = trend(since), len(since) > LEAST_SINCE
    drifts = drift > DRIFT if long else drift * math.sqrt(len(since) - 1) > BY_CHANCE
    falls = np.diff(since)[np.diff(since) < 0]
    jump = jumps(losses)
    if len(since) > 2 and not len(falls):  # it rises ever faster, as a rule, which is no jump
        jump = min(jump, jumps(losses[: onset + 2]))
    beyond = rise > max(ABOVE_FALLS * -float(falls.mean()) if len(falls) else 0.0, ABOVE_JUMPS * jump)
    least = STEADY_RISE if (long and drift > STEADY) or confirmed else RISE
    return (drifts or beyond) and 0 < least * losses[onset] < end


def _more_errors(record: Record, onset: int, last: np.ndarray) -> bool:
    """Whether an accuracy got worse on the validation data since the onset, and better in training."""
    for name in record.logs[-1]:
        if "acc" in name:
            seen, errors = share_correct(record, name), 1 - share_correct(record, name, "val_")
            if errors[last].mean() > MORE_ERRORS * errors[onset] and seen[last].mean() > seen[onset]:
                return True
    return False


def _learned(record: Record, last: np.ndarray) -> bool:
    """Whether the training loss got below that of the best constant; a run that blew up has learned nothing."""
    judged = yardstick(record)
    if judged is None or penalty_unseen(record):
        return True
    return bool(data_loss(record)[last].mean() < judged.constant)


def _gaps(record: Record) -> dict[str, float]:
    """The last epoch's gap between training and validation, in each metric's own units."""
    last = record.logs[-1]
    names = [name for name in last if name != "loss" and math.isfinite(last[name] - last.get(f"val_{name}", math.nan))]
    return {f"gap_{name}": abs(last[name] - last[f"val_{name}"]) for name in names}


def _metric_gap(record: Record) -> str:
    gaps = _gaps(record)
    return f"; {next(iter(gaps))[4:]} differs by {next(iter(gaps.values())):.3g} by now" if gaps else ""
