"""How a case is trained with and without callbacks, and what must be the same after it."""

import contextlib
import functools
import logging
import random
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
from keras import layers

from kregtools.capture.capture import Dispatcher
from kregtools.capture.names import cells, named_layers, variable_names

RNG = np.random.default_rng(0)
X = RNG.random((96, 12)).astype("float32")
Y = (X.sum(axis=1) > 6).astype("float32")
IMAGES = RNG.random((64, 8, 8, 3)).astype("float32")
TOKENS = RNG.integers(0, 50, size=(96, 10))
SERIES = RNG.normal(size=(64, 12, 3)).astype("float32")

ACTIVATION, GRADIENT = "activation", "activation gradient"
LOGGERS = ("tensorflow", "absl", "jax", "torch")


def arrays(x: Any = X, y: Any = Y, **settings: Any) -> Callable[[], dict[str, Any]]:
    """What `fit` is called with, three epochs of five steps, the last of them on fewer rows."""
    return lambda: {"x": x, "y": y, "batch_size": 20 if len(X) == _rows(x) else 13, **settings}


def momentum() -> keras.Optimizer:
    """An optimizer with a state of its own; Adam's takes most of a second to trace, for every function anew."""
    return keras.optimizers.SGD(0.01, momentum=0.9)


def _rows(x: Any) -> int:
    return len(keras.tree.flatten(x)[0])


@dataclass(frozen=True)
class Case:
    """A model and how it is trained.

    Attributes:
        build: Makes the compiled model.
        feed: Makes the arguments of `fit`, anew for every fit.
        callbacks: Makes the callbacks beside the monitor.
        without: What cannot be watched of a layer, by its name or class.
        fits: How often `fit` is called.
    """

    build: Callable[[], keras.Model]
    feed: Callable[[], dict[str, Any]] = field(default_factory=arrays)
    callbacks: Callable[[], list[keras.callbacks.Callback]] = list
    without: Mapping[str, set[str]] = field(default_factory=dict, hash=False)
    fits: int = 1


@dataclass
class Run:
    """All that a run leaves behind and that watching must not change."""

    model: keras.Model
    history: list[dict[str, list[float]]]
    variables: dict[str, np.ndarray]
    draws: dict[str, Any]
    said: list[str]
    attributes: dict[str, list[str]]
    paths: list[str]


def run(case: Case, monitors: Sequence[keras.callbacks.Callback] = (), last: bool = False) -> Run:
    """Trains the model of a case from the same seed, the monitors before (or after) the other callbacks."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(7)
    histories = []
    with noted() as said:
        model = case.build()
        for _ in range(case.fits):
            others = case.callbacks()
            callbacks = [*others, *monitors] if last else [*monitors, *others]
            settings = {"epochs": 3, "verbose": 0, "callbacks": callbacks, **case.feed()}
            history = model.fit(**settings).history
            histories.append({name: log for name, log in history.items() if not name.startswith("kreg/")})
    return Run(model, histories, variables(model), draws(), said, attributes(model), paths(model))


@functools.lru_cache(maxsize=8)
def plain(case: Case) -> Run:
    """The unwatched run of a case, the same every time: trained once for all tests that compare with it."""
    return run(case)


def differences(one: Run, other: Run) -> dict[str, str]:
    """What is not the same bit for bit, and how far apart it is."""
    found = {}
    if list(one.variables) != list(other.variables):
        found["variables"] = f"{sorted(set(one.variables) ^ set(other.variables))}"
    for name in one.variables.keys() & other.variables.keys():
        a, b = one.variables[name], other.variables[name]
        if a.dtype != b.dtype or a.shape != b.shape:
            found[name] = f"{a.dtype}{a.shape} and {b.dtype}{b.shape}"
        elif a.tobytes() != b.tobytes():
            distance = np.abs(a.astype("float64") - b.astype("float64")) if a.dtype.kind in "fiub" else np.array(1.0)
            found[name] = f"{(a != b).sum()} of {a.size} values, by up to {distance.max():.1e}"
    for name in one.draws.keys() | other.draws.keys():
        if repr(one.draws.get(name)) != repr(other.draws.get(name)):
            found[f"random state of {name}"] = "differs"
    if repr(one.history) != repr(other.history):  # NaN equals NaN
        found["history"] = f"{one.history} and {other.history}"
    if one.said != other.said:
        found["warnings"] = f"{sorted(set(one.said) ^ set(other.said)) or one.said}"
    if one.paths != other.paths:
        found["paths"] = f"{sorted(set(one.paths) ^ set(other.paths))[:4]}"
    if one.attributes != other.attributes:
        found["attributes"] = (
            f"{[name for name in one.attributes if one.attributes[name] != other.attributes.get(name)]}"
        )
    return found


def without_retracing(*runs: Run) -> None:
    """Takes TensorFlow's notice of frequent retracing out, which counts the functions of all models of the process."""
    for one in runs:
        one.said = [message for message in one.said if "retracing" not in message]


def variables(model: keras.Model) -> dict[str, np.ndarray]:
    """Every variable that training has to do with: weights, metrics, seed generators, optimizers."""
    owners = [("model", model.variables), ("metrics", model.metrics_variables)]
    owners += [(f"optimizer {name}", each.variables) for name, each in optimizers(model).items()]
    values, seen = {}, set()
    for owner, owned in owners:
        for index, variable in enumerate(owned):
            if id(variable) not in seen:
                seen.add(id(variable))
                values[f"{owner} {index} {variable.name}"] = _numpy(variable)
    return values


def paths(model: keras.Model) -> list[str]:
    return [v.path for v in [*model.variables, *(v for each in optimizers(model).values() for v in each.variables)]]


def optimizers(model: keras.Model) -> dict[str, keras.optimizers.Optimizer]:
    found = {"optimizer": model.optimizer} if model.optimizer is not None else {}
    found.update({k: v for k, v in vars(model).items() if isinstance(v, keras.optimizers.Optimizer)})
    return found


def _numpy(variable: Any) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.array(keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(variable)))


def draws() -> dict[str, Any]:
    """What every random number generator gives next."""
    found = {
        "numpy": np.random.rand(),
        "python": random.random(),
        "keras": keras.ops.convert_to_numpy(keras.random.uniform((2,))).tolist(),
    }
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        found["tensorflow"] = tf.random.uniform((2,)).numpy().tolist()
    elif keras.backend.backend() == "torch":
        import torch

        found["torch"] = torch.rand(2).tolist()
    return found


def attributes(model: keras.Model) -> dict[str, list[str]]:
    """The names of all that the model, its layers and optimizers hold."""
    parts = {f"layer {index}": layer for index, layer in enumerate(model._flatten_layers())}
    return {name: sorted(vars(part)) for name, part in {**parts, **optimizers(model)}.items()}


class _Notes(logging.Handler):
    def __init__(self, said: list[str]):
        super().__init__(logging.WARNING)
        self.said = said

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(f"{record.levelname} {record.getMessage()}")


@contextlib.contextmanager
def noted() -> Iterator[list[str]]:
    """Collects what is said in warnings and in the logs of the backends; addresses and line numbers left out."""
    said: list[str] = []
    handler = _Notes(said)
    for name in LOGGERS:
        logging.getLogger(name).addHandler(handler)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            warnings.filterwarnings("ignore", category=DeprecationWarning, module="tensorflow|keras|jax|torch|numpy")
            warnings.filterwarnings("ignore", message="__array__ implementation")
            yield said
    finally:
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(handler)
    said += sorted({f"{each.category.__name__} {each.message}" for each in caught})
    # Whether TensorFlow warns of those depends on what the process has done before.
    said[:] = [re.sub(r"0x[0-9a-f]+", "0x", each) for each in said if "make_predict_function" not in each]


# ---- what must have been recorded


def gaps(
    model: keras.Model, monitor: Any, without: Mapping[str, set[str]] = MappingProxyType({}), details: bool = True
) -> list[str]:
    """What should have been watched and was not, and where the coverage and the record do not agree."""
    table = {row.layer: row for row in monitor.coverage.itertuples()}
    frame, owned = monitor.record.frame(), _owned(model)
    inner, everything, lately = cells(model), _recorded(frame), _recorded(frame[frame.epoch == frame.epoch.max()])
    found = list(_missing_anywhere(monitor))
    for name, layer in named_layers(model):
        if isinstance(layer, keras.Model):
            continue
        if name not in table:
            found.append(f"{name}: absent from the coverage")
            continue
        watched, reason = {part for part in table[name].watched.split(", ") if part}, table[name].reason
        excused = without.get(name, set()) | without.get(type(layer).__name__, set())
        wanted = set(owned.get(name, ())) | (set() if id(layer) in inner else {ACTIVATION})
        if details and name in owned and id(layer) not in inner and not _may_be_fused(layer):
            wanted.add(GRADIENT)
        complaints = {
            f"not watched ({reason})": wanted - watched - excused,
            "watched against expectation": watched & excused,
            "not watched, without a reason": (wanted - watched) if not reason else set(),
            "in the coverage, not in the record": watched - everything.get(name, set()),
            "in the record, not in the coverage": lately.get(name, set()) - watched,
        }
        found += [f"{name}: {sorted(what)} {complaint}" for complaint, what in complaints.items() if what]
    return found


def _owned(model: keras.Model) -> dict[str, set[str]]:
    names, owned = variable_names(model), {}
    for variable in model.trainable_variables:
        layer, name = names[id(variable)]
        owned.setdefault(layer, set()).add(name)
    return owned


def _missing_anywhere(monitor: Any) -> Iterator[str]:
    for statistic in ("gradient_norm", "weight_norm", "update_norm", "update_ratio"):
        if not monitor.record.tensors(statistic):
            yield f"no {statistic} at all"
    without_plain_steps = "could not be rehearsed" in str(monitor.record.facts["watching"].get("exact"))
    if not (monitor.overhead >= 0 or without_plain_steps):
        yield f"overhead is {monitor.overhead}"


def _may_be_fused(layer: keras.Layer) -> bool:
    return getattr(getattr(layer, "activation", None), "__name__", "") in ("sigmoid", "softmax")


def _recorded(frame: Any) -> dict[str, set[str]]:
    """By layer: the activation, its gradient and the variables that are in the record."""
    seen: dict[str, set[str]] = {}
    counted = frame[frame.statistic.isin(["nonfinite", "gradient_nonfinite", "weight_nonfinite"])]
    rows = counted[["layer", "tensor", "statistic"]].drop_duplicates()
    for layer, tensor, statistic in rows.itertuples(index=False):
        if not layer:
            continue
        of_activation = tensor.split(":")[0] == "activation"
        kinds = seen.setdefault(layer.split("#")[0], set())
        if not of_activation:
            kinds.add(tensor)
        else:
            kinds.add(GRADIENT if statistic == "gradient_nonfinite" else ACTIVATION)
    return seen


# ---- the model is left as it was


def _methods(owner: type) -> dict[str, Any]:
    return {name: value for name, value in vars(owner).items() if callable(value)}


_OWNERS = [keras.Layer, keras.Model, keras.Sequential, keras.Variable, keras.optimizers.Optimizer, keras.optimizers.SGD]
_OWNERS += [keras.optimizers.LossScaleOptimizer, layers.Dense, layers.RNN, keras.metrics.Metric]
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    _OWNERS += [tf.GradientTape, tf.Tensor]
elif keras.backend.backend() == "torch":
    import torch

    _OWNERS += [torch.Tensor, torch.nn.Module, torch.autograd.Function]
_BEFORE = [(owner, _methods(owner)) for owner in _OWNERS]


def is_as_before(model: keras.Model) -> bool:
    """Whether nothing of the monitor's is left on the model, its layers, its optimizers, or the classes of Keras."""
    methods = {"train_step", "compute_loss", "call", "__call__", "make_train_function", "stateless_call"}
    parts = [*model._flatten_layers(), *optimizers(model).values()]
    patched = [part for part in parts if (methods | {"apply", "stateless_apply"}) & set(vars(part))]
    return (
        not patched
        and not isinstance(model.train_function, Dispatcher)
        and all(_methods(owner) == before for owner, before in _BEFORE)
    )
