"""Dropout of single weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from kregtools._numbers import refuse, share
from kregtools.layers.centered_weight_normalization import CenteredWeightNormalization
from kregtools.layers.replaced_values import call_with, parts_of


@keras.saving.register_keras_serializable(package="kregtools")
class DropConnect(keras.layers.Wrapper):
    r"""Drops single weights of a layer in training, where Dropout drops whole inputs.

    The layer inside runs with

    $$w' = \frac{m \odot w}{1 - r}, \qquad m_{ij} \sim \mathrm{Bernoulli}(1 - r)$$

    in the place of its kernel w. What is summed up keeps its expectation, a weight that is dropped gets no gradient,
    and at inference the layer is itself. A regularizer acts on all of w. The weights are those of the layer inside.

    There is one mask for each call, that is for each batch. The paper draws one for each sample: that would take a
    kernel for each sample, in memory and in time. The gradient of a batch is then noisier than the paper's. The
    paper's inference, which samples the sums from a Gaussian of the same moments, is not done either: the mean
    is taken.

    In a recurrent layer the mask holds for all time steps. With `kernels=("recurrent_kernel",)` this is the
    weight-dropped LSTM.

    Args:
        layer: A layer with a kernel, or a model of such layers.
        rate: Number from 0 to below 1. The share of the weights to drop. Defaults to `0.5`.
        kernels: The names of the weights to drop from. Defaults to `None`: all with a name that ends in `"kernel"`, and
            no bias.
        seed: Integer, or `None` for a random seed. Defaults to `None`.
        **kwargs: As for `keras.layers.Wrapper`.

    Call arguments:
        inputs: What the layer takes.
        training: Boolean. Whether to drop weights.
        **kwargs: Handed on to the layer.

    Input shape:
        As for the layer.

    Output shape:
        As for the layer.

    Raises:
        ValueError: If the rate is not in the range, the layer has no such weights, or they are not what it multiplies
            by: in `CenteredWeightNormalization`, `SpectralNormalization` or another `DropConnect`, with LoRA, or
            quantized.

    Example:

    ```python
    model = keras.Sequential([
        keras.layers.Flatten(),
        kregtools.layers.DropConnect(keras.layers.Dense(128, activation="relu"), rate=0.5),
        keras.layers.Dense(10, activation="softmax"),
    ])
    ```

    Reference:

    - [Wan et al., 2013](https://proceedings.mlr.press/v28/wan13.html)
    - [Merity et al., 2018](https://arxiv.org/abs/1708.02182) (weight-dropped LSTM)
    """

    def __init__(
        self,
        layer: keras.Layer,
        rate: float = 0.5,
        kernels: Sequence[str] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(layer, keras.Layer):
            refuse("layer", layer, "a Keras layer")
        if isinstance(kernels, str):
            refuse("kernels", kernels, f"a sequence of names, such as ({kernels!r},)")
        # The weights pass through this layer's type on their way: let it be that of the layer inside.
        super().__init__(layer, **{"dtype": layer.dtype_policy, **kwargs})
        self.rate = share("rate", rate)
        self.kernels = None if kernels is None else tuple(kernels)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = layer.supports_masking

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        self._dropped()

    def call(self, inputs: Any, training: bool | None = False, **kwargs: Any) -> Any:
        if not training or not self.rate:
            return self.layer(inputs, **kwargs)
        dropped = {
            id(weight): keras.random.dropout(weight.value, self.rate, seed=self.seed_generator)
            for weight in self._dropped()
        }
        return call_with(self.layer, dropped, inputs, **kwargs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.layer.compute_output_shape(input_shape)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return self.layer.compute_mask(inputs, previous_mask)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "kernels": self.kernels, "seed": self.seed}

    def _dropped(self) -> list[Any]:
        for part in parts_of(self.layer):
            self._check(part)
        weights: list[Any] = self.layer.weights
        found = [weight for weight in weights if self._is_kernel(weight.name)]
        if not found:
            raise ValueError(
                f"The layer '{self.layer.name}' has no weights to drop. Received: a {type(self.layer).__name__} and "
                f"kernels={self.kernels!r}. Expected a layer with a kernel, or names of its weights. Available: "
                f"{', '.join(sorted({weight.name for weight in weights})) or 'none'}."
            )
        return found

    def _is_kernel(self, name: str) -> bool:
        return name.endswith("kernel") if self.kernels is None else name in self.kernels

    def _check(self, part: Any) -> None:
        computing = (CenteredWeightNormalization, keras.layers.SpectralNormalization, DropConnect)
        lora = getattr(part, "lora_enabled", False)
        quantized = getattr(part, "quantization_mode", None)
        if isinstance(part, computing) or lora or quantized:
            kind = "with LoRA" if lora else f"quantized to {quantized}" if quantized else f"a {type(part).__name__}"
            raise ValueError(
                f"The kernel that '{part.name}' multiplies by is computed from its weights, and dropping these is no "
                f"DropConnect. Received: a layer {kind}. Expected plain layers, such as Dense or Conv2D."
            )
