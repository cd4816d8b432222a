"""Whether there is a GPU to train on."""

from __future__ import annotations

import keras


def gpus() -> int:
    """The number of GPUs that Keras' backend sees."""
    backend = keras.config.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return len(tf.config.list_physical_devices("GPU"))
    if backend == "torch":
        import torch

        return torch.cuda.device_count()
    import jax

    try:
        return len(jax.devices("gpu"))
    except RuntimeError:  # JAX without a GPU does not know the word
        return 0
