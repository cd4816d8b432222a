"""Training and validation rows that are not alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import ELSEWHERE, unlearned
from kregtools.record import Record, example
from kregtools.symptoms import Symptom

APART = {"loss": [0.6, 0.4, 0.3, 0.25], "val_loss": [1.1, 1.2, 1.3, 1.3]}
SHUFFLED = {"loss": [0.69, 0.6, 0.5, 0.3, 0.1], "val_loss": [0.70, 0.72, 0.8, 1.1, 1.6]}
BINARY = {"losses": [{"name": "binary_crossentropy"}]}


class SplitMismatch(CauseRule):
    """The validation rows come from elsewhere, or were prepared otherwise.

    How it is told: by its effect. Validation is far worse than training from the first epoch on, when no row had been
    seen before; or nothing that is learned holds for the validation rows at all, for which wrong labels are an
    explanation as good unless the validation loss is in every epoch twice that of a constant or more.
    `validation_split` takes the last rows without shuffling: where they are sorted, by class or by time, they are of
    another kind.

    What to do: the same preparation for both, fitted on the training rows; shuffle before splitting.

    Threshold: with labels that do not belong to their rows the validation loss begins near that of a constant, and
    rises as they are learned by heart; the factor of 2 is judgement.
    """

    name = "split_mismatch"
    explains = ("train_val_mismatch", "no_generalization")
    SICK: ClassVar = (example(logs=APART, facts=BINARY), example(logs=SHUFFLED, facts=BINARY))
    HEALTHY: ClassVar = (
        example(logs={"loss": [0.6, 0.3, 0.1, 0.02], "val_loss": [0.5, 0.35, 0.5, 0.9]}, facts=BINARY),
        example(logs={"loss": [0.6, 0.4, 0.3, 0.25], "val_loss": [0.5, 0.4, 0.33, 0.31]}, facts=BINARY),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        far = symptoms.get("train_val_mismatch")
        confidence, reason = _early(far) if far else _never(symptoms["no_generalization"])
        return self.found(
            symptoms,
            confidence,
            reason,
            Remedy(
                "Compare mean, std and label counts of both sets; prepare them by the same code, and shuffle before "
                "splitting (`validation_split` takes the last rows as they lie). Validation should then be as good "
                "as training in the first epoch.",
                "rows = np.random.default_rng(0).permutation(len(x))\nx, y = x[rows], y[rows]\n"
                "model.fit(x, y, validation_split=0.2)",
            ),
        )


def _early(far: Symptom) -> tuple[float, str]:
    return 0.7, (
        f"The validation loss is {far.evidence['ratio']:.2g} times the training loss or more while both are of rows "
        "not seen before."
    )


def _never(nothing: Symptom) -> tuple[float, str]:
    best, share = unlearned(nothing)
    return 0.55 if share >= ELSEWHERE else 0.45, (
        f"The validation loss is never below {best:.3g}, {share:.0%} of that of a constant, while the training loss "
        "falls."
    )
