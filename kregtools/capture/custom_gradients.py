"""What TensorFlow keeps of every function that it traced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def forgotten_afterwards() -> Iterator[None]:
    """Takes the custom gradients traced inside from TensorFlow's registry again.

    TensorFlow enters the gradient of each traced `tf.custom_gradient`, as crossentropies and others have, in a
    registry that is never emptied. An entry holds its graph, and by it the graphs of the whole train function. Nothing
    looks an entry up but the tracing of a gradient of that same graph.
    """
    registered = _registry()
    before = set(registered)
    try:
        yield
    finally:
        for name in [name for name in registered if name.startswith("CustomGradient-") and name not in before]:
            del registered[name]


def _registry() -> dict[str, object]:
    if keras.config.backend() != "tensorflow":
        return {}
    from tensorflow.python.framework import ops

    return getattr(ops.gradient_registry, "_registry", {})
