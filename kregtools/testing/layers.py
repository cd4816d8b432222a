"""Conformance checks for layers, ours and those of others."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kregtools.layers.residual_scale import ResidualScale
from kregtools.testing.expectation import expect
from kregtools.testing.randomness import check_expectation, check_seeds
from kregtools.testing.values import numbers, run, same_weights

# JAX has no float64 unless it is asked to.
FLOATX = ("float16",) if keras.backend.backend() == "jax" else ("float64", "float16")
POLICIES = ("float32", "mixed_float16", "mixed_bfloat16")


def check_layer(
    make: Callable[..., Any],
    inputs: Any,
    *,
    identity_at_inference: bool = False,
    preserves_expectation: bool = False,
    per_sample: bool = False,
    supports_masking: bool = False,
    single_sample: bool = False,
    jit_compile: bool = True,
) -> None:
    """Checks that a layer keeps to what Keras asks of one.

    It serializes: its config, a clone and a saved model give the same layer with the same outputs at inference. Its
    outputs have the shape that it announces, for a batch of one and of several and for a batch of unknown size, and
    the type of its policy, also in mixed precision; it runs whatever `keras.config.floatx()` is. It trains by `fit`,
    compiled, and its gradients are finite, those of its inputs among them. Where `make` takes a seed, the layer draws:
    anew at each call, the same from the same seed, others from another, and not at inference.

    Args:
        make: What makes the layer, new at each call: a function, its class. If it takes an argument `seed`, the seeds
            are checked.
        inputs: A batch of at least two samples as an array, or its shape, for normal numbers. Whole numbers are taken
            for ids: types and the gradient of the inputs are then left out.
        identity_at_inference: Whether to check that with `training=False` the outputs are the inputs.
        preserves_expectation: Whether to check that the mean output of 256 calls with `training=True` is that with
            `training=False`, to six standard errors for each element.
        per_sample: Whether to check that equal samples of one batch get draws of their own.
        supports_masking: Whether to check that the layer hands on the mask of its inputs.
        single_sample: Whether to check that one sample without the axis of the batch is taken as well.
        jit_compile: Whether to compile `fit` by XLA, on TensorFlow and JAX. Defaults to `True`.

    Raises:
        AssertionError: If a check fails. The message says which.

    Example:

    ```python
    kregtools.testing.check_layer(
        lambda seed=None: MyDropout(0.3, seed=seed), inputs=(8, 5, 4),
        identity_at_inference=True, preserves_expectation=True, supports_masking=True,
    )
    ```
    """
    batch = np.random.default_rng(0).normal(size=inputs).astype("float32") if isinstance(inputs, tuple) else inputs
    batch = np.asarray(batch)
    expect(len(batch) > 1, f"the checks need a batch of two samples and more, and got {len(batch)}")
    _check_serialization(make(), batch)
    _check_shapes(make, batch, single_sample)
    if np.issubdtype(batch.dtype, np.floating):
        for policy in POLICIES:
            _check_policy(make, batch, policy)
    for floatx in FLOATX:
        _check_floatx(make, batch, floatx)
    if identity_at_inference:
        found = run(make(), batch, training=False)
        expect(np.array_equal(found, batch), "with training=False the outputs are not the inputs")
    if supports_masking:
        _check_mask(make(), batch)
    _check_fit(make, batch, jit_compile)
    if "seed" in inspect.signature(make).parameters:
        check_seeds(make, batch, per_sample)
    if preserves_expectation:
        check_expectation(make(), batch)


def _check_serialization(layer: Any, batch: np.ndarray) -> None:
    reference = run(layer, batch, training=False)
    config = layer.get_config()
    copies = {
        "`from_config`": type(layer).from_config(layer.get_config()),
        "`deserialize_keras_object`": keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer)),
    }
    for way, copy in copies.items():
        expect(type(copy) is type(layer), f"{way} gives a {type(copy).__name__}")
        _expect_config(way, copy, config)
        run(copy, batch, training=False)
        same_weights(layer, copy)
        expect(np.array_equal(run(copy, batch, training=False), reference), f"{way} changes the outputs")
    model = keras.Sequential([_input(batch), layer])
    clone: Any = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    for way, copied in (("`clone_model`", clone), ("saving and loading", _reloaded(model))):
        _expect_config(way, copied.layers[-1], config)
        expect(np.array_equal(run(copied, batch, training=False), reference), f"{way} changes the outputs")


def _expect_config(way: str, copy: Any, config: dict[str, Any]) -> None:
    # A file of JSON has lists for tuples.
    found, wanted = (keras.saving.serialize_keras_object(part) for part in (copy.get_config(), config))
    expect(_plain(found) == _plain(wanted), f"{way} changes the config from {wanted} to {found}")


def _plain(config: Any) -> Any:
    if isinstance(config, dict) and config.get("class_name") == "__tuple__":
        return _plain(config["items"])
    if isinstance(config, dict):
        # What a layer inside was built for is no part of how it was made.
        return {key: _plain(value) for key, value in config.items() if key != "build_config"}
    return [_plain(value) for value in config] if isinstance(config, (list, tuple)) else config


def _reloaded(model: Any) -> Any:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.keras"
        model.save(path)
        return keras.models.load_model(path)


def _check_shapes(make: Callable[..., Any], batch: np.ndarray, single_sample: bool) -> None:
    layer = make()
    for samples in (batch, batch[:1]):
        for training in (False, True):
            found = run(layer, samples, training=training)
            announced = tuple(layer.compute_output_shape(samples.shape))
            fits = len(announced) == found.ndim and all(map(_fits, announced, found.shape))
            expect(fits, f"announces the shape {announced} and gives {found.shape}")
            expect(bool(np.isfinite(found).all()), f"the outputs are not finite, with training={training}")
    symbolic: Any = make()(_input(batch))
    expected = (None, *run(layer, batch, training=False).shape[1:])
    fits = len(symbolic.shape) == len(expected) and all(map(_fits, symbolic.shape, expected))
    expect(fits and symbolic.shape[0] is None, f"a symbolic call gives the shape {symbolic.shape}, not {expected}")
    found = keras.backend.standardize_dtype(layer(batch, training=False).dtype)
    expect(symbolic.dtype == found, f"a symbolic call gives the type {symbolic.dtype}, a real one {found}")
    if single_sample:
        shape, batched = run(layer, batch[0], training=True).shape, run(layer, batch, training=True).shape
        expect(shape == batched[1:], f"one sample gives the shape {shape}, one of a batch {batched[1:]}")


def _fits(announced: int | None, found: int | None) -> bool:
    return announced is None or announced == found


def _check_policy(make: Callable[..., Any], batch: np.ndarray, policy: str) -> None:
    with _policy(policy):
        layer = make()
        for training in (False, True):
            outputs = layer(batch, training=training)
            found = keras.backend.standardize_dtype(outputs.dtype)
            case = f"under the policy {policy}, with training={training}"
            expect(found == layer.compute_dtype, f"the type is {found} {case}, not {layer.compute_dtype}")
            expect(bool(np.isfinite(numbers(outputs)).all()), f"the outputs are not finite {case}")
        for weight in layer.trainable_weights:
            kept = keras.backend.standardize_dtype(weight.dtype)
            expect(kept == "float32", f"the weight {weight.name} is kept in {kept} under the policy {policy}")


def _check_floatx(make: Callable[..., Any], batch: np.ndarray, floatx: str) -> None:
    before = keras.config.floatx()
    keras.config.set_floatx(floatx)
    try:
        with _policy(floatx):
            inputs = batch.astype(floatx) if np.issubdtype(batch.dtype, np.floating) else batch
            layer = make()
            for training in (False, True):
                finite = bool(np.isfinite(run(layer, inputs, training=training)).all())
                expect(finite, f"the outputs are not finite where floatx is {floatx}, with training={training}")
    finally:
        keras.config.set_floatx(before)


@contextmanager
def _policy(name: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _check_mask(layer: Any, batch: np.ndarray) -> None:
    run(layer, batch, training=False)
    expect(layer.supports_masking, "supports_masking is False")
    mask = keras.ops.convert_to_tensor(np.arange(batch.shape[1]) < np.ones((len(batch), 1)))
    expect(layer.compute_mask(keras.ops.convert_to_tensor(batch), mask) is mask, "the mask is not handed on")


def _check_fit(make: Callable[..., Any], batch: np.ndarray, jit_compile: bool) -> None:
    ids = not np.issubdtype(batch.dtype, np.floating)
    inputs = _input(batch)
    # A trained number before the layer, so that the gradient of the layer's inputs is taken.
    outputs: Any = make()(inputs if ids else ResidualScale("ones", name="before")(inputs))
    outputs = keras.layers.Rescaling(1.0)(outputs) if ids else outputs
    model: Any = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Flatten()(outputs)))
    model.compile("sgd", "mse", jit_compile=jit_compile and keras.backend.backend() != "torch")
    targets = np.zeros((len(batch), 1), "float32")
    model.fit(batch, targets, batch_size=len(batch), epochs=2, verbose=0)
    for weight in model.trainable_weights:
        expect(bool(np.isfinite(numbers(weight)).all()), f"training makes {weight.path} infinite or no number")


def _input(batch: np.ndarray) -> Any:
    return keras.Input(batch.shape[1:], dtype=keras.backend.standardize_dtype(batch.dtype))
