"""A loss that falls while the accuracy stays at chance."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from kregtools.record import Record, example
from kregtools.symptoms.comparison import accuracy, has_classes, majority_share
from kregtools.symptoms.curves import require_seen_penalty, tail
from kregtools.symptoms.evidence import data_loss, require_epochs
from kregtools.symptoms.symptom import CannotCheckError, Symptom, SymptomRule
from kregtools.symptoms.yardstick import require_unweighted, yardstick

LOW = 0.5
GAIN = 0.1
BINARY = {"losses": [{"name": "binary_crossentropy"}]}


def _targets(share: float) -> dict[tuple[str, str, str], list[float]]:
    return {
        ("", "target", "mean"): [share] * 4,
        ("", "target", "std"): [(share * (1 - share)) ** 0.5] * 4,
        ("", "target", "min"): [0.0] * 4,
        ("", "target", "max"): [1.0] * 4,
    }


class LossMetricMismatch(SymptomRule):
    """The loss says that the network learns, and the accuracy that it does not.

    How it is detected: a crossentropy, penalties left out, ends below half of what the best constant prediction costs
    (what soft targets cost a perfect one is left out; a weighted loss is not judged), and the best accuracy, in
    training or validation, has won less than a tenth of what lies between the share of the most frequent class and 1.
    Targets of a binary crossentropy that are probabilities themselves are no classes, and nothing is compared.

    Why it matters: the loss is not computed from what the network puts out (Keras takes the logits from before a
    sigmoid or softmax), or the accuracy does not compare what it should. A softmax over one unit is always 1, and
    its loss falls all the same.

    What to do: see the cause; look at what `model.predict` returns.

    Threshold: a network with half of the loss names far more than a tenth of the rest correctly; both numbers are
    judgement.
    """

    name = "loss_metric_mismatch"
    SICK: ClassVar = (
        example(
            logs={"loss": [0.6, 0.4, 0.2, 0.05], "accuracy": [0.5, 0.5, 0.5, 0.5]}, facts=BINARY, series=_targets(0.5)
        ),
        example(
            logs={"loss": [0.5, 0.3, 0.1, 0.05], "accuracy": [0.3, 0.3, 0.3, 0.3]}, facts=BINARY, series=_targets(0.3)
        ),
    )
    HEALTHY: ClassVar = (
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
    )

    def check(self, record: Record) -> Symptom | None:
        losses = record.facts.get("losses") or []
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
