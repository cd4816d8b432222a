"""Conformance checks for initializers, ours and those of others."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from kregtools.testing.expectation import expect

# Kernels of Dense, Conv1D to Conv3D, DepthwiseConv2D, Conv2DTranspose, EinsumDense and MultiHeadAttention.
KERNEL_SHAPES = (
    (24, 16),
    (16, 24),
    (5, 12, 16),
    (3, 3, 8, 16),
    (3, 3, 3, 4, 8),
    (3, 3, 8, 1),
    (3, 3, 16, 8),
    (8, 4, 6),
    (4, 6, 24),
)


def check_initializer(make: Callable[..., Any], shapes: Sequence[tuple[int, ...]] = KERNEL_SHAPES) -> None:
    """Checks that an initializer keeps to what Keras asks of one.

    It serializes, by itself and inside a layer, and comes back with the same configuration and the same values; it
    gives finite values of the shape and type asked for; it takes its seed as Keras' own do: the same values from an
    integer, from a copy, and at every call, and other values at every call from a `SeedGenerator`.

    Args:
        make: What makes the initializer: a function, its class. If it takes an argument `seed`, the seeds are checked.
        shapes: The shapes to ask for. Defaults to those of the kernels of Keras' layers.

    Raises:
        AssertionError: If a check fails. The message says which, and for which shape and type.

    Example:

    ```python
    kregtools.testing.check_initializer(lambda seed=None: MyInitializer(scale=2.0, seed=seed))
    ```
    """
    seeded = "seed" in inspect.signature(make).parameters
    initializer = make(seed=7) if seeded else make()
    _check_serialization(initializer, shapes[0])
    for shape in shapes:
        for dtype in _dtypes():
            _check_values(initializer, shape, dtype)
    if seeded:
        _check_seeds(make, shapes[0])


def _dtypes() -> tuple[str, ...]:
    narrow = ("float32", "float16", "bfloat16")
    # JAX has no float64 unless it is asked to.
    return narrow if keras.backend.backend() == "jax" else ("float64", *narrow)


def _check_serialization(initializer: Any, shape: tuple[int, ...]) -> None:
    config = initializer.get_config()
    copies = {
        "from_config": type(initializer).from_config(config),
        "clone": initializer.clone(),
        "deserialize": keras.initializers.get(keras.initializers.serialize(initializer)),
    }
    for way, copy in copies.items():
        expect(type(copy) is type(initializer), f"`{way}` gives a {type(copy).__name__}")
        expect(copy.get_config() == config, f"`{way}` changes the config from {config} to {copy.get_config()}")
        expect(set(dir(copy)) == set(dir(initializer)), f"`{way}` changes the attributes")
        expect(np.array_equal(_values(copy, shape), _values(initializer, shape)), f"`{way}` changes the values")


def _check_values(initializer: Any, shape: tuple[int, ...], dtype: str) -> None:
    tensor = initializer(shape, dtype=dtype)
    case = f"for shape={shape}, dtype='{dtype}'"
    found = keras.backend.standardize_dtype(tensor.dtype)
    expect(found == dtype, f"the type is {found} {case}")
    expect(tuple(tensor.shape) == shape, f"the shape is {tuple(tensor.shape)} {case}")
    values, reference = _values(initializer, shape, dtype), _values(initializer, shape)
    expect(bool(np.isfinite(values).all()), f"the values are not finite {case}")
    # Three digits are what bfloat16 has.
    same = dtype in ("float16", "bfloat16") and np.allclose(values, reference, rtol=1e-2, atol=1e-2)
    expect(dtype in ("float32", "float64") or same, f"the values are others than those of float32 {case}")


def _check_seeds(make: Callable[..., Any], shape: tuple[int, ...]) -> None:
    def same(first: Any, second: Any) -> bool:
        return np.array_equal(_values(first, shape), _values(second, shape))

    fixed, free = make(seed=7), make(seed=None)
    moving = make(seed=keras.random.SeedGenerator(7))
    expect(same(fixed, fixed), "an integer seed gives other values at the second call")
    expect(same(fixed, make(seed=7)), "two instances with one integer seed differ")
    expect(not same(fixed, make(seed=8)), "the seeds 7 and 8 give the same values")
    expect(same(free, free), "without a seed, the second call gives other values than the first")
    expect(not same(free, make(seed=None)), "two instances without a seed give the same values")
    expect(not same(moving, moving), "a SeedGenerator gives the same values at the second call")


def _values(initializer: Any, shape: tuple[int, ...], dtype: str | None = None) -> np.ndarray:
    tensor = keras.ops.cast(initializer(shape, dtype=dtype), "float32")
    return np.asarray(keras.ops.convert_to_numpy(tensor))
