"""Layers that could be one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import STALLED, joined, layer_code
from kregtools.record import Record, example
from kregtools.symptoms import Symptom
from kregtools.symptoms.evidence import consumers, layer_facts, sources
from kregtools.symptoms.hindrances import shows_all

LINEAR = (None, "linear")
KERNELS = ("Dense", "Conv1D", "Conv2D", "Conv3D")
UNDERFIT = {"loss": [0.70, 0.69, 0.69, 0.69, 0.69, 0.69]}
BINARY = {"losses": [{"name": "binary_crossentropy"}]}


def _stack(*layers: tuple[str, int | None, str | None], model: str = "Sequential") -> dict[str, Any]:
    facts = [
        {
            "name": f"layer_{index}",
            "class": name,
            "units": units,
            "activation": activation,
            "weights": ["kernel"] if units else [],
        }
        for index, (name, units, activation) in enumerate(layers)
    ]
    return {**BINARY, "model": {"class": model}, "layers": facts}


class MissingNonlinearity(CauseRule):
    """Layers with a kernel follow each other without an activation between them.

    How it is told: by the graph of the layers, or their order in a `Sequential` model: a dense or convolutional
    layer without activation feeds nothing but another one, past dropout and reshaping at most. Two such layers can
    do no more than one. Left out are bottlenecks, which are narrower than what comes before and after. Where a
    function is called between layers, or may be, as in a subclassed model, the confidence is lower; with some other
    activations in the network it is, too.

    What to do: `activation="relu"` in every hidden layer.
    """

    name = "missing_nonlinearity"
    explains = (*STALLED, "exploding_gradient", "vanishing_gradient")
    SICK: ClassVar = (
        example(
            logs=UNDERFIT,
            facts=_stack(
                ("Dense", 16, "linear"), ("Dropout", None, None), ("Dense", 16, "linear"), ("Dense", 1, "sigmoid")
            ),
        ),
        example(logs=UNDERFIT, facts=_stack(("Conv2D", 8, "linear"), ("Flatten", None, None), ("Dense", 4, "softmax"))),
    )
    HEALTHY: ClassVar = (
        example(logs=UNDERFIT, facts=_stack(("Dense", 16, "relu"), ("Dense", 1, "sigmoid"))),
        example(logs=UNDERFIT, facts=_stack(("Dense", 16, "linear"), ("ReLU", None, "relu"), ("Dense", 1, "sigmoid"))),
        example(
            logs=UNDERFIT,
            facts=_stack(("Dense", 16, "linear"), ("BatchNormalization", None, None), ("Dense", 1, "sigmoid")),
        ),
        example(
            logs=UNDERFIT,
            facts=_stack(("Dense", 64, "relu"), ("Dense", 2, "linear"), ("Dense", 64, "relu"), ("Dense", 1, "sigmoid")),
        ),
        example(logs=UNDERFIT, facts=_stack(("Dense", 1, "sigmoid"))),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        facts, fed_by, after = layer_facts(record), sources(record), consumers(record)
        kernels = [name for name, layer in facts.items() if layer.get("class") in KERNELS]
        collapsed = [name for name in kernels[:-1] if _collapses(name, facts, fed_by, after)]
        if not collapsed:
            return None
        certain = 0.9 if shows_all(record) else 0.65 if facts[collapsed[0]].get("inbound") is not None else 0.35
        others = any(layer.get("activation") not in LINEAR for name, layer in facts.items() if name not in kernels[-1:])
        first = facts[collapsed[0]]
        return self.found(
            symptoms,
            certain - (0.2 if others else 0.0),
            f"No activation follows {joined(collapsed)}, so {'they and' if len(collapsed) > 1 else 'it and'} the layer "
            "after can do no more than a single linear layer.",
            Remedy(
                f'Give {joined(collapsed)} the activation "relu". The training loss should then fall below that of a '
                "linear model.",
                layer_code({**first, "activation": "relu"}),
            ),
        )


def _collapses(
    name: str, facts: dict[str, dict[str, Any]], fed_by: dict[str, list[str]], after: dict[str, list[str]]
) -> bool:
    """Whether the layer and the one after it could be a single one."""
    layer = facts[name]
    follower = facts.get(after[name][0], {}) if len(set(after[name])) == 1 else {}
    if layer.get("activation") not in LINEAR or follower.get("class") not in KERNELS:
        return False
    alone = len(fed_by.get(follower["name"], [])) == 1
    # What is narrower than its input and its follower is a factorization, which is made on purpose.
    given, units, taken = _width(fed_by[name], facts, fed_by), layer.get("units"), follower.get("units")
    narrow = bool(units and taken and units < taken and (given is None or units < given))
    return alone and not narrow


def _width(names: list[str], facts: dict[str, dict[str, Any]], fed_by: dict[str, list[str]]) -> int | None:
    """The units of the layers that feed one, `None` for an input."""
    seen: set[str] = set()
    while len(names) == 1 and names[0] not in seen and not facts.get(names[0], {}).get("units"):
        seen.add(names[0])  # a layer that is called twice may feed itself
        names = fed_by.get(names[0], [])
    return sum(facts[name].get("units") or 0 for name in names if name in facts) or None
