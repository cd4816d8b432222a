"""Validation data unlike the training data."""

from __future__ import annotations

from typing import ClassVar

from kregtools.record import Record, example
from kregtools.symptoms.comparison import MISMATCH, comparable, difference, mismatch, trained_before
from kregtools.symptoms.evidence import require_epochs, validation_loss
from kregtools.symptoms.symptom import CannotCheckError, Symptom, SymptomRule

BINARY = {"losses": [{"name": "binary_crossentropy"}]}
NORMALIZED = {"layers": [{"name": "bn", "class": "BatchNormalization", "momentum": 0.99}]}


class TrainValMismatch(SymptomRule):
    """The validation loss is far above the training loss from the first epochs on.

    How it is detected: in every epoch the validation loss is at least 1.5 times the training loss, in the first two
    also further above it than a quarter of what the best constant prediction costs. Accuracy, where there is one, is
    at least 5 points worse in these as well, unless the loss is 3 times or more and not weighted; a weighted loss is
    not judged without it. In the first epoch every row is new to the network, so that its training loss is that of
    unseen rows: overfitting cannot have begun. An epoch without a difference shows that the sets are alike: what comes
    later is another matter. The other way round nothing is said: dropout, augmentation and class weights lift the
    training loss. Averages of a batch normalization are to have settled by the end of the first epoch, and a fit that
    goes on with a trained network is not judged.

    Why it matters: the validation loss then measures another task, and choosing by it chooses wrongly.

    What to do: see the cause; prepare both sets by the same code, and shuffle before splitting.

    Threshold: 1.5 times and a quarter are judgement: by chance, sets of 64 rows or more do not differ by that. So are 3
    times: accuracies are compared to tell weights, which are seldom that far from 1, and in the first epochs the
    training accuracy may be at chance still.
    """

    name = "train_val_mismatch"
    SICK: ClassVar = (
        example(logs={"loss": [0.6, 0.4, 0.3, 0.25], "val_loss": [1.1, 1.2, 1.3, 1.3]}, facts=BINARY),
        example(
            logs={
                "loss": [0.5, 0.3, 0.2, 0.2],
                "val_loss": [0.9, 0.8, 0.8, 0.9],
                "accuracy": [0.8, 0.9, 0.95, 0.95],
                "val_accuracy": [0.6, 0.62, 0.61, 0.6],
            },
            facts=BINARY,
        ),
        example(
            logs={
                "loss": [0.77, 0.61, 0.49, 0.40],
                "val_loss": [104.0, 79.0, 55.0, 34.0],
                "accuracy": [0.55, 0.76, 0.84, 0.90],
                "val_accuracy": [0.62, 0.62, 0.62, 0.62],
            },
            facts=BINARY,
        ),
    )
    HEALTHY: ClassVar = (
        example(logs={"loss": [0.6, 0.3, 0.1, 0.02], "val_loss": [0.5, 0.35, 0.5, 0.9]}, facts=BINARY),
        example(logs={"loss": [0.7, 0.6, 0.5, 0.45], "val_loss": [0.5, 0.35, 0.3, 0.25]}, facts=BINARY),
        example(logs={"loss": [0.6, 0.4, 0.3, 0.25], "val_loss": [2.1, 1.4, 0.5, 0.3]}, facts={**BINARY, **NORMALIZED}),
        example(logs={"loss": [0.6, 0.4, 0.3, 0.25], "val_loss": [2.1, 1.9, 1.5, 1.3]}, facts={**BINARY, **NORMALIZED}),
        example(logs={"loss": [0.02, 0.01, 0.01, 0.01], "val_loss": [0.05, 0.04, 0.04, 0.04]}, facts=BINARY),
        example(
            logs={
                "loss": [0.3, 0.2, 0.15, 0.1],
                "val_loss": [0.6, 0.5, 0.45, 0.4],
                "accuracy": [0.7, 0.8, 0.83, 0.85],
                "val_accuracy": [0.72, 0.8, 0.83, 0.85],
            },
            facts=BINARY,
        ),
        example(
            logs={"loss": [0.65, 0.5, 0.4, 0.3, 0.2, 0.1], "val_loss": [2.6, 2.1, 0.5, 0.4, 0.4, 0.5]}, facts=BINARY
        ),
        example(logs={"loss": [0.1, 0.08, 0.06], "val_loss": [0.6, 0.7, 0.8]}, facts={**BINARY, "fit": {"steps": 5}}),
    )

    def check(self, record: Record) -> Symptom | None:
        validation_loss(record)
        require_epochs(record)
        if not comparable(record):
            raise CannotCheckError(
                "the training loss is weighted by `class_weight` or `sample_weight`, and there is no accuracy to "
                'compare instead: compile with `metrics=["accuracy"]`'
            )
        ratio = mismatch(record)
        if ratio is None and trained_before(record) and (record.log("val_loss") >= MISMATCH * record.log("loss")).all():
            raise CannotCheckError("the network had been trained before this fit, perhaps on the same rows")
        if ratio is None and difference(record) is not None:
            raise CannotCheckError(
                "validation is worse in every epoch, and in the first ones the moving averages of a batch "
                "normalization had not settled, which may be why: add `RecalibrateBatchNorm`"
            )
        if ratio is None:
            return None
        training, validation = record.log("loss")[0], record.log("val_loss")[0]
        return Symptom(
            self.name,
            "warning",
            f"In the first epoch, when no row had been seen before, the validation loss is {validation:.3g} and the "
            f"training loss {training:.3g}, and it stays at {ratio:.2g} times or more; below {MISMATCH:g} times is "
            "chance. The two sets differ, or the training rows come in an order (sorted, and `shuffle=False`).",
            (),
            int(record.logs[0]["step"]),
            {
                "ratio": ratio,
                "first_loss": float(training),
                "first_val_loss": float(validation),
                "threshold": MISMATCH,
            },
        )
