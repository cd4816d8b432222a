"""Train steps of the user's own, in the form of this backend."""

import os
import random
import subprocess
import sys
import warnings

import keras
import pytest
import steps_jax
from cases_structure import compiled
from twins import matrix, watched_as_plain
from watched import Case, differences, run

from kregtools.callbacks import HealthMonitor


@pytest.mark.parametrize(("case", "every"), matrix(steps_jax.CASES, list(steps_jax.CASES)))
def test_a_watched_run_is_bit_identical_and_fully_recorded(case, every):
    watched_as_plain(case, every, run(case))


class Noisy(steps_jax.OwnStep):
    """Draws a seed when its step is traced for the first time, and warns of it."""

    seed = None

    def train_step(self, state, data):
        x, y = data
        if self.seed is None:
            object.__setattr__(self, "seed", random.randint(0, 9))
            warnings.warn(f"noise of seed {self.seed}", UserWarning, stacklevel=2)
        return super().train_step(state, (x + keras.random.normal((1,), seed=self.seed), y))


@pytest.mark.parametrize("every", [1, 3])
def test_what_the_first_trace_draws_and_warns_of_is_the_same(every):
    case = Case(lambda: compiled(Noisy()))
    plain = run(case)
    assert any("noise of seed" in message for message in plain.said)
    assert not differences(run(case, [HealthMonitor(sample_every=every, verbose=0)]), plain)


def test_flax_state_is_refused():
    """NNX has to be switched on before Keras is imported: a process of its own, where Flax is installed."""
    pytest.importorskip("flax")
    program = (
        "import keras, warnings, numpy as np\n"
        "from kregtools.callbacks import HealthMonitor\n"
        "model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])\n"
        "model.compile('sgd', 'mse')\n"
        "with warnings.catch_warnings(record=True) as told:\n"
        "    warnings.simplefilter('always')\n"
        "    model.fit(np.ones((8, 3)), np.ones(8), verbose=0, callbacks=[HealthMonitor(sample_every=1, verbose=0)])\n"
        "print([str(each.message) for each in told])\n"
    )
    environment = {**os.environ, "KERAS_NNX_ENABLED": "true"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert "NNX" in done.stdout
