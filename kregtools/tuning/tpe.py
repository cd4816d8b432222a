"""Optuna's sampler, asked for one set of values at a time."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import optuna
from keras_tuner.engine import hyperparameters

STARTUP = 4


def suggestions(
    space: Iterable[Any],
    tried: Iterable[tuple[Mapping[str, Any], float]],
    maximize: bool,
    seed: int,
    count: int,
) -> Iterator[dict[str, Any]]:
    """What the tree-structured Parzen estimator would try next, one after the other.

    Args:
        space: The hyperparameters that take part.
        tried: The values and scores so far.
        maximize: Whether higher scores are better.
        seed: The seed of the sampler.
        count: The most suggestions.
    """
    space = list(space)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental features
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)
        study = optuna.create_study(direction="maximize" if maximize else "minimize", sampler=sampler)
        distributions = {hp.name: _distribution(hp) for hp in space}
        for values, score in tried:
            study.add_trial(_trial(space, distributions, values, score))
        for _ in range(count):
            trial = study.ask(distributions)
            yield {hp.name: _value(hp, trial.params[hp.name]) for hp in space}
            study.tell(trial, state=optuna.trial.TrialState.FAIL)  # not taken: as if it had not been asked for


def _distribution(hp: Any) -> optuna.distributions.BaseDistribution:
    d = optuna.distributions
    if isinstance(hp, (hyperparameters.Float, hyperparameters.Int)):
        return d.FloatDistribution(0.0, 1.0)
    if isinstance(hp, hyperparameters.Choice) and hp.ordered:
        return d.IntDistribution(0, len(hp.values) - 1)
    return d.CategoricalDistribution(list(range(len(_options(hp)))))


def _trial(
    space: list[Any], distributions: dict[str, Any], values: Mapping[str, Any], score: float
) -> optuna.trial.FrozenTrial:
    known = {hp.name: _param(hp, values[hp.name]) for hp in space if hp.name in values}
    return optuna.trial.create_trial(
        state=optuna.trial.TrialState.COMPLETE,
        params=known,
        distributions={name: distributions[name] for name in known},
        value=score,
    )


def _param(hp: Any, value: Any) -> Any:
    if isinstance(hp, (hyperparameters.Float, hyperparameters.Int)):
        return min(max(float(hp.value_to_prob(value) or 0), 0.0), 1.0)
    options = _options(hp)
    if isinstance(hp, hyperparameters.Choice) and hp.ordered:
        return min(range(len(options)), key=lambda index: abs(options[index] - value))
    return options.index(value)


def _value(hp: Any, param: Any) -> Any:
    if isinstance(hp, (hyperparameters.Float, hyperparameters.Int)):
        return hp.prob_to_value(min(param, 1 - 1e-9))
    return _options(hp)[param]


def _options(hp: Any) -> list[Any]:
    if isinstance(hp, hyperparameters.Choice):
        return sorted(hp.values) if hp.ordered else list(hp.values)
    return [False, True] if isinstance(hp, hyperparameters.Boolean) else [hp.value]
