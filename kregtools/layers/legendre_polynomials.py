"""Polynomials of one number that gradient descent can tell apart."""

from __future__ import annotations

from typing import Any

import keras

from kregtools._numbers import integer


@keras.saving.register_keras_serializable(package="kregtools")
class LegendrePolynomials(keras.layers.Layer):
    r"""The Legendre polynomials of degree 1 to `degree` of a number between -1 and 1.

    $(n + 1) P_{n + 1}(x) = (2 n + 1) x P_n(x) - n P_{n - 1}(x)$, times $\sqrt{2 n + 1}$, so that each has variance 1
    over the interval. Powers of x span the same functions, but no gradient descent can tell them apart.

    Args:
        degree: Positive integer, the highest degree.
        **kwargs: As for `keras.layers.Layer`.

    Input shape:
        `(batch, 1)`.

    Output shape:
        `(batch, degree)`.

    Raises:
        ValueError: If the degree is not a positive integer, or the inputs are more than one number each.

    Example:

    >>> kregtools.layers.LegendrePolynomials(3)(np.array([[-1.0], [0.5]])).shape
    TensorShape([2, 3])
    """

    def __init__(self, degree: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.degree = integer("degree", degree)

    def build(self, input_shape: Any) -> None:
        self.compute_output_shape(input_shape)

    def call(self, inputs: Any) -> Any:
        inputs = keras.ops.cast(inputs, self.compute_dtype)
        polynomials = [keras.ops.ones_like(inputs), inputs]
        for n in range(1, self.degree):
            polynomials.append(((2 * n + 1) * inputs * polynomials[n] - n * polynomials[n - 1]) / (n + 1))
        scaled = [(2 * n + 1) ** 0.5 * polynomials[n] for n in range(1, self.degree + 1)]
        return keras.ops.concatenate(scaled, axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        if not input_shape or input_shape[-1] != 1:
            raise ValueError(
                f"LegendrePolynomials takes one number for each sample. Received: an input of shape "
                f"{tuple(input_shape)}. Expected a last axis of size 1."
            )
        return (*input_shape[:-1], self.degree)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "degree": self.degree}
