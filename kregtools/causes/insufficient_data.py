"""Too few rows for so many parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import layers
from kregtools.causes.steps import training_rows
from kregtools.record import Record, example
from kregtools.symptoms import Symptom

TIMES = 10.0
FEW = 1000
NEXT_TO_NONE = 100
AUGMENTED = (
    'flip, shift = keras.layers.RandomFlip("horizontal"), keras.layers.RandomTranslation(0.1, 0.1)\n'
    "x = shift(flip(inputs))"
)
COMPARED = (
    "curve = kregtools.learning_curve(build, x, y, validation_data=(x_val, y_val))  # build() makes the model\n"
    "print(curve.verdict)"
)
OVERFIT = {"loss": [0.6, 0.3, 0.2, 0.1, 0.05], "val_loss": [0.5, 0.35, 0.36, 0.45, 0.5]}


def _rows(rows: float) -> dict[tuple[str, str, str], list[float]]:
    return {("", "output", "rows"): [rows] * 3}


def _sized(parameters: int, **facts: Any) -> dict[str, Any]:
    return {"model": {"parameters": parameters}, "fit": {"steps": 10}, **facts}


class InsufficientData(CauseRule):
    """There are too few rows to train on.

    How it is told: it overfits, or learns nothing that holds for other data, or its validation loss jumps; and there
    are fewer than a thousand rows, or ten times as many parameters as rows. Large networks with many parameters can
    do well all the same, so the confidence is moderate; below a hundred rows, of which anything can be learned by
    heart, it is higher. Regularization is the other way out.

    What to do: more rows; where there are none, augmentation, a pretrained network, or a smaller one.
    """

    name = "insufficient_data"
    explains = ("overfit", "no_generalization", "noisy_validation")
    SICK: ClassVar = (
        example(logs=OVERFIT, series=_rows(20), facts=_sized(500)),
        example(logs=OVERFIT, series=_rows(512), facts=_sized(160_000)),
    )
    HEALTHY: ClassVar = (
        example(logs=OVERFIT, series=_rows(512), facts=_sized(5_000)),
        example(logs=OVERFIT, facts=_sized(160_000)),
        example(logs={"loss": [0.6, 0.4, 0.3], "val_loss": [0.5, 0.4, 0.33]}, series=_rows(20), facts=_sized(500)),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        rows = training_rows(record)
        parameters = (record.facts.get("model") or {}).get("parameters") or 0
        crowded = parameters > TIMES * rows
        if not rows > 0 or not (rows < FEW or crowded):
            return None
        # From few rows something is learned that holds for others; from wrong labels nothing is.
        likely = rows < FEW and crowded and "no_generalization" not in symptoms
        return self.found(
            symptoms,
            0.7 if rows < NEXT_TO_NONE else 0.6 if likely else 0.5,
            f"{parameters:,} parameters are trained on about {rows:,.0f} rows, {parameters / rows:.3g} for each; "
            f"{FEW:,} rows and fewer than {TIMES:g} parameters a row are safer.",
            _remedy(record, rows, crowded),
        )


def _remedy(record: Record, rows: float, crowded: bool) -> Remedy:
    images = any("Conv2D" in str(layer.get("class")) for layer in layers(record))
    shrink = f", or shrink the network to about {max(1, int(rows)):,} parameters" if crowded else ""
    return Remedy(
        f"Collect more rows{', or make more of these by augmentation' if images else ''}; twice as many, "
        f"{2 * rows:,.0f}, show whether the validation loss gains from it{'' if images else ', as half as many do'}. "
        f"Otherwise regularize{shrink}.",
        AUGMENTED if images else COMPARED,
    )
