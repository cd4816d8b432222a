"""The data-dependent initialization of Krähenbühl and others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np

from kregtools._intact import snapshot
from kregtools._numbers import integer, positive_number
from kregtools.initializers.forward import Pass
from kregtools.initializers.kernels import Kernel
from kregtools.initializers.patches import patches, principal_axes
from kregtools.initializers.rates import RatesOfChange
from kregtools.initializers.report import InitializationReport
from kregtools.initializers.spread import check_spread, report, stds


def data_dependent_init(
    model: keras.Model,
    x: Any,
    *,
    method: Literal["pca", "random"] = "pca",
    mean: float = 0.0,
    between: bool = True,
    tolerance: float = 0.01,
    max_iterations: int = 10,
    samples: int = 1024,
    seed: int | None = None,
) -> InitializationReport:
    r"""Gives every unit unit variance on data, and every layer the same relative speed of learning.

    Use it once, before training, where data are few and the first layers should see them from the start. It works in
    two parts, both with dropout on, as in training:

    - *within* a layer, kernels are drawn, and each channel is scaled and shifted to unit variance and to `mean`
      before the activation: $w_c \leftarrow w_c / \sigma_c$, $b_c \leftarrow \beta - \mu_c / \sigma_c$;
    - *between* layers, kernels are scaled so that $\sqrt{E[g^2] / E[w^2]}$ is the same for all, with g the gradient
      of the outputs in a random direction: no layer then changes much faster than another. Only the product of all
      scales is kept, so that the variances of single layers are no longer 1.

    `lsuv` has the first part for whole layers. The second part assumes that a layer's scale goes through its
    activation, as it does with relu and its kind.

    Args:
        model: As for `kregtools.lsuv`.
        x: As for `kregtools.lsuv`.
        method: `"pca"`: the principal components of a layer's inputs, and random directions where it has more units;
            known for `Dense` and ungrouped convolutions, other layers are drawn at random. `"random"`: random
            directions. Defaults to `"pca"`.
        mean: Float. The mean β of each channel, where the layer has a bias. Defaults to `0.0`.
        between: Boolean. Whether to do the second part. Defaults to `True`.
        tolerance: Positive float. How far the speeds may be from their geometric mean, relatively. Defaults to `0.01`.
        max_iterations: Positive integer. How often at most to scale between layers. Defaults to `10`.
        samples: As for `kregtools.lsuv`.
        seed: Integer or `None`. For the random directions and the choice of patches. Defaults to `None`.

    Returns:
        An `InitializationReport`: each layer's standard deviation before and after.

    Raises:
        ValueError: As for `kregtools.lsuv`.

    Example:

    ```python
    print(kregtools.data_dependent_init(model, x_train[:1024]))
    model.fit(x_train, y_train)
    ```

    Reference:

    - [Krähenbühl et al., 2016](https://arxiv.org/abs/1511.06856)
    """
    if method not in ("pca", "random"):
        raise ValueError(
            f"Invalid value for argument `method`. Received: method={method!r}. Expected 'pca' or 'random'."
        )
    tolerance = positive_number("tolerance", tolerance)
    max_iterations = integer("max_iterations", max_iterations)
    through = Pass(model, x, samples)
    rng = np.random.default_rng(seed)

    def draw(kernel: Kernel, inputs: Any, output: Callable[[], np.ndarray]) -> None:
        _assign(kernel, _directions(kernel, inputs, rng, method))
        _center(kernel, output, mean)
        values = kernel.by_channel(output())
        spread = values.std(axis=0)
        check_spread(kernel, spread)
        kernel.variable.assign(kernel.variable * kernel.along_inputs(1 / spread))
        _center(kernel, output, mean)

    def center(kernel: Kernel, inputs: Any, output: Callable[[], np.ndarray]) -> None:
        _center(kernel, output, mean)

    with through.undone_on_error():
        before = stds(through)
        through.walk(draw)
        if between:
            _equalize(through, rng, tolerance, max_iterations, lambda: through.walk(center))
        after = stds(through)
    return report(through, before, after)


def _directions(kernel: Kernel, inputs: Any, rng: np.random.Generator, method: str) -> np.ndarray:
    """Weights by input and channel."""
    size = int(np.prod(kernel.variable.shape))
    channels = int(np.prod(kernel.channels))
    weights = rng.normal(size=(size // channels, channels))
    rows = patches(kernel, inputs, rng) if method == "pca" else None
    if rows is not None:
        axes = principal_axes(rows, channels)
        weights[:, : axes.shape[1]] = axes
    return weights


def _assign(kernel: Kernel, weights: np.ndarray) -> None:
    order = (*kernel.input_axes, *kernel.channel_axes)
    shape = [kernel.variable.shape[axis] for axis in order]
    kernel.variable.assign(np.transpose(weights.reshape(shape), np.argsort(order)))


def _center(kernel: Kernel, output: Callable[[], np.ndarray], mean: float) -> None:
    if kernel.bias is not None:
        shift = mean - kernel.by_channel(output()).mean(axis=0)
        kernel.bias.assign(kernel.bias + shift.reshape(kernel.bias.shape))


def _equalize(
    through: Pass, rng: np.random.Generator, tolerance: float, max_iterations: int, center: Callable[[], None]
) -> None:
    kernels = through.kernels
    put_back = snapshot(through.others)
    rates_of_change = RatesOfChange(through.model, through.x, rng)
    for _ in range(max_iterations):
        try:
            rates = rates_of_change([kernel.variable for kernel in kernels])
        finally:
            put_back()
        if not (np.isfinite(rates).all() and (rates > 0).all()):
            names = ", ".join(k.name for k, rate in zip(kernels, rates, strict=True) if not 0 < rate < np.inf)
            raise ValueError(
                f"No gradient reaches {names}, so that the layers cannot be set to learn at one speed. The model is as "
                "it was. Use `between=False`, or look for what cuts the layer off from the outputs."
            )
        factors = np.sqrt(rates / np.exp(np.log(rates).mean()))
        if np.all(np.abs(factors**2 - 1) <= tolerance):
            return
        for kernel, factor in zip(kernels, factors, strict=True):
            kernel.variable.assign(kernel.variable * factor)
        center()
