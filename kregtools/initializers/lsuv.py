"""Layer-sequential unit-variance initialization."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np

from kregtools._numbers import integer, positive_number
from kregtools.initializers.forward import Pass
from kregtools.initializers.kernels import Kernel
from kregtools.initializers.report import InitializationReport
from kregtools.initializers.semi_orthogonal import SemiOrthogonal
from kregtools.initializers.spread import check_spread, report, stds


def lsuv(
    model: keras.Model,
    x: Any,
    *,
    std: float = 1.0,
    per: Literal["layer", "channel"] = "layer",
    orthogonal: bool = True,
    tolerance: float = 0.01,
    max_iterations: int = 10,
    samples: int = 1024,
    seed: int | None = None,
) -> InitializationReport:
    r"""Scales every kernel so that its output, before the activation, has unit variance on data, dropout on.

    Use it once, before training, on a deep network without normalization layers, and where no formula holds: any
    activation, merges, pooling, strides. Each kernel is drawn anew as an orthogonal matrix and then divided by the
    standard deviation of its layer's output, $W \leftarrow W \, s / \sqrt{Var(z)}$, layer by layer in the order in
    which the model calls them.

    The method as published measures with dropout off; with dropout on, the signal then grows from layer to layer, as
    if the initializer knew nothing of it (`python benchmarks/initializers.py propagation`). Here the model runs as in
    training.

    A unit variance does not keep itself everywhere. If the input of an activation f grows by 1 %, the rms of its
    output grows by 1 % for relu, and by less for elu (0.89), selu (0.78) and tanh (0.46), but by more for gelu (1.14),
    silu (1.17) and mish (1.08): what other data, or another draw of dropout, does to the scale is then amplified by
    every layer. At a larger `std` these functions are almost a relu, and calmer: at `std=4` it is 1.01 for gelu
    and mish and 1.04 for silu. Normalization layers do better still.

    Nothing but kernels changes: moving statistics, seeds and states are put back, so that a first step of training
    draws the dropout that was measured (with PyTorch, where the dropout has a seed). Where it fails, nothing changes
    at all.

    Args:
        model: A built Keras model of any kind. A shared layer is scaled where it is called first. Layers with
            `trainable=False`, and those whose kernel is not known here (recurrent cells, or computed by a wrapper),
            are left alone, and the report says so.
        x: Training inputs: an array, a dict or list of arrays, a tuple `(x, y)` whose `y` is not used, a
            `tf.data.Dataset`, a `keras.utils.PyDataset`, or any iterable of batches.
        std: Positive float. The standard deviation to reach. Defaults to `1.0`.
        per: `"layer"`, one factor for the whole kernel as published, or `"channel"`, one for each output. Defaults to
            `"layer"`.
        orthogonal: Boolean. Whether to draw the kernels anew, as orthogonal matrices, or to scale those there are.
            Defaults to `True`.
        tolerance: Positive float. The relative distance from `std` that will do. Defaults to `0.01`.
        max_iterations: Positive integer. How often at most one kernel is scaled; one is enough where the bias is
            zero. Defaults to `10`.
        samples: Integer of at least 2. How many rows to use, in one batch; arrays are sampled evenly. Defaults to
            `1024`.
        seed: Integer or `None`. For the orthogonal matrices. Defaults to `None`.

    Returns:
        An `InitializationReport`: each layer's standard deviation before and after.

    Raises:
        ValueError: If an argument is invalid, the model is not built, `x` is not finite, constant or a single row, or
            the output of a layer has no variance.

    Example:

    ```python
    model = build_model()
    print(kregtools.lsuv(model, x_train))
    model.fit(x_train, y_train)
    ```

    Reference:

    - [Mishkin and Matas, 2016](https://arxiv.org/abs/1511.06422)
    """
    std = positive_number("std", std)
    tolerance = positive_number("tolerance", tolerance)
    max_iterations = integer("max_iterations", max_iterations)
    if per not in ("layer", "channel"):
        raise ValueError(f"Invalid value for argument `per`. Received: per={per!r}. Expected 'layer' or 'channel'.")
    through = Pass(model, x, samples)
    draw = SemiOrthogonal(seed=keras.random.SeedGenerator(seed)) if orthogonal else None

    def visit(kernel: Kernel, inputs: Any, output: Callable[[], np.ndarray]) -> None:
        if draw is not None:
            kernel.variable.assign(drawn(draw, kernel))
        for _ in range(max_iterations):
            values = kernel.by_channel(output())
            spread = values.std(axis=0) if per == "channel" else np.full(values.shape[1], values.std())
            check_spread(kernel, spread)
            if np.all(np.abs(spread / std - 1) <= tolerance):
                return
            kernel.variable.assign(kernel.variable * kernel.along_inputs(std / spread))

    with through.undone_on_error():
        before = stds(through)
        through.walk(visit)
        after = stds(through)
    return report(through, before, after)


def drawn(initializer: SemiOrthogonal, kernel: Kernel) -> Any:
    """A draw of the initializer for a kernel, whatever its axes are."""
    axes = {"input_axes": kernel.input_axes, "output_axes": kernel.channel_axes}
    if len(kernel.channel_axes) > 1 and len(kernel.output_axes) == 1:
        # Joined into one axis by the layer: each input channel has a kernel of its own.
        axes["output_axes"] = kernel.channel_axes[1:]
    config = {**initializer.get_config(), "seed": initializer.seed, **axes}
    return type(initializer).from_config(config)(kernel.variable.shape, kernel.variable.dtype)
