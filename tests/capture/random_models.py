"""A model, its data and how it is trained, drawn from a seed."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers
from random_blocks import Draw, dense, of_image, of_sequence, on_image, on_sequence, on_vector, shallow
from watched import Case

POLICIES = ["float32", "float32", "float32", "mixed_bfloat16", "mixed_float16"]
MODES = [*["graph"] * 5, *["eager"] * 6, "xla"]
CLASSES, WORDS, LENGTH, SIDE = 3, 11, 6, 6


class Wrapped(keras.Model):
    """A subclassed model around another one."""

    def __init__(self, core: keras.Model) -> None:
        super().__init__()
        self.core = core

    def call(self, x: Any, training: bool = False) -> Any:
        return self.core(x, training=training)


class Head(NamedTuple):
    """An output: its units and activation, how it is judged, and its targets for so many rows."""

    units: int
    activation: str | None
    loss: Any
    targets: Callable[[np.random.Generator, int], np.ndarray]
    metrics: tuple[str, ...] = ()


def _numbers(rng: np.random.Generator, rows: int) -> np.ndarray:
    return rng.normal(size=(rows, 1)).astype("float32")


def _several(rng: np.random.Generator, rows: int) -> np.ndarray:
    return rng.normal(size=(rows, 3)).astype("float32")


def _counts(rng: np.random.Generator, rows: int) -> np.ndarray:
    return rng.poisson(2.0, size=(rows, 1)).astype("float32")


def _bits(rng: np.random.Generator, rows: int) -> np.ndarray:
    return rng.integers(0, 2, size=(rows, 1)).astype("float32")


def _signs(rng: np.random.Generator, rows: int) -> np.ndarray:
    return 2 * _bits(rng, rows) - 1


def _labels(rng: np.random.Generator, rows: int) -> np.ndarray:
    return rng.integers(0, CLASSES, size=rows)


def _one_hot(rng: np.random.Generator, rows: int) -> np.ndarray:
    return np.eye(CLASSES, dtype="float32")[_labels(rng, rows)]


def _shares(rng: np.random.Generator, rows: int) -> np.ndarray:
    return rng.dirichlet(np.ones(CLASSES), size=rows).astype("float32")


# Losses as objects keep a state of their own, so they are made when they are used.
HEADS: list[Callable[[], Head]] = [
    *(
        lambda name=name: Head(1, None, name, _numbers, ("mae",))
        for name in ("mse", "mae", "huber", "log_cosh", "mape", "msle")
    ),
    lambda: Head(3, None, "cosine_similarity", _several),
    lambda: Head(3, "tanh", keras.losses.MeanSquaredError(reduction="sum"), _several),
    lambda: Head(1, "softplus", "poisson", _counts),
    lambda: Head(1, "sigmoid", "binary_crossentropy", _bits, ("accuracy", "auc")),
    lambda: Head(1, None, keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1), _bits, ("accuracy",)),
    lambda: Head(1, "sigmoid", "binary_focal_crossentropy", _bits),
    lambda: Head(1, None, "hinge", _signs),
    lambda: Head(1, "tanh", "squared_hinge", _signs),
    lambda: Head(CLASSES, "softmax", "sparse_categorical_crossentropy", _labels, ("accuracy",)),
    lambda: Head(CLASSES, None, keras.losses.SparseCategoricalCrossentropy(from_logits=True), _labels, ("accuracy",)),
    lambda: Head(CLASSES, "softmax", keras.losses.CategoricalCrossentropy(label_smoothing=0.1), _one_hot),
    lambda: Head(CLASSES, "softmax", "categorical_focal_crossentropy", _one_hot),
    lambda: Head(CLASSES, "softmax", "kl_divergence", _shares),
    lambda: Head(CLASSES, "softmax", "dice", _one_hot),
]


class Plan(NamedTuple):
    """What the model and its data have to agree on."""

    inputs: list[str]
    heads: list[Head]
    named: bool
    policy: str
    mode: str
    rows: int
    batch_size: int
    steps_per_execution: int
    wrapped: bool
    sequential: bool


def plan(seed: int) -> Plan:
    """How the model of a seed is to be."""
    draw = Draw(seed)
    sequential = draw.chance(0.2)
    count = 1 if sequential or draw.chance(0.7) else 2
    batch_size, steps = draw.whole(4, 11), draw.whole(2, 3)
    return Plan(
        inputs=[draw.of(["vector", "sequence", "image", "tokens"]) for _ in range(count)],
        heads=[draw.of(HEADS)() for _ in range(1 if sequential or draw.chance(0.7) else 2)],
        named=draw.chance(0.5),
        policy=draw.of(POLICIES),
        mode=draw.of(MODES),
        rows=batch_size * (steps - 1) + draw.whole(1, batch_size),
        batch_size=batch_size,
        steps_per_execution=draw.of([1, 1, 2, 3]),
        wrapped=draw.chance(0.2),
        sequential=sequential,
    )


def case(seed: int) -> Case:
    """The model of a seed, and how it is trained."""
    return Case(lambda: model(seed), lambda: feed(seed))


def model(seed: int) -> keras.Model:
    """The compiled model of a seed."""
    wanted, draw = plan(seed), Draw(seed + 10**6)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(wanted.policy)
    try:
        built = _sequential(wanted, draw) if wanted.sequential else _functional(wanted, draw)
        _freeze(built, draw)
        if wanted.wrapped:
            built = Wrapped(built)
        built.compile(_optimizer(draw, wanted), **_judged(wanted, draw), **_run_as(wanted))
    finally:
        keras.config.set_dtype_policy(before)
    return built


def feed(seed: int) -> dict[str, Any]:
    """The arguments of `fit` that the seed stands for."""
    wanted, draw = plan(seed), Draw(seed + 2 * 10**6)
    x = [_data(kind, draw.rng, wanted.rows) for kind in wanted.inputs]
    y = [head.targets(draw.rng, wanted.rows) for head in wanted.heads]
    weights = [draw.rng.random(wanted.rows).astype("float32") for _ in y]
    settings: dict[str, Any] = {"batch_size": wanted.batch_size, "epochs": 2, "shuffle": draw.chance(0.8)}
    if draw.chance(0.3):
        settings["sample_weight"] = weights[0] if len(y) == 1 else _keyed(wanted, weights)
    elif len(y) == 1 and wanted.heads[0].targets is _bits and draw.chance(0.5):
        settings["class_weight"] = {0: 0.5, 1: 2.0}
    elif draw.chance(0.2):
        settings["validation_split"] = 0.25
    return {"x": _input_keyed(wanted, x), "y": y[0] if len(y) == 1 else _keyed(wanted, y), **settings}


# ---- private


def _data(kind: str, rng: np.random.Generator, rows: int) -> np.ndarray:
    if kind == "tokens":
        words = rng.integers(1, WORDS, size=(rows, LENGTH))
        return np.where(np.arange(LENGTH) < rng.integers(1, LENGTH + 1, size=(rows, 1)), words, 0).astype("int32")
    shape = {"vector": (5,), "sequence": (LENGTH, 2), "image": (SIDE, SIDE, 2)}[kind]
    values = (rng.normal(size=(rows, *shape)) * 10 ** rng.uniform(-1, 1)).astype("float32")
    if kind == "sequence":  # padded, for a layer that masks zeros
        values[rng.random((rows, LENGTH)) < 0.2] = 0.0
    return values


def _given(kind: str, name: str) -> Any:
    if kind == "tokens":
        return keras.Input((LENGTH,), dtype="int32", name=name)
    return keras.Input({"vector": (5,), "sequence": (LENGTH, 2), "image": (SIDE, SIDE, 2)}[kind], name=name)


def _features(kind: str, draw: Draw, x: Any) -> Any:
    """Rows of features of an input."""
    if kind == "vector":
        return x
    if kind == "image":
        for _ in range(draw.whole(1, 2)):
            x = on_image(draw, x)
        return of_image(draw, x)
    if kind == "tokens":
        x = layers.Embedding(WORDS, 4, mask_zero=draw.chance(0.5))(x)
    elif draw.chance(0.3):
        x = layers.Masking()(x)
    for _ in range(draw.whole(1, 2)):
        x = on_sequence(draw, x)
    return of_sequence(draw, x)


def _functional(wanted: Plan, draw: Draw) -> keras.Model:
    inputs = [_given(kind, f"in{index}") for index, kind in enumerate(wanted.inputs)]
    features = [_features(kind, draw, x) for kind, x in zip(wanted.inputs, inputs, strict=True)]
    x = features[0] if len(features) == 1 else layers.Concatenate()(features)
    for _ in range(draw.whole(0, 3)):
        x = on_vector(draw, x)
    outputs = [
        layers.Dense(head.units, activation=head.activation, name=f"out{index}", dtype=draw.of([None, "float32"]))(x)
        for index, head in enumerate(wanted.heads)
    ]
    return keras.Model(_input_keyed(wanted, inputs), outputs[0] if len(outputs) == 1 else _keyed(wanted, outputs))


def _sequential(wanted: Plan, draw: Draw) -> keras.Model:
    head, kind = wanted.heads[0], wanted.inputs[0]
    start = [layers.Embedding(WORDS, 4)] if kind == "tokens" else []
    body = [draw.of([dense, shallow])(draw) for _ in range(draw.whole(1, 3))]
    shape = [_given(kind, "in0")] if draw.chance(0.6) else []
    return keras.Sequential(
        [*shape, *start, layers.Flatten(), *body, layers.Dense(head.units, head.activation, name="out0")]
    )


def _keyed(wanted: Plan, values: list[Any]) -> Any:
    return {f"out{index}": value for index, value in enumerate(values)} if wanted.named else values


def _input_keyed(wanted: Plan, values: list[Any]) -> Any:
    if len(values) == 1:
        return values[0]
    return {f"in{index}": value for index, value in enumerate(values)} if wanted.named else values


def _freeze(built: keras.Model, draw: Draw) -> None:
    """Freezes some layers, but not the last."""
    if draw.chance(0.3):
        for layer in built.layers[:-1]:
            layer.trainable = not draw.chance(0.4)


def _judged(wanted: Plan, draw: Draw) -> dict[str, Any]:
    heads = wanted.heads
    if len(heads) == 1:
        kind = draw.of(["metrics", "weighted_metrics"])
        return {"loss": heads[0].loss, kind: list(heads[0].metrics) if draw.chance(0.5) else None}
    settings = {"loss": _keyed(wanted, [head.loss for head in heads])}
    if draw.chance(0.5):
        settings["loss_weights"] = _keyed(wanted, [0.5, 2.0])
    return settings


def _run_as(wanted: Plan) -> dict[str, Any]:
    return {
        "run_eagerly": wanted.mode == "eager",
        "jit_compile": wanted.mode == "xla",
        "steps_per_execution": wanted.steps_per_execution,
    }


def _optimizer(draw: Draw, wanted: Plan) -> keras.optimizers.Optimizer:
    kinds: dict[str, dict[str, Any]] = {
        "SGD": {"momentum": draw.of([0.0, 0.9]), "nesterov": draw.chance(0.5)},
        "Adam": {"amsgrad": draw.chance(0.3)},
        "AdamW": {},
        "RMSprop": {"centered": draw.chance(0.3)},
        "Lion": {},
        "Adagrad": {},
        "Nadam": {},
        "Adamax": {},
        "Ftrl": {},
        "Adafactor": {},
    }
    kind = draw.of(list(kinds))
    settings = kinds[kind] | {"learning_rate": 10 ** draw.rng.uniform(-4, -1)}
    if draw.chance(0.2):
        settings["learning_rate"] = keras.optimizers.schedules.ExponentialDecay(0.01, 2, 0.9)
    if draw.chance(0.3):
        settings[draw.of(["clipnorm", "global_clipnorm", "clipvalue"])] = draw.of([1e-3, 1.0])
    if draw.chance(0.2):
        settings["weight_decay"] = 1e-3
    if draw.chance(0.2):
        settings |= {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": draw.of([None, 2])}
    if draw.chance(0.2):
        settings["gradient_accumulation_steps"] = 2
    if wanted.policy != "mixed_float16" and draw.chance(0.1):
        settings["loss_scale_factor"] = 1024.0
    return getattr(keras.optimizers, kind)(**settings)
