"""A loss that falls while the accuracy stays at chance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from kregtools.record import Record, constant_loss, example
from kregtools.record.targets import Targets
from kregtools.symptoms.capacity import FEW_CLASSES, REGRESSION
from kregtools.symptoms.comparison import accuracy, has_classes, majority_share
from kregtools.symptoms.curves import penalty_unseen, require_seen_penalty, tail
from kregtools.symptoms.evidence import data_loss, first_step, require_epochs
from kregtools.symptoms.probabilities import are_probabilities, logits_are_taken, over_another_axis
from kregtools.symptoms.symptom import CannotCheckError, Symptom, SymptomRule
from kregtools.symptoms.yardstick import require_unweighted, yardstick

LOW = 0.5
ROUNDING = 1e-3
MOST_CLASSES = 1.05
ONE_OF_SEVERAL = ("categorical_crossentropy", "categorical_focal_crossentropy")
SEVERAL = ("binary_crossentropy", "binary_focal_crossentropy")
PROBABILITIES = (*ONE_OF_SEVERAL, *SEVERAL, "sparse_categorical_crossentropy")
GAIN = 0.1
LEARNED = {"loss": [0.6, 0.4, 0.3, 0.2], "accuracy": [0.7, 0.8, 0.9, 0.98]}
FITTED = {"loss": [0.5, 0.3, 0.1, 0.05], "accuracy": [0.4, 0.6, 0.65, 0.65]}
BINARY = {"losses": [{"name": "binary_crossentropy"}]}


def _targets(share: float) -> dict[tuple[str, str, str], list[float]]:
    return {
        ("", "target", "mean"): [share] * 4,
        ("", "target", "std"): [(share * (1 - share)) ** 0.5] * 4,
        ("", "target", "min"): [0.0] * 4,
        ("", "target", "max"): [1.0] * 4,
    }


def _facts(loss: str, units: int, **settings: bool) -> dict[str, Any]:
    return {
        "losses": [{"name": loss, "target": "target", **settings}],
        "outputs": [{"tensor": "output", "target": "target", "shape": [None, units]}],
    }


def _range(low: float, high: float) -> dict[tuple[str, str, str], list[float]]:
    return {("", "output", "min"): [low] * 4, ("", "output", "max"): [high] * 4}


def _softmaxed(backend: str, activation: str | None) -> dict[str, Any]:
    facts = _facts("categorical_crossentropy", 3, from_logits=True)
    facts["outputs"][0].update(layer="last", activation=activation)
    return {**facts, "versions": {"backend": backend}, "layers": [{"name": "last", "activation": activation}]}


SUMS = {("", "output", name): [value] * 4 for name, value in {"sum_mean": 1.0, "sum_std": 0.0}.items()}


def _hot(columns: float) -> dict[tuple[str, str, str], list[float]]:
    """Targets of three columns of 0 and 1, a share of each being 1."""
    counts = {f"count_{column}": 32 * columns for column in range(3)}
    known = {"count": 96.0, "rows": 32.0, **counts, "mean": columns, "std": (columns * (1 - columns)) ** 0.5}
    return {("", "target", name): [value] * 4 for name, value in {**known, "min": 0.0, "max": 1.0}.items()}


def _of_several(activation: str) -> dict[str, Any]:
    facts = _facts("binary_crossentropy", 3)
    facts["outputs"][0].update(activation=activation)
    return facts


def _numbers(low: float, high: float) -> dict[tuple[str, str, str], list[float]]:
    known = {"mean": (low + high) / 2, "std": 0.4 * (high - low), "min": low, "max": high, "integer_fraction": 1.0}
    return {("", "target", name): [value] * 4 for name, value in known.items()}


class LossMetricMismatch(SymptomRule):
    """The loss says that the network learns, and the accuracy that it does not.

    How it is detected: a crossentropy, penalties left out, ends below half of what the best constant prediction costs
    (what soft targets cost a perfect one is left out; a weighted loss is not judged), and the best accuracy, in
    training or validation, has won less than a tenth of what lies between the share of the most frequent class and 1.
    Whatever loss and accuracy are: a crossentropy of probabilities was given outputs outside 0 to 1, by more than
    rounding, one of logits was given rows that sum to 1, or a categorical crossentropy has a single unit, or targets of
    several classes a row, or a softmax has such targets, or some of none; or the rows of a softmax do not sum to 1, so
    that it is one over the batch. And, as a warning: an accuracy is asked for of one unit that a squared or absolute
    error fits to class numbers, which are whole numbers in a range of 30 and go beyond 1.

    Why it matters: the loss is not computed from what the network puts out (Keras takes the logits from before a
    sigmoid or softmax), or the accuracy does not compare what it should. A softmax over one unit is always 1, and
    its loss falls all the same.

    What to do: see the cause; look at what `model.predict` returns.

    Threshold: a network with half of the loss names far more than a tenth of the rest correctly; both numbers are
    judgement. Rounding is that of half precision, 0.001; the rows of a softmax may be off by 0.05. The range of class
    numbers is that of `wrong_loss`.
    """

    name = "loss_metric_mismatch"
    SICK: ClassVar = (
        example(
            logs={"loss": [0.6, 0.4, 0.2, 0.05], "accuracy": [0.5, 0.5, 0.5, 0.5]}, facts=BINARY, series=_targets(0.5)
        ),
        example(
            logs={"loss": [0.5, 0.3, 0.1, 0.05], "accuracy": [0.3, 0.3, 0.3, 0.3]}, facts=BINARY, series=_targets(0.3)
        ),
        example(logs=LEARNED, facts=_facts("binary_crossentropy", 1), series=_range(-1.9, 4.5)),
        example(logs=LEARNED, facts=_facts("categorical_crossentropy", 3), series=_range(-1.9, 0.9)),
        example(logs={"loss": [0.0, 0.0, 0.0]}, facts=_facts("categorical_crossentropy", 1)),
        example(logs=FITTED, facts=_facts("mean_squared_error", 1), series=_numbers(0.0, 2.0)),
        example(logs=LEARNED, facts=_softmaxed("tensorflow", None), series={**_range(0.0, 1.0), **SUMS}),
        example(logs=LEARNED, facts=_softmaxed("jax", "softmax"), series={**_range(0.0, 1.0), **SUMS}),
        example(logs=LEARNED, facts=_facts("categorical_crossentropy", 3), series=_hot(0.5)),
        example(logs=LEARNED, facts=_of_several("softmax"), series=_hot(0.5)),
        example(
            logs=LEARNED,
            facts=_softmaxed("tensorflow", "softmax"),
            series={**_range(0.0, 1.0), ("", "output", "sum_mean"): [0.3] * 4, ("", "output", "sum_std"): [0.2] * 4},
        ),
    )
    HEALTHY: ClassVar = (
        example(logs=LEARNED, facts=_of_several("sigmoid"), series=_hot(0.5)),
        example(logs=LEARNED, facts=_of_several("softmax"), series=_hot(1 / 3)),
        example(
            logs={"loss": [0.6, 0.4, 0.2, 0.05], "accuracy": [0.6, 0.8, 0.9, 0.98]}, facts=BINARY, series=_targets(0.5)
        ),
        example(
            logs={"loss": [0.3, 0.25, 0.2, 0.19], "accuracy": [0.95, 0.95, 0.95, 0.95]},
            facts=BINARY,
            series=_targets(0.05),
        ),
        example(
            logs={"loss": [0.3, 0.2, 0.1, 0.09], "accuracy": [0.95, 0.95, 0.96, 0.97]},
            facts=BINARY,
            series=_targets(0.05),
        ),
        example(logs={"loss": [0.9, 0.4, 0.1, 0.02]}, facts={"losses": [{"name": "mean_squared_error"}]}),
        example(logs=FITTED, facts=_facts("mean_squared_error", 1), series=_numbers(0.0, 60.0)),
        example(logs=LEARNED, facts=_facts("binary_crossentropy", 1), series=_range(0.0, 1.0)),
        example(logs=LEARNED, facts=_facts("binary_crossentropy", 1, from_logits=True), series=_range(-4.0, 4.0)),
        example(logs=LEARNED, facts=_facts("categorical_crossentropy", 3), series=_range(0.0, 7.0)),
        example(logs=LEARNED, facts=_softmaxed("tensorflow", "softmax"), series={**_range(0.0, 1.0), **SUMS}),
        example(logs=LEARNED, facts=_facts("categorical_crossentropy", 3), series=_hot(1 / 3)),
        example(logs=LEARNED, facts=_facts("binary_crossentropy", 3), series=_hot(0.5)),
    )

    def check(self, record: Record) -> Symptom | None:
        losses = record.facts.get("losses") or []
        blind = [found for loss in losses if (found := self._blind(record, loss)) is not None]
        if blind:
            return blind[0]
        if len(losses) == 1 and losses[0].get("name") in REGRESSION:
            return self._classes(record)
        if len(losses) != 1 or "crossentropy" not in str(losses[0].get("name")) or not has_classes(record):
            return None
        require_epochs(record, 2)
        require_unweighted(record)
        judged, loss = yardstick(record), tail(data_loss(record))
        if judged is None or not np.isfinite(loss) or judged.above(loss, LOW):
            return None
        curves = [curve for prefix in ("", "val_") if (curve := accuracy(record, prefix)) is not None]
        if not curves:
            raise CannotCheckError('there is no accuracy to compare the loss with: compile with `metrics=["accuracy"]`')
        best, majority = max(float(np.nanmax(curve)) for curve in curves), majority_share(record)
        if best >= 1 - GAIN / 2:
            return None
        if majority is None:
            raise CannotCheckError("the share of the most frequent class is not known: use HealthMonitor")
        if best >= majority + GAIN * (1 - majority):
            return None
        require_seen_penalty(record)
        return Symptom(
            self.name,
            "critical",
            f"The loss falls to {loss:.3g}, {judged.told(loss)}, and the "
            f"accuracy is at best {best:.1%}, where always naming the most frequent class has {majority:.1%}; it "
            f"should be above {majority + GAIN * (1 - majority):.1%}.",
            (),
            None,
            {"loss": loss, **judged.evidence, "accuracy": best, "majority_share": majority, "threshold": LOW},
        )

    def _blind(self, record: Record, loss: Mapping[str, Any]) -> Symptom | None:
        """A crossentropy that does not see what the network puts out."""
        name, output = str(loss.get("name")), _output(record, loss)
        if name in ONE_OF_SEVERAL and (output.get("shape") or [None])[-1] == 1:
            message = f"The {name} of a single unit is the same whatever the network puts out."
            return Symptom(self.name, "critical", message, (), None, {"units": 1.0, "threshold": 2.0})
        classes = _classes_a_row(record, output)
        several = classes > MOST_CLASSES
        if name in ONE_OF_SEVERAL and several:
            message = f"The targets name {classes:.2g} classes a row, and {name} is made for exactly one."
            return Symptom(self.name, "critical", message, (), None, {"classes": classes, "threshold": MOST_CLASSES})
        softmax = name in SEVERAL and output.get("activation") == "softmax"
        if softmax and (several or 0.0 < classes < 1 / MOST_CLASSES):
            message = f"The targets name {classes:.2g} classes a row, and what a softmax puts out sums to 1."
            return Symptom(self.name, "critical", message, (), None, {"classes": classes, "threshold": MOST_CLASSES})
        if (total := over_another_axis(record, output)) is not None:
            message = (
                f"The rows of the softmax sum to {total:.2g} in the mean, and not each to 1: it is taken over another "
                "axis, and what is said of a row depends on the other rows of its batch."
            )
            return Symptom(self.name, "critical", message, (), None, {"row_sum": total, "threshold": 1.0})
        tensor = output.get("tensor") or "output"
        if loss.get("from_logits") and are_probabilities(record, tensor) and not logits_are_taken(record, output):
            message = f"The outputs are probabilities, and {name} with from_logits=True makes such of them once more."
            return Symptom(self.name, "critical", message, (), None, {"row_sum": 1.0})
        if name not in PROBABILITIES or loss.get("from_logits"):
            return None
        low, high = (record.series("", tensor, extreme) for extreme in ("min", "max"))
        # A crossentropy of several classes divides by their sum, so that only what is below 0 is lost on it.
        outside = (low < -ROUNDING) | ((high > 1 + ROUNDING) & (name not in ONE_OF_SEVERAL))
        if not outside.any():
            return None
        lowest, highest = float(np.nanmin(low)), float(np.nanmax(high))
        return Symptom(
            self.name,
            "critical",
            f"The outputs range from {lowest:.3g} to {highest:.3g}, and {name} takes probabilities: it cuts off what "
            "is not between 0 and 1, and gives no gradient there.",
            (),
            first_step(record, outside),
            {"lowest": lowest, "highest": highest, "threshold": ROUNDING},
        )

    def _classes(self, record: Record) -> Symptom | None:
        """Class numbers that one unit is to hit: its accuracy is that of two classes."""
        curve, constant = accuracy(record), constant_loss(record)
        targets = Targets(record, _output(record, record.facts["losses"][0]).get("target") or "target")
        several = (
            targets.high > 1 and targets.high - targets.low < FEW_CLASSES and targets.whole and targets.shares is None
        )
        if curve is None or constant is None or not several or _width(record) != 1:
            return None
        loss, best = tail(data_loss(record)), float(np.nanmax(curve))
        if not loss < LOW * constant or penalty_unseen(record):
            return None
        return Symptom(
            self.name,
            "warning",
            f"The loss falls to {loss:.3g}, {loss / constant:.0%} of what the best constant prediction costs, and the "
            f"accuracy is at best {best:.1%}: of a single unit it is that of two classes, and the targets are whole "
            f"numbers from {targets.low:g} to {targets.high:g}.",
            (),
            None,
            {"loss": loss, "constant_loss": constant, "accuracy": best, "highest": targets.high, "threshold": LOW},
        )


def _output(record: Record, loss: Mapping[str, Any]) -> Mapping[str, Any]:
    """The output that the loss is computed from."""
    outputs = record.facts.get("outputs") or []
    same = [output for output in outputs if loss.get("target") and output.get("target") == loss["target"]]
    return same[0] if same else outputs[0] if len(outputs) == 1 else {}


def _classes_a_row(record: Record, output: Mapping[str, Any]) -> float:
    """How many of the columns of the targets are 1 in a row; 0 where they are not all 0 or 1."""
    targets = Targets(record, output.get("target") or "target")
    hot = targets.as_wide_as_output and targets.shares is not None and (targets.low, targets.high) == (0.0, 1.0)
    return float(targets.columns.sum()) if hot else 0.0


def _width(record: Record) -> int | None:
    return (_output(record, record.facts["losses"][0]).get("shape") or [None])[-1]
