"""Labels that are partly wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import never_better, row_losses
from kregtools.record import Record, example
from kregtools.symptoms import Symptom
from kregtools.symptoms.yardstick import yardstick

ROOM = 0.5
POSSIBLE, LIKELY = 0.4, 0.65
PLATEAU = {"loss": [0.69, 0.68, 0.67, 0.67, 0.67, 0.67], "val_loss": [0.68, 0.67, 0.67, 0.67, 0.67, 0.67]}
MEMORIZED = {"loss": [0.66, 0.6, 0.5, 0.3, 0.1, 0.05], "val_loss": [0.64, 0.6, 0.62, 0.75, 1.0, 1.3]}
BINARY = {"losses": [{"name": "binary_crossentropy"}]}


class LabelNoise(CauseRule):
    """A share of the labels is noise.

    How it is told: the network overfits, its best validation loss was still above half of what the best constant
    prediction costs (less what soft targets cost a perfect one), and it ends above all of it: what was learned by heart
    is wrong for other rows; surer where it was never below 95 %, which is how labels begin that have nothing to do
    with their rows. That is circumstantial: inputs that do not hold the answer look the same, and so does a network
    too small; the confidence is low.

    What to do: look at the rows with the highest loss. Where the labels cannot be mended, `label_smoothing` and
    stopping early keep the network from learning the noise.

    Reference: Arpit et al., 2017: networks learn what is common first, and noise by heart later.
    """

    name = "label_noise"
    explains = ("overfit",)
    SICK: ClassVar = (example(logs=MEMORIZED, facts=BINARY),)
    HEALTHY: ClassVar = (
        example(logs={"loss": [0.6, 0.3, 0.2, 0.1, 0.05], "val_loss": [0.5, 0.3, 0.36, 0.45, 0.5]}, facts=BINARY),
        example(logs=PLATEAU, facts=BINARY),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        judged = yardstick(record)
        if judged is None:
            return None
        numbers = symptoms["overfit"].evidence
        best, end = numbers["lowest_val_loss"], numbers["final_val_loss"]
        if end <= judged.constant or not judged.above(best, ROOM):
            return None
        alone = never_better(record, symptoms) and not {"no_generalization", "train_val_mismatch"} & set(symptoms)
        return self._named(
            record,
            symptoms,
            LIKELY if alone else POSSIBLE,
            f"The validation loss was at best {judged.told(best)} and ends at {judged.share(end):.0%}: what was "
            "learned by heart is wrong for other rows.",
        )

    def _named(self, record: Record, symptoms: Mapping[str, Symptom], confidence: float, reason: str) -> Cause:
        loss = (record.facts.get("losses") or [{}])[0].get("name") or ""
        smooth = loss in ("binary_crossentropy", "categorical_crossentropy")
        return self.found(
            symptoms,
            confidence,
            reason,
            Remedy(
                "Read the 50 rows with the highest loss: where their labels are wrong, mend or drop such rows. If "
                "they are right, the inputs do not hold the answer, or the network is too small."
                + (" `label_smoothing=0.1` in the loss keeps the network from learning noise." if smooth else ""),
                f"{row_losses(record)}\nworst = keras.ops.argsort(losses)[-50:]",
            ),
        )
