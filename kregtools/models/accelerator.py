"""What a GPU wants, without a flag."""

from __future__ import annotations

import os

import keras

from kregtools.capture.gpu import gpus


def use_gpu(mixed_precision: bool = True) -> str:
    """Set up training on the GPU where there is one.

    Memory is taken as it is needed, so that others can use the GPU, too. With `mixed_precision` layers compute in
    float16 and keep their weights in float32; Keras scales the loss. XLA needs no setting: Keras uses it wherever a
    GPU and the model allow it. To be called before the first tensor is made.

    Args:
        mixed_precision: Boolean, whether the model keeps its accuracy in float16. Defaults to `True`.

    Returns:
        String, what was set up, for people to read.
    """
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    count = gpus()
    if not count:
        return f"CPU, {keras.config.backend()}, {keras.config.dtype_policy().name}"
    if mixed_precision:
        keras.config.set_dtype_policy("mixed_float16")
    return f"GPU (one of {count}), {keras.config.backend()}, {keras.config.dtype_policy().name}, XLA where possible"
