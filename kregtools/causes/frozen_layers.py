"""Layers that are not trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import STALLED, joined
from kregtools.record import Record, example
from kregtools.symptoms import Symptom
from kregtools.symptoms.evidence import layer_facts

MOST = 0.5
TRAINED = ("kernel", "recurrent_kernel", "depthwise_kernel", "pointwise_kernel", "embeddings")
UNDERFIT = {"loss": [0.70, 0.69, 0.69, 0.69, 0.69, 0.69]}
FITS = {"loss": [0.70, 0.3, 0.2, 0.1, 0.1, 0.1]}


def _stack(*trainable: bool) -> dict[str, Any]:
    layers = [
        {
            "name": f"dense_{index}",
            "class": "Dense",
            "weights": ["bias", "kernel"],
            "parameters": 272,
            "trainable": flag,
        }
        for index, flag in enumerate(trainable)
    ]
    return {"losses": [{"name": "binary_crossentropy"}], "layers": layers}


class FrozenLayers(CauseRule):
    """Most of the network is not trained.

    How it is told: `trainable` is false for more than half of the layers with a kernel or embeddings, and the
    training data are not fitted. Where none is trained, that is certain; where some are, the frozen ones may be
    pretrained on purpose, and what they give may be too little for this task.

    What to do: set `trainable = True`, compile again, and train what was pretrained with a tenth of the learning rate.

    Threshold: judgement.
    """

    name = "frozen_layers"
    explains = STALLED
    SICK: ClassVar = (
        example(logs=UNDERFIT, facts=_stack(False, False, False)),
        example(logs=UNDERFIT, facts=_stack(False, False, False, True)),
    )
    HEALTHY: ClassVar = (
        example(logs=UNDERFIT, facts=_stack(True, True, True)),
        example(logs=UNDERFIT, facts=_stack(False, True, True)),
        example(logs=FITS, facts=_stack(False, False, False, True)),
        example(logs=UNDERFIT, facts={"losses": [{"name": "binary_crossentropy"}]}),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        facts = layer_facts(record)
        kernels = [name for name, layer in facts.items() if set(layer.get("weights") or ()) & set(TRAINED)]
        frozen = [name for name in kernels if facts[name].get("trainable") is False]
        if not kernels or len(frozen) <= MOST * len(kernels):
            return None
        every = len(frozen) == len(kernels)
        return self.found(
            symptoms,
            0.97 if every else 0.65,
            f"{len(frozen)} of {len(kernels)} layers with weights are frozen: {joined(frozen)}.",
            Remedy(
                f"Make {joined(frozen)} trainable and compile again; with pretrained weights use a tenth of the "
                "learning rate. The training loss should then fall further.",
                "for layer in model.layers:\n"
                "    layer.trainable = True\n"
                "model.compile(optimizer, loss=loss, metrics=[...])",
            ),
        )
