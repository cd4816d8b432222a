"""Train steps of the user's own: as everywhere, watching changes nothing and sees everything."""

import pytest
import steps_tensorflow
from twins import matrix, watched_as_plain
from watched import run

CORE = [
    "own step",
    "two optimizers, built lazily",
    "derivative of its own",
    "distillation in the loss",
    "leaves for Python",
    "own step, eager",
]


@pytest.mark.parametrize(("case", "every"), matrix(steps_tensorflow.CASES, CORE))
def test_a_watched_run_is_bit_identical_and_fully_recorded(case, every):
    watched_as_plain(case, every, run(case))
