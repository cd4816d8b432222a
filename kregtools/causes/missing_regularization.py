"""Nothing holds the network back from learning its training data by heart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import hidden_layers, joined, layer_code, layers, never_better
from kregtools.record import Record, example
from kregtools.symptoms import Symptom
from kregtools.symptoms.hindrances import drop_rates

STRONG_RATE = 0.5
PENALTY = 1e-3
OVERFIT = {"loss": [0.6, 0.3, 0.2, 0.1, 0.05], "val_loss": [0.5, 0.35, 0.36, 0.45, 0.5]}


def _dense(name: str, **facts: Any) -> dict[str, Any]:
    return {
        "name": name,
        "class": "Dense",
        "units": 16,
        "activation": "relu",
        "weights": ["bias", "kernel"],
        **facts,
    }


class MissingRegularization(CauseRule):
    """The network has little or no regularization.

    How it is told: it overfits, and has no dropout and no weight penalty, or only dropout below 0.5. Several
    remedies are equivalent here: more data does the same. Where the validation loss was never below 95 % of the best
    constant prediction's there was nothing to keep, and the confidence is low.

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
        example(
            logs=OVERFIT,
            facts={
                "layers": [_dense("hidden", regularized=True), {"name": "drop", "class": "DropConnect", "rate": 0.5}]
            },
        ),
        example(
            logs=OVERFIT,
            facts={"layers": [{"name": "lstm", "class": "LSTM", "dropout": 0.5, "regularized": True}]},
        ),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        rates = list(drop_rates(record).values())
        penalized = any(layer.get("regularized") for layer in layers(record))
        if penalized and rates and max(rates) >= STRONG_RATE:
            return None
        present = [f"dropout {max(rates):g}"] if rates else []
        present += ["a weight penalty"] if penalized else []
        # What was learned by heart where nothing generalizes, or the validation set is another one, is no lack of it.
        elsewhere = {"no_generalization", "train_val_mismatch"} & set(symptoms) or never_better(record, symptoms)
        return self.found(
            symptoms,
            0.3 if elsewhere else 0.6 if present else 0.9,
            f"The network has {'only ' + ' and '.join(present) if present else 'no dropout and no weight penalty'}.",
            self._remedy(record, symptoms["overfit"], rates, penalized, promising=not elsewhere),
        )

    def _remedy(self, record: Record, overfit: Symptom, rates: list[float], penalized: bool, promising: bool) -> Remedy:
        hidden = hidden_layers(record)
        where = joined([str(layer.get("name")) for layer in hidden]) if hidden else "the hidden layers"
        dropout = f"Dropout({STRONG_RATE:g}) after {where}"
        penalty = f"an L2 penalty of {PENALTY:g} on the kernels of {where}"
        missing = ([dropout] if max(rates, default=0) < STRONG_RATE else []) + ([] if penalized else [penalty])
        onset, best = overfit.evidence.get("onset_epoch"), overfit.evidence["lowest_val_loss"]
        stop = "" if onset is None else f" Stop where it is lowest, too (epoch {onset:.0f} here, at {best:.3g})."
        promise = f" The validation loss should then end below {overfit.evidence['final_val_loss']:.3g}."
        return Remedy(
            f"Add {'; if that is not enough, '.join(missing)}.{promise if promising else ''}{stop} More training data "
            "would do the same, and better.",
            _code(hidden, dropped=max(rates, default=0) >= STRONG_RATE),
        )


def _code(hidden: list[dict[str, Any]], dropped: bool) -> str:
    """What the text says first; a penalty would be part of the validation loss that is to fall."""
    penalized = [
        layer_code(layer, kernel_regularizer=f"keras.regularizers.L2({PENALTY:g})") for layer in hidden or [{}]
    ]
    lines = dict.fromkeys(penalized) if dropped else [f"x = keras.layers.Dropout({STRONG_RATE:g})(x)"]
    return "\n".join(
        (
            *lines,
            'stop = keras.callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True)',
        )
    )
