import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import pytest


def skip_if_backend(given_backend: str, reason: str):
    """What Keras' own initializer tests import from their conftest."""
    import keras

    return pytest.mark.skipif(keras.backend.backend() == given_backend, reason=reason)
