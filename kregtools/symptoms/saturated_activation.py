"""Sigmoid and tanh units that are stuck at a limit."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from kregtools.record import Record, example
from kregtools.symptoms.curves import lowest, validation_data_loss
from kregtools.symptoms.evidence import (
    consumers,
    first_step,
    halfway,
    intact,
    layer_facts,
    output_layers,
    require_samples,
    still_learning,
)
from kregtools.symptoms.symptom import CannotCheckError, Shown, Symptom, SymptomRule

SHARE = 0.5
BOUNDED = ("sigmoid", "tanh", "hard_sigmoid", "hard_tanh")
GATED = ("Multiply", "Dot")
STUCK = {"loss": [0.7, 0.69, 0.69]}
SOLVED = {"loss": [0.7, 0.2, 0.05]}
BY_HEART = {"loss": [1.1, 0.5, 0.2], "val_loss": [1.4, 1.2, 1.0]}
BINARY = {"losses": [{"name": "binary_crossentropy"}]}


def _layers(*classes: str, activation: str = "tanh") -> dict[str, Any]:
    layers = [
        {
            "name": f"layer_{index}",
            "class": name,
            "activation": activation,
            "weights": ["kernel"] if name == "Dense" else [],
        }
        for index, name in enumerate(classes)
    ]
    return {"layers": layers, "outputs": [{"layer": layers[-1]["name"], "tensor": "output", "target": "target"}]}


def _saturated(*fractions: float, layer: str = "layer_0") -> dict[tuple[str, str, str], list[float]]:
    return {(layer, "activation", "saturated_fraction"): list(fractions)}


class SaturatedActivation(SymptomRule):
    """More than half of a hidden layer's outputs are stuck at a limit of their activation.

    How it is detected: by the share of a hidden layer's sigmoid outputs outside 0.01 to 0.99, tanh outputs outside
    -0.99 to 0.99 and hard ones at their bounds. It is above one half in at least half of the sampled steps and in
    the last one, while the loss is still above half of what it was before training; of layers that were saturated
    before the first update, while the validation loss has never been below that half. Output layers are meant to
    saturate, and so are gates, which a `Multiply` or `Dot` follows; softmax and recurrent layers are left out.

    Why it matters: at a limit the derivative is next to zero, so nothing before the layer learns. What starts at a
    limit is a hash of the input: the layers after it can learn it by heart, and get new rows wrong.

    What to do: see the cause; scale the inputs, initialize with smaller weights, lower the learning rate, or use relu.

    Threshold: one half of the units is SageMaker Debugger's and DeepDiagnosis' (Wardat et al., ICSE 2022); the limits
    are those at which the derivative is 4 % (sigmoid) and 2 % (tanh) of its largest value.
    """

    name = "saturated_activation"
    shown = Shown("activation", "saturated_fraction", "share at a limit")
    SICK: ClassVar = (
        example(logs=STUCK, series=_saturated(0.9, 0.95, 0.97, 0.97), facts=_layers("Dense", "Dense")),
        example(logs=STUCK, series=_saturated(0.1, 0.7, 0.9, 0.9), facts=_layers("Dense", "Dense")),
        example(
            logs=STUCK,
            series=_saturated(0.8, 0.8, 0.8, 0.8),
            facts=_layers("Activation", "Dense", activation="hard_sigmoid"),
        ),
        example(logs=BY_HEART, series=_saturated(0.7, 0.7, 0.7, 0.7), facts={**_layers("Dense", "Dense"), **BINARY}),
    )
    HEALTHY: ClassVar = (
        example(logs=STUCK, series=_saturated(0.1, 0.2, 0.3, 0.4), facts=_layers("Dense", "Dense")),
        example(logs=SOLVED, series=_saturated(0.6, 0.6, 0.7, 0.8), facts=_layers("Dense", "Dense")),
        example(logs=STUCK, series=_saturated(0.9, 0.3, 0.1, 0.1), facts=_layers("Dense", "Dense")),
        example(logs=BY_HEART, series=_saturated(0.1, 0.7, 0.7, 0.7), facts={**_layers("Dense", "Dense"), **BINARY}),
        example(
            logs={**SOLVED, "val_loss": [0.6, 0.3, 0.5]},
            series=_saturated(0.7, 0.7, 0.7, 0.7),
            facts={**_layers("Dense", "Dense"), **BINARY},
        ),
        example(logs=STUCK, series=_saturated(0.9, 0.9, 0.9, 0.9, layer="layer_1"), facts=_layers("Dense", "Dense")),
        example(logs=STUCK, series=_saturated(0.9, 0.9, 0.9), facts=_layers("Dense", "Reshape")),
        example(logs=STUCK, series=_saturated(0.9, 0.9, 0.9), facts=_layers("Dense", "Multiply", "Dense")),
        example(logs=STUCK, series=_saturated(0.9, 0.9, 0.9), facts=_layers("Dense", "Dense", activation="softmax")),
        example(logs=STUCK, series={("dense", "activation", "std"): [0.5, 0.5]}),
    )

    def check(self, record: Record) -> Symptom | None:
        require_samples(record, least=2)
        layers, shares = record.matrix("activation", "saturated_fraction")
        hidden = self._hidden(record)
        chosen = [index for index, name in enumerate(layers) if name.split("#")[0] in hidden]
        if not chosen:
            return None
        learning = still_learning(record)
        if not learning and not lowest(validation_data_loss(record)) > halfway(record):
            return None
        share = shares[:, chosen]
        share = share[intact(record)] if (share > SHARE).any() else share
        measured = np.isfinite(share).sum(axis=0)
        if measured.max() < 2:
            raise CannotCheckError("the activations were finite in fewer than two sampled steps: train longer")
        often = (share > SHARE).sum(axis=0) >= np.maximum(2, measured / 2)
        stuck = often & (_last(share) > SHARE) & (learning | (shares[0, chosen] > SHARE))
        if not stuck.any():
            return None
        worst = int(np.argmax(np.where(stuck, _last(share), 0.0)))
        names = [layers[index] for index, shown in zip(chosen, stuck, strict=True) if shown]
        value, began = float(_last(share)[worst]), np.any(shares[:, chosen][:, stuck] > SHARE, axis=1)
        others = f", and more than half in {len(names) - 1} more" if len(names) > 1 else ""
        return Symptom(
            self.name,
            "warning",
            f"{value:.0%} of the outputs of {layers[chosen[worst]]} are at a limit of its activation{others}; healthy "
            f"is below {SHARE:.0%}.",
            tuple(names),
            first_step(record, began),
            {"saturated_fraction": value, "threshold": SHARE},
        )

    def _hidden(self, record: Record) -> set[str]:
        facts, fed, outputs = layer_facts(record), consumers(record), output_layers(record)
        return {
            name
            for name, layer in facts.items()
            if layer.get("activation") in BOUNDED
            and name not in outputs
            and not any(facts[after].get("class") in GATED for after in fed[name])
        }


def _last(share: np.ndarray) -> np.ndarray:
    """The last finite value of each column, NaN where there is none."""
    rows = len(share) - 1 - np.argmax(np.isfinite(share)[::-1], axis=0)
    return share[rows, np.arange(share.shape[1])]
