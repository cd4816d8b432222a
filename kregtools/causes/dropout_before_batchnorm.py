"""Dropout ahead of BatchNormalization."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import joined
from kregtools.record import Record, example
from kregtools.symptoms import Symptom
from kregtools.symptoms.dropout_graph import norms_fed_by_dropout

MEASURED = {("norm", "moving_variance", "variance_ratio"): [1.8], ("norm", "moving_variance", "recalibrated"): [0.0]}


def _facts(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"layers": list(layers)}


DROPOUT = {"name": "dropout", "class": "SpatialDropout2D", "rate": 0.3, "inbound": []}
NORM = {"name": "norm", "class": "BatchNormalization", "inbound": ["dropout"]}


class DropoutBeforeBatchnorm(CauseRule):
    """Dropout feeds a BatchNormalization, which keeps the variance of training for inference.

    How it is told: the moving variance of a BatchNormalization is not that of its inputs without dropout, and a layer
    with dropout comes before it, at any distance. Dropout that keeps the share p of an input with mean m and
    variance v makes the variance (v + m²)/p - m² of it.

    What to do: take the statistics again with dropout off, and keep them where the validation loss says so; or move
    dropout behind the last BatchNormalization.

    Threshold: that of `variance_shift`. Li et al., 2019, for the explanation and the second remedy; Hendrycks &
    Gimpel, 2016, for the first.
    """

    name = "dropout_before_batchnorm"
    explains = ("variance_shift",)
    SICK: ClassVar = (example(series=MEASURED, facts=_facts(DROPOUT, NORM)),)
    HEALTHY: ClassVar = (
        example(series=MEASURED, facts=_facts({**NORM, "inbound": []}, {**DROPOUT, "inbound": ["norm"]})),
        example(series=MEASURED, facts=_facts({**DROPOUT, "rate": 0.0}, NORM)),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        fed, shifted = norms_fed_by_dropout(record), symptoms["variance_shift"].layers
        dropouts = list(dict.fromkeys(fed[name] for name in shifted))
        return self.found(
            symptoms,
            0.9,
            f"{joined(dropouts)} {'feeds' if len(dropouts) == 1 else 'feed'} {joined(list(shifted))}: the variance "
            "that dropout adds in training is used in inference, where there is none.",
            Remedy(
                "Take the statistics again with dropout off before each validation, and keep them where they lower "
                "the validation loss; it may rise, as the network learned with the noise. Or move dropout behind the "
                "last BatchNormalization.",
                "recalibrate = kregtools.callbacks.RecalibrateBatchNorm(\n"
                "    x_train, keep_best=True, validation_data=(x_val, y_val)\n"
                ")\n"
                "model.fit(x_train, y_train, validation_data=(x_val, y_val), callbacks=[recalibrate])",
            ),
        )
