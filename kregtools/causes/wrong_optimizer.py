"""An optimizer that hardly moves this network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import STALLED, kernel_updates, loss_code, optimizer, plain_layers
from kregtools.record import Record, example
from kregtools.symptoms import Symptom

# Learning rates up to which these are known to crawl; the first three are what Keras gives them by default.
SLOW = {"Adadelta": 1e-2, "Ftrl": 1e-3, "Adagrad": 1e-3}
SGD_RATE = 1e-2
DEEP = 6
MOVING = 1e-3
UNDERFIT = {"loss": [0.70, 0.69, 0.69, 0.69, 0.69, 0.69]}


def _case(name: str, rate: float, moves: float, depth: int = 2, **settings: Any) -> dict[str, Any]:
    layers = [{"name": f"dense_{index}", "class": "Dense", "weights": ["kernel"]} for index in range(depth + 1)]
    return {
        "logs": UNDERFIT,
        "series": {(f"dense_{index}", "kernel", "update_ratio"): [moves] * 4 for index in range(depth + 1)},
        "facts": {
            "losses": [{"name": "binary_crossentropy"}],
            "optimizer": {"class": name, "learning_rate": rate, **settings},
            "layers": layers,
        },
    }


class WrongOptimizer(CauseRule):
    """The optimizer takes steps that are too small for this network.

    How it is told: Adadelta, Ftrl or Adagrad with the learning rate that Keras gives them (0.001; Adadelta was
    published with 1), or SGD without momentum and with 0.01 at most on 6 and more hidden layers; and the median step
    changes a kernel by less than a thousandth of its norm. A larger learning rate does the same as another optimizer.

    What to do: Adam with 0.001, or the same optimizer with a much larger learning rate.

    Threshold: a healthy step is about 0.001 (CS231n). Zeiler, 2012, for Adadelta's learning rate of 1.
    """

    name = "wrong_optimizer"
    explains = STALLED
    SICK: ClassVar = (
        example(**_case("Adadelta", 1e-3, 1e-5)),
        example(**_case("Ftrl", 1e-3, 1e-5)),
        example(**_case("SGD", 1e-3, 1e-5, depth=8, momentum=0.0)),
    )
    HEALTHY: ClassVar = (
        example(**_case("Adadelta", 1.0, 1e-5)),
        example(**_case("Adagrad", 1e-3, 5e-3)),
        example(**_case("SGD", 1e-3, 1e-5, depth=8, momentum=0.9)),
        example(**_case("SGD", 1e-3, 1e-5, depth=2)),
        example(**_case("Adam", 1e-3, 1e-3, depth=8)),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        facts = optimizer(record)
        name, rate = facts.get("class") or "", facts.get("learning_rate")
        ratios = kernel_updates(record)[1]
        moves = float(np.nanmedian(ratios)) if np.isfinite(ratios).any() else float("nan")
        if not rate or rate <= 0 or moves >= MOVING:
            return None
        depth = len(plain_layers(record))
        slow = rate <= 1.01 * SLOW.get(name, 0.0)
        plain = name == "SGD" and not facts.get("momentum") and rate <= 1.01 * SGD_RATE and depth >= DEEP
        if not slow and not plain:
            return None
        measured = "" if np.isnan(moves) else f", and a step changes a kernel by {moves:.1e} of its norm"
        return self.found(
            symptoms,
            (0.8 if slow else 0.5) - (0.2 if np.isnan(moves) else 0.0),
            f"{name} with a learning rate of {rate:.3g}{'' if slow else f' and no momentum on {depth} hidden layers'} "
            f"moves slowly{measured}; about {MOVING:g} is healthy.",
            Remedy(
                f"Use Adam with a learning rate of 0.001, or raise that of {name} by a factor of 100. The loss should "
                "then fall from the first epoch on.",
                f"model.compile(keras.optimizers.Adam(learning_rate=0.001), loss={loss_code(record)}, metrics=[...])",
            ),
        )
