"""What to try next."""

from __future__ import annotations

import sys
from typing import Any

import keras_tuner
import numpy as np

from kregtools.tuning.files import write_json


def derive_seed(*parts: int) -> int:
    """Mix integers into one seed that no neighbouring search shares.

    KerasTuner takes 0 for "no seed" and counts seeds upwards, so that searches with near seeds run the same
    trials; neither happens with what this returns.
    """
    return 1 + int(np.random.SeedSequence(parts).generate_state(1, np.uint32)[0]) // 2


class DefaultsFirstOracle(keras_tuner.oracles.RandomSearchOracle):
    """Random search whose first trial is the default of every hyperparameter.

    The values of a trial depend on the seed and the number of the trial alone, so a resumed search tries what an
    uninterrupted one would have tried. Where the space holds fewer values than `max_trials`, the search ends early.

    Args:
        objective: String or `keras_tuner.Objective`. Defaults to `"val_accuracy"`.
        max_trials: Integer, the most trials to run. Defaults to `10`.
        seed: Integer, not negative; 0 is a seed like any other. Defaults to `0`.
    """

    def __init__(
        self, objective: str | keras_tuner.Objective = "val_accuracy", max_trials: int = 10, seed: int = 0
    ) -> None:
        super().__init__(
            objective=objective,
            max_trials=max_trials,
            seed=derive_seed(seed),
            # A rejected trial is no reason to end a search; KerasTuner ends it at the third in a row.
            max_consecutive_failed_trials=sys.maxsize,
        )
        self.verbose = 0

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        if int(trial_id) == 0:
            return {"status": "RUNNING", "values": self._defaults()}
        self._seed_state = derive_seed(self.seed, int(trial_id))
        return super().populate_space(trial_id)

    def save(self) -> None:
        write_json(self._get_oracle_fname(), self.get_state())

    def reload(self) -> None:
        super().reload()
        # One stopped between its own file and the oracle's is in neither of the oracle's lists.
        running = [name for name, trial in self.trials.items() if trial.status == "RUNNING"]
        self._retry_queue = sorted(running, key=int, reverse=True)

    def _save_trial(self, trial: Any) -> None:
        write_json(f"{self._get_trial_dir(trial.trial_id)}/trial.json", trial.get_state())

    def _defaults(self) -> dict[str, Any]:
        fresh = keras_tuner.HyperParameters()
        fresh.merge(self.get_space())
        return fresh.values
