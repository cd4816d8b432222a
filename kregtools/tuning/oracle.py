"""What to try next."""

from __future__ import annotations

import difflib
import importlib.util
import math
import random
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras_tuner
import numpy as np

from kregtools.errors import KregtoolsWarning
from kregtools.tuning.files import read_json, write_json
from kregtools.tuning.guidance import Place, neighbours
from kregtools.tuning.reading import Reading, read
from kregtools.tuning.space import active, declared_roles, movable, resolve_roles

STEPS = 6
PATIENCE = 2
CLOSE = 0.05
SAMPLES = 8
BEST = 3
FEWEST_TO_REPEAT = 12
# Of what is tried once, the best is so in part by luck: a mean counts less twice its standard error, as is usual for a
# lead that is to be more than chance.
ERRORS = 2
MOST_FAILED = 100
WORST = 1e30  # the score of what diverged


def derive_seed(*parts: int) -> int:
    """Mix integers into one seed that no neighbouring search shares.

    KerasTuner takes 0 for "no seed" and counts seeds upwards, so that searches with near seeds run the same
    trials; neither happens with what this returns.
    """
    return 1 + int(np.random.SeedSequence(parts).generate_state(1, np.uint32)[0]) // 2


class GuidedOracle(keras_tuner.Oracle):
    """An oracle for KerasTuner that lets what held a trial back steer the search.

    The first trial is the default of every hyperparameter. From there it takes six steps, each in the direction that
    the last trial's curves ask for: more dropout or L2 where validation falls behind training, less where it is
    ahead, a higher learning rate where the loss still falls at the end, a lower one where it is lowest in the first
    epochs. A notch is a factor of 3 for a learning rate, of 10 for L2, of 2 for capacity, and 0.2 for dropout. Then
    Optuna's tree-structured Parzen estimator takes over (random values where Optuna is not installed); whenever it
    finds a better trial, two steps are guided again. A search of twelve trials or more ends with a repeat of each of
    the best three, since the luck of one seed is often larger than what a search gains. Trials are then ranked by the
    mean of their hyperparameters less twice its standard error, with the noise that the repeats show: what was tried
    once is the best only where its lead is more than luck. A space in which nothing new is left ends in repeats too.

    It needs the metrics of the trials, nothing else, and so works in any `keras_tuner.Tuner`, on its own or as the
    chief of several workers. What it can tell depends on what it is given:

    - `loss`, `val_loss` and the objective of every epoch, by `update_trial(trial_id, metrics, step=epoch)`: all;
    - the same of the best epoch alone, which is what KerasTuner's own tuners report: the gap, and whether the best
      epoch is the first or the last;
    - `diag/speed` and `diag/regularization`, which `kregtools.tuning.Tuner` adds: notches by which the learning rate
      and the regularization should go up, from the whole curves and from kregtools' own diagnosis.

    Trial k is chosen from trials 0 to k − `parallel`, whatever the speed of the machines: the same seed gives the same
    trials on one worker or on many, and after a resume. Where a trial asks for hyperparameters that no build before
    the search did, those chosen next depend on whether it has ended.

    Args:
        objective: String or `keras_tuner.Objective`, or a list of them, whose sum is minimized: what is to be high
            counts negative. Defaults to `"val_accuracy"`.
        max_trials: Integer, the most trials to run, or `None`. Defaults to `10`.
        seed: Integer, not negative; 0 is a seed like any other. Defaults to `0`.
        roles: Dictionary, the name or names of the hyperparameters that play the parts `"learning_rate"`,
            `"dropout"`, `"l2"` and `"capacity"`; an empty list for a part that none is to play. Those of the parts that
            are left out are told by their names (`lr`, `weight_decay`, `dropout_1`, `units`, …). What has no part is
            left to the sampler, and so is what has no up and down. Defaults to `None`: all by their names.
        parallel: Integer, how many trials can run at once: as many as there are workers. Defaults to `1`.
        repeats: Integer, how many of the last trials repeat the best three. Defaults to `None`: 3 in a search of
            twelve trials or more, else 0.
        **arguments: What `keras_tuner.Oracle` takes besides.

    Raises:
        ValueError: If `seed`, `parallel` or `repeats` is out of range, or `roles` names an unknown part.

    Example:
        >>> oracle = kregtools.tuning.GuidedOracle("val_accuracy", max_trials=20, roles={"l2": "decay"})
        >>> tuner = keras_tuner.Tuner(oracle, build, directory="runs", project_name="guided")
        >>> tuner.search(x, y, validation_data=(x_val, y_val), epochs=20)
        >>> oracle.explain("03")["why"]

    Reference: the direction of the steps follows Fraccaroli, Lamma and Riguzzi, "Symbolic DNN-Tuner", Machine
    Learning (2022).
    """

    def __init__(
        self,
        objective: str | keras_tuner.Objective | list[Any] = "val_accuracy",
        max_trials: int | None = 10,
        seed: int = 0,
        *,
        roles: Mapping[str, str | Iterable[str]] | None = None,
        parallel: int = 1,
        repeats: int | None = None,
        **arguments: Any,
    ) -> None:
        _check(seed=(seed, 0), parallel=(parallel, 1), repeats=(repeats or 0, 0))
        # A rejected trial is no reason to end a search; KerasTuner ends it at the third in a row.
        arguments.setdefault("max_consecutive_failed_trials", sys.maxsize)
        super().__init__(objective=objective, max_trials=max_trials, seed=derive_seed(seed), **arguments)
        self._declared = [name for names in declared_roles(roles).values() for name in names]
        self.roles = roles
        self.parallel = parallel
        self.repeats = repeats
        self.notes: dict[str, dict[str, str]] = {}
        self._told_to_wait = False
        self.verbose = 0

    # ---- what KerasTuner calls

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        number = int(trial_id)
        earlier = [trial for trial in self._in_order() if int(trial.trial_id) <= number - self.parallel]
        if any(trial.status == "RUNNING" for trial in earlier):
            self._check_workers()
            return {"status": "IDLE"}
        self._check_names()
        if number == 1:
            self._check_declared()
        self._seed_state = derive_seed(self.seed, number)
        known = [trial for trial in earlier if trial.status == "COMPLETED" or self._diverged(trial)]
        values, phase, why = self._propose(number, known)
        if values is None or (self.max_trials is None and not known and number >= MOST_FAILED):
            return {"status": "STOPPED"}
        self.notes[trial_id] = {"phase": phase, "why": why}
        return {"status": "RUNNING", "values": values}

    def get_best_trials(self, num_trials: int = 1) -> list[Any]:
        """The best trials first: by the mean score of their hyperparameters less twice its standard error."""
        done = [trial for trial in self._in_order() if trial.status == "COMPLETED"]
        groups: dict[str, list[float]] = {}
        for trial in done:
            groups.setdefault(self.key(trial), []).append(self._score(trial))
        noise = _noise(list(groups.values()))

        def rank(trial: Any) -> tuple[float, float]:
            scores = groups[self.key(trial)]
            return float(np.mean(scores)) - ERRORS * noise / math.sqrt(len(scores)), self._score(trial)

        return sorted(done, key=rank, reverse=True)[:num_trials]

    @property
    def repeated(self) -> int:
        """How many trials of the search are repeats."""
        planned = BEST if (self.max_trials or 0) >= FEWEST_TO_REPEAT else 0
        return (planned if self.repeats is None else self.repeats) if self.max_trials else 0

    def save(self) -> None:
        write_json(self._get_oracle_fname(), self.get_state())

    def reload(self) -> None:
        super().reload()
        for name in self.trials:
            self.notes[name] = read_json(self._trial_file(name)).get("note", {})
        # One stopped between its own file and the oracle's is in neither of the oracle's lists.
        running = [name for name, trial in self.trials.items() if trial.status == "RUNNING"]
        self._retry_queue = sorted(running, key=int, reverse=True)

    def _save_trial(self, trial: Any) -> None:
        write_json(self._trial_file(trial.trial_id), {**trial.get_state(), "note": self.explain(trial.trial_id)})

    def _trial_file(self, trial_id: str) -> str:
        return f"{self._get_trial_dir(trial_id)}/trial.json"

    # ---- what it can tell

    def reading(self, trial: Any) -> Reading:
        """What held a trial back, as far as its metrics tell."""
        curves = {
            name: {int(seen.step): float(seen.mean()) for seen in history.get_history()}
            for name, history in trial.metrics.metrics.items()
        }
        return read(curves, self.objective.name, self._longest(), self.objective.direction)

    def explain(self, trial_id: str) -> dict[str, str]:
        """Why a trial was tried (`phase`, `why`) and, once it has ended, what it showed (`verdict`, `reason`)."""
        trial, note = self.trials[trial_id], self.notes.get(trial_id, {})
        if trial.status != "COMPLETED":
            return dict(note)
        reading = self.reading(trial)
        return {**note, "verdict": reading.verdict, "reason": reading.reason}

    # ---- what to try

    def _propose(self, number: int, known: list[Any]) -> tuple[dict[str, Any] | None, str, str]:
        if number == 0:
            return self._active({}), "default", "the default of every hyperparameter"
        if known:
            for phase, propose in (("repeat", self._repeat), ("guided", self._guided), ("sampled", self._sampled)):
                found = propose(number, known)
                if found is not None:
                    return found[0], phase, found[1]
        values = self._random_values()
        if values is None and self._phases()["repeat"] < self.repeated:
            values, why = self._again(number, known) or (None, "")
            return values, "repeat", f"nothing new is left: {why}"
        return values, "random", "drawn at random"

    def _repeat(self, number: int, known: list[Any]) -> tuple[dict[str, Any], str] | None:
        due = self.max_trials and number >= self.max_trials - self.repeated
        return self._again(number, known) if due else None

    def _again(self, number: int, known: list[Any]) -> tuple[dict[str, Any], str] | None:
        """That of the best three which was run least."""
        first: dict[str, Any] = {}
        for trial in sorted(known, key=self._score, reverse=True):
            if trial.status == "COMPLETED" and self.notes.get(trial.trial_id, {}).get("phase") != "repeat":
                first.setdefault(self.key(trial), trial)
        if not first:
            return None
        runs = Counter(self.key(trial) for trial in self._in_order() if int(trial.trial_id) < number)
        chosen = min(list(first.values())[:BEST], key=lambda trial: runs[self.key(trial)])
        return self._active(chosen.hyperparameters.values), f"trial {chosen.trial_id} again, with another seed"

    def _phases(self) -> Counter[str]:
        return Counter(note["phase"] for note in self.notes.values() if "phase" in note)

    def _guided(self, number: int, known: list[Any]) -> tuple[dict[str, Any], str] | None:
        best = max(known, key=self._score)
        guided = [t for t in known if self.notes.get(t.trial_id, {}).get("phase") in ("default", "guided")]
        if len(guided) > STEPS and len(known) - 1 - known.index(best) >= PATIENCE:
            return None
        rng = random.Random(self._seed_state)
        # What is as good as the best, but for the luck of a seed, is followed on.
        last = guided[-1] if guided and self._close(guided[-1], best) else best
        for base, most in ((last, 2), (best, None)) if last is not best else ((best, None),):
            reading = self.reading(base)
            place = self._place(base)
            for moved, change in list(neighbours(reading, place, rng))[:most]:
                values = self._active(moved)
                if not self._duplicate(values):
                    return values, f"{change}, from trial {int(base.trial_id)}, {reading.verdict}: {reading.reason}"
        return None

    def _sampled(self, number: int, known: list[Any]) -> tuple[dict[str, Any], str] | None:
        if importlib.util.find_spec("optuna") is None:
            warnings.warn(
                "Optuna is not installed: after the guided steps, the search goes on with random values. "
                "`pip install kregtools[optuna]` has it sample where the best trials are.",
                KregtoolsWarning,
                stacklevel=2,
            )
            return None
        from kregtools.tuning.tpe import suggestions

        tried = [(trial.hyperparameters.values, self._sign * self._score(trial)) for trial in known]
        maximize = self.objective.direction == "max"
        for suggested in suggestions(self.hyperparameters.space, tried, maximize, self._seed_state, SAMPLES):
            values = self._active(suggested)
            if not self._duplicate(values):
                return values, "Optuna's sampler, from the scores of all trials so far"
        return None

    def _place(self, trial: Any) -> Place:
        values = trial.hyperparameters.values
        space = {hp.name: hp for hp in self.hyperparameters.space if hp.name in values and active(hp, values)}
        return Place(values, space, resolve_roles(self.roles, [name for name, hp in space.items() if movable(hp)]))

    def _active(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values of what is active under them, with the default of what they leave out."""
        chosen: dict[str, Any] = {}
        for hp in self.hyperparameters.space:
            if active(hp, chosen):
                chosen[hp.name] = values.get(hp.name, hp.default)
        return chosen

    def _close(self, trial: Any, best: Any) -> bool:
        """Whether the scores differ by less than 5 % of what is left to gain, or of the loss."""
        score, most = self._score(trial), self._score(best)
        scale = 1 - most if self._sign > 0 and 0 <= most < 1 else abs(most)
        return bool(abs(score - most) <= CLOSE * scale)

    def _score(self, trial: Any) -> float:
        """The score, higher for better."""
        return self._sign * float(trial.score) if trial.status == "COMPLETED" else -WORST

    def _diverged(self, trial: Any) -> bool:
        # KerasTuner's own tuners put down as failed what ends in a score that is no number.
        return trial.status == "FAILED" and bool(trial.metrics.metrics) and self.reading(trial).verdict == "diverged"

    def _in_order(self) -> list[Any]:
        return sorted(self.trials.values(), key=lambda trial: int(trial.trial_id))

    def key(self, trial: Any) -> str:
        """What the trials of the same hyperparameters share, though later ones know of more than the first did."""
        return self._compute_values_hash(self._active(trial.hyperparameters.values))

    @property
    def _sign(self) -> int:
        return 1 if self.objective.direction == "max" else -1

    def _check_workers(self) -> None:
        if len(self.ongoing_trials) < self.parallel or self._told_to_wait:
            return
        self._told_to_wait = True
        warnings.warn(
            f"A worker waits, since the search runs {self.parallel} at once. Received: parallel={self.parallel}. "
            "Expected as many as there are workers: `GuidedOracle(parallel=...)`.",
            KregtoolsWarning,
            stacklevel=2,
        )

    def _check_names(self) -> None:
        twice = [name for name, count in Counter(hp.name for hp in self.hyperparameters.space).items() if count > 1]
        if twice:
            raise ValueError(
                "Hyperparameters under different conditions share a name, and KerasTuner replaces the values of such. "
                f"Received: {', '.join(twice)}. Expected a name for each, such as {twice[0]}_1 and {twice[0]}_2."
            )

    def _check_declared(self) -> None:
        names = [hp.name for hp in self.hyperparameters.space]
        for name in self._declared:
            if name not in names:
                meant = difflib.get_close_matches(name, names, 1)
                warnings.warn(
                    f"`roles` names a hyperparameter that the model has not asked for. Received: {name!r}"
                    f"{f'; did you mean {meant[0]!r}?' if meant else '.'} Expected some of: {', '.join(names)}.",
                    KregtoolsWarning,
                    stacklevel=2,
                )

    def _longest(self) -> int:
        steps = (
            int(seen.step)
            for trial in self.trials.values()
            for history in trial.metrics.metrics.values()
            for seen in history.get_history()[-1:]
        )
        return max(steps, default=0)


def _noise(groups: Sequence[Sequence[float]]) -> float:
    """The standard deviation between runs of the same hyperparameters; 0 where none were repeated."""
    repeated = [scores for scores in groups if len(scores) > 1 and min(scores) > -WORST]
    freedom = sum(len(scores) - 1 for scores in repeated)
    return math.sqrt(sum(len(scores) * float(np.var(scores)) for scores in repeated) / freedom) if freedom else 0.0


def _check(**arguments: tuple[Any, int]) -> None:
    for name, (value, least) in arguments.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"`{name}` must be an integer from {least} on. Received: {name}={value!r}.")
