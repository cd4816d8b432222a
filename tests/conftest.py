import gc
import os
import sys
from collections.abc import Iterator

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")


@pytest.fixture(autouse=True, scope="session")
def modules_are_no_garbage() -> None:
    """Keras collects garbage whenever it clears its session, each time through all that importing it left."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def graphs_of_a_test_go_with_it() -> Iterator[None]:
    """Keeps TensorFlow from holding the graphs of every test's models: thousands of tests would fill the memory."""
    if "tensorflow" not in sys.modules:
        yield
        return
    from kregtools.capture.custom_gradients import forgotten_afterwards

    with forgotten_afterwards():
        yield
