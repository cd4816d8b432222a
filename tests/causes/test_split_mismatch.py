"""When a validation loss speaks for the split, and when for the labels."""

import pytest

from kregtools.diagnosis import diagnose
from kregtools.record import example

BINARY = {"losses": [{"name": "binary_crossentropy"}], "model": {"class": "Sequential"}}


@pytest.mark.parametrize("lowest, first", [(1.2, "wrong_labels"), (1.5, "split_mismatch")])
def test_a_validation_loss_never_below_twice_the_constants_speaks_for_the_split(lowest, first):
    """The training loss is not far below it in the first epoch, which would settle it."""
    logs = {"loss": [1.4, 1.0, 0.6, 0.3, 0.1], "val_loss": [lowest + 0.1, lowest, lowest, lowest, lowest]}
    assert diagnose(example(logs=logs, facts=BINARY)).causes[0].name == first
