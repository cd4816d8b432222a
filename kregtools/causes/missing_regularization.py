"""Nothing holds the network back from learning its training data by heart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import hidden_layers, joined, layers
from kregtools.record import Record, example
from kregtools.symptoms import Symptom

STRONG_RATE = 0.5
OVERFIT = {"loss": [0.6, 0.3, 0.2, 0.1, 0.05], "val_loss": [0.5, 0.35, 0.36, 0.45, 0.5]}


def _dense(name: str, **facts: Any) -> dict[str, Any]:
    return {"name": name, "class": "Dense", "units": 16, "activation": "relu", "weights": ["bias", "kernel"], **facts}


class MissingRegularization(CauseRule):
    """The network has little or no regularization.

    How it is told: it overfits, and has no dropout and no weight penalty, or only dropout below 0.5. Several
    remedies are equivalent here: more data does the same.

    What to do: dropout after the hidden layers first, then a weight penalty, one at a time.

    Reference: Srivastava et al., 2014, for the rate of 0.5 in hidden layers.
    """

    name = "missing_regularization"
    explains = ("overfit",)
    SICK: ClassVar = (example(logs=OVERFIT, facts={"layers": [_dense("hidden"), _dense("output")]}),)
    HEALTHY: ClassVar = (
        example(
            logs=OVERFIT,
            facts={
                "layers": [
                    _dense("hidden", regularized=True),
                    {"name": "drop", "class": "Dropout", "rate": 0.5},
                    _dense("output"),
                ]
            },
        ),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        rates = [layer["rate"] for layer in layers(record) if "Dropout" in layer["class"] and layer.get("rate")]
        penalized = any(layer.get("regularized") for layer in layers(record))
        if penalized and rates and max(rates) >= STRONG_RATE:
            return None
        confidence = 0.9 if not (penalized or rates) else 0.6
        present = " and ".join(
            [f"dropout {max(rates):g}"] * bool(rates) + ["a weight penalty"] * penalized
        )
        reason = f"The network has {'only ' + present if present else 'no dropout and no weight penalty'}."
        return self.found(symptoms, confidence, reason, self._remedy(record, symptoms["overfit"], rates, penalized))

    def _remedy(self, record: Record, overfit: Symptom, rates: list[float], penalized: bool) -> Remedy:
        hidden = hidden_layers(record)
        where = joined([layer["name"] for layer in hidden]) if hidden else "the hidden layers"
        onset = int(overfit.evidence["onset_epoch"])
        steps = []
        if not rates or max(rates) < STRONG_RATE:
            steps.append(f"put Dropout({STRONG_RATE:g}) after {where}")
        if not penalized:
            steps.append(f"add an L2 penalty of 1e-4 to the kernel{'s' if len(hidden) > 1 else ''} of {where}")
        return Remedy(
            f"{' or '.join(steps).capitalize().replace('dropout(', 'Dropout(').replace('l2', 'L2')}. The validation loss should "
            f"then stay near its lowest value ({overfit.evidence['lowest_val_loss']:.3g}) instead of rising. Stopping "
            f"at epoch {onset} is the cheapest alternative, and more training data the best.",
            _code(hidden[0] if hidden else {}, onset),
        )


def _code(layer: dict[str, Any], onset: int) -> str:
    kind, size = layer.get("class", "Dense"), layer.get("units") or 64
    activation = layer.get("activation") or "relu"
    return (
        f'x = keras.layers.{kind}({size}, activation="{activation}", kernel_regularizer=keras.regularizers.L2(1e-4))(x)\n'
        f"x = keras.layers.Dropout({STRONG_RATE:g})(x)\n"
        "# or, without changing the model:\n"
        'stop = keras.callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True)'
    )
