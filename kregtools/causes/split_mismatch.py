"""Training and validation rows that are not alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.record import Record, example
from kregtools.symptoms import Symptom

APART = {"loss": [0.6, 0.4, 0.3, 0.25], "val_loss": [1.1, 1.2, 1.3, 1.3]}
# Labels that were shuffled apart from their rows start near a constant's loss.
WORSE = 2.0
SHUFFLED = {"loss": [0.69, 0.6, 0.5, 0.3, 0.1], "val_loss": [0.70, 0.72, 0.8, 1.1, 1.6]}
BINARY = {"losses": [{"name": "binary_crossentropy"}]}


class SplitMismatch(CauseRule):
    """The validation rows come from elsewhere, or were prepared otherwise.

    How it is told: by its effect. Validation is far worse than training from the first epoch on, when no row had been
    seen before; or nothing that is learned holds for the validation rows at all, for which wrong labels are an
    explanation as good, but where the validation loss is never below twice the constant's: wrong labels start near
    it. `validation_split` takes the last rows without shuffling: where they are sorted, by class or
    by time, they are of another kind.

    What to do: the same preparation for both, fitted on the training rows; shuffle before splitting.
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
        reason = (
            f"The validation loss is {far.evidence['ratio']:.2g} times the training loss or more while both are of "
            "rows not seen before."
            if far
            else f"The validation loss is never below {symptoms['no_generalization'].evidence['best_val_loss']:.3g}, "
            "that of a constant, while the training loss falls."
        )
        return self.found(
            symptoms,
            0.7 if far else 0.6 if symptoms["no_generalization"].evidence["ratio"] >= WORSE else 0.45,
            reason,
            Remedy(
                "Compare mean, std and label counts of both sets; prepare them by the same code, and shuffle before "
                "splitting (`validation_split` takes the last rows as they lie). Validation should then be as good "
                "as training in the first epoch.",
                "rows = np.random.default_rng(0).permutation(len(x))\nx, y = x[rows], y[rows]\n"
                "model.fit(x, y, validation_split=0.2)",
            ),
        )
