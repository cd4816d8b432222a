"""For every faulty and underfit program its healthy twin: the same program, the fault taken out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from data import cancer, digits, regression
from keras import layers
from kinds import Program
from networks import BINARY, SQUARED, adam, compiled, conv, mlp, one, recurrent, sgd
from programs import PROGRAMS, SMALL_SGD

# Ten layers that pass gradients on do not bear the programs' own rate.
DEEP = {
    "model": lambda: mlp(hidden=(64,) * 10, kernel_initializer="he_normal"),
    "compile": compiled(optimizer=lambda: sgd(0.01, momentum=0.9)),
}

SOUND: dict[str, dict[str, Any]] = {
    "circles, linear": {"model": one(2, (16, 16), "sigmoid")},
    "circles, linear layers": {"model": one(2, (16, 16), "sigmoid")},
    "digits, one unit": {"model": lambda: mlp(hidden=(16,), activation="tanh")},
    "digits, dropout .95": {"model": lambda: mlp(hidden=(16, 16))},
    "digits, L2 of 1": {"model": mlp},
    "rate too high": {"compile": SMALL_SGD},
    "rate too high, Adam": {"compile": compiled()},
    "rate too high, regression": {"compile": compiled(SQUARED, lambda: sgd(0.01))},
    "rate too low": {"compile": SMALL_SGD},
    "rate too low, Adam": {"compile": compiled()},
    "negative rate": {"compile": SMALL_SGD},
    "zeros": {"model": mlp},
    "all the same": {"model": mlp},
    "weights too large": {"model": lambda: mlp(hidden=(64,) * 4, activation="tanh"), "compile": SMALL_SGD},
    "weights too small": DEEP,
    "deep sigmoid": DEEP,
    "deep and narrow": {"model": lambda: mlp(hidden=(32, 32))},
    "softmax between": {"model": lambda: mlp(hidden=(64, 64, 64))},
    "dead from the start": {"model": mlp},
    "raw inputs": {"data": cancer},
    "inputs a thousand times": {"data": digits},
    "raw target": {"data": regression},
    "raw target, SGD": {"data": regression},
    "squared error of labels": {"model": mlp, "compile": compiled()},
    "softmax of one": {"model": one(30, (16,), "sigmoid")},
    "relu before the loss": {"model": one(30, (16,), "sigmoid")},
    "no activation before the loss": {"model": mlp},
    "sigmoid for a wide target": {"data": regression, "model": one(20, (32,))},
    "tanh for a positive target": {"data": regression, "model": one(20, (32,))},
    "labels of minus one": {"data": cancer},
    "frozen": {"model": lambda: mlp(hidden=(2, 2), activation="tanh")},
    "missing values": {"data": digits},
    "logarithm of zero": {"data": cancer, "compile": compiled(BINARY, lambda: adam(1e-2))},
    "averages behind": {"model": lambda: conv(norm=True, momentum=0.8)},
    "clipped too tightly": {"compile": SMALL_SGD},
    "schedule too short": {"compile": SMALL_SGD},
    "too few epochs": {"fit": {"epochs": 100}},
    "Adadelta by default": {"compile": compiled()},
    "one batch an epoch": {"fit": {"epochs": 15}},
    "wild recurrence": {"model": lambda: recurrent(layers.SimpleRNN)},
}


def twin(name: str) -> Program | None:
    """The healthy twin, `None` where the remedy's own promise is what counts."""
    return replace(PROGRAMS[name], **SOUND[name]) if name in SOUND else None
