"""Labels that are not what the loss takes, or do not belong to their rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import ELSEWHERE, SPARSE, unlearned
from kregtools.record import Record, example
from kregtools.record.targets import Targets, targets_of
from kregtools.symptoms import Symptom

MISSING = "np.isfinite(y).reshape(len(y), -1).all(axis=1)"
FOREIGN = "((y >= 0) & (y < model.output_shape[-1])).reshape(len(y), -1).all(axis=1)"
PROBABILITIES = ("binary_crossentropy", "categorical_crossentropy")
SHUFFLED = {"loss": [0.69, 0.6, 0.5, 0.3, 0.1], "val_loss": [0.70, 0.72, 0.8, 1.1, 1.6]}
BINARY = {"losses": [{"name": "binary_crossentropy"}], "model": {"class": "Sequential"}}


def _targets(low: float, high: float, **more: float) -> dict[tuple[str, str, str], list[float]]:
    mean = (low + high) / 2
    values = {"mean": mean, "std": high - mean, "min": low, "max": high, **more}
    return {("", "target", statistic): [value] * 3 for statistic, value in values.items()}


class WrongLabels(CauseRule):
    """The labels are not those of their rows, or not of the kind that the loss takes.

    How it is told: surely, by targets that are NaN, class numbers outside the range of the output, or targets of a
    crossentropy outside 0 to 1. By its effect, where the network learns its training rows and nothing that holds for
    others: labels that were shuffled apart from their rows look like that. So do inputs that say nothing about the
    labels, and a validation set of another kind (`split_mismatch`), which comes first where the validation loss is
    never below twice that of a constant.

    What to do: print ten rows with their labels, after all preparation, as the network gets them.
    """

    name = "wrong_labels"
    explains = ("no_generalization", "negative_loss", "nonfinite", "diverging_loss", "no_learning", "underfit")
    SICK: ClassVar = (
        example(logs=SHUFFLED, facts=BINARY),
        example(logs={"loss": [0.5, -3.0, -40.0]}, series=_targets(-1.0, 1.0), facts=BINARY),
        example(
            logs={"loss": [float("nan")] * 3},
            series=_targets(0.0, 10.0, labels_out_of_range=3.0),
            facts={"losses": [{"name": "sparse_categorical_crossentropy"}]},
        ),
        example(logs={"loss": [float("nan")] * 3}, series=_targets(0.0, 1.0, nonfinite=2.0), facts=BINARY),
    )
    HEALTHY: ClassVar = (
        example(logs={"loss": [float("nan")] * 3}, series=_targets(0.0, 1.0, nonfinite=0.0), facts=BINARY),
        example(logs={**SHUFFLED, "val_loss": [0.68, 0.6, 0.55, 0.6, 0.9]}, facts=BINARY),
        example(
            logs={"loss": [9.0, 90.0, 900.0]},
            series=_targets(-5.0, 5.0),
            facts={"losses": [{"name": "mean_squared_error"}]},
        ),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        for loss, targets in targets_of(record, record.facts.get("losses") or []) or ():
            wrong = _wrong(record, loss, targets)
            if wrong:
                return self.found(symptoms, 0.9, *wrong)
        if "no_generalization" not in symptoms:
            return None
        return self._found_alone(symptoms)

    def _found_alone(self, symptoms: Mapping[str, Symptom]) -> Cause:
        shown = {"no_generalization": symptoms["no_generalization"]}
        best, share = unlearned(shown["no_generalization"])
        return self.found(
            shown,
            0.45 if share >= ELSEWHERE else 0.55,
            f"The training rows were learned, and for the validation rows the loss is {best:.3g} at best, {share:.0%} "
            "of that of a constant: labels that do not belong to their rows can be learned by heart alone.",
            Remedy(
                "Look at ten rows with their labels as the network gets them; inputs and labels may have been sorted "
                "or shuffled apart. With the right labels the validation loss should fall in the first epoch.",
                "rows = np.random.default_rng(0).permutation(len(x))\nx, y = x[rows], y[rows]",
            ),
        )


def _wrong(record: Record, loss: Mapping[str, Any], targets: Targets) -> tuple[str, Remedy] | None:
    name, low, high = loss.get("target") or "target", targets.low, targets.high
    nonfinite = np.nansum(record.series("", name, "nonfinite"))
    labels = loss.get("ignore_class") is None and (targets.whole or loss.get("name") in SPARSE)
    outside = np.nansum(record.series("", name, "labels_out_of_range")) if labels else 0
    if nonfinite > 0:
        return f"{nonfinite:.0f} of the sampled targets are NaN or infinite.", _without("", MISSING)
    if outside > 0:
        up = f"; they go up to {high:g}" if math.isfinite(high) else ""
        reason = f"{outside:.0f} of the sampled labels are negative or too large for the output{up}."
        return reason, _without("; class numbers go from 0 to the number of units less 1", FOREIGN)
    if loss.get("name") in PROBABILITIES and math.isfinite(low) and (low < -1e-6 or high > 1 + 1e-6):
        reason = f"The targets go from {low:.3g} to {high:.3g}, and {loss['name']} takes probabilities, from 0 to 1."
        return reason, _between_0_and_1(targets)
    return None


def _without(why: str, kept: str) -> Remedy:
    return Remedy(
        f"Find the rows with such labels and mend or drop them{why}. Training should then go on.",
        f"keep = {kept}\nx, y = x[keep], y[keep]",
    )


def _between_0_and_1(targets: Targets) -> Remedy:
    if targets.shares is not None:
        return Remedy(
            "Label the two classes 0 and 1; take `mean_squared_error` if they are numbers. The loss is then never "
            "below 0.",
            f"y = (y - {targets.low:g}) / {targets.high - targets.low:g}".replace("- -", "+ "),
        )
    return Remedy(
        "Scale the targets to 0 to 1 if all of them have the same limits, as pixels have; take `mean_squared_error` "
        "and an output without activation if they are other numbers. The loss is then never below 0.",
        "y = (y - y.min()) / (y.max() - y.min())",
    )
