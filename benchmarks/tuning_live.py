"""A live search on IMDB: the guided search against random search and TPE at equal epochs.

python benchmarks/tuning_live.py                 20 trials a search, three seeds: an hour and a half of one core
python benchmarks/tuning_live.py --epochs 120    each search ends after so many epochs

Every search has early stopping, and its trials their own seeds. What is compared is the best validation accuracy so
far by epochs spent, up to those that all searches spent, and the test accuracy of the model each would hand over.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np

import kregtools
from kregtools.models import ImdbBow
from kregtools.tuning import GuidedOracle

METHODS = ("guided", "tpe", "random")


class SampledOracle(GuidedOracle):
    """The same without its guided steps: the default, then Optuna's sampler."""

    def _guided(self, number: int, known: list[Any]) -> None:
        return None


def oracle(method: str, trials: int, seed: int) -> keras_tuner.Oracle:
    if method == "random":
        return keras_tuner.oracles.RandomSearchOracle("val_accuracy", trials, seed=seed + 1)
    kind = GuidedOracle if method == "guided" else SampledOracle
    return kind("val_accuracy", trials, seed, repeats=0)


def search(method: str, data: Any, seed: int, epochs: int, trials: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory:
        result = kregtools.tune(
            ImdbBow(),
            data.train,
            data.validation,
            test=data.test,
            total_epochs=epochs,
            epochs=20,
            seed=seed,
            directory=Path(directory) / "search",
            oracle=oracle(method, trials, seed),
            verbose=0,
        )
        frame = result.frame()
        assert result.test is not None
        return {
            "method": method,
            "seed": seed,
            "test": result.test["accuracy"],
            "spent": frame["epochs"].cumsum().tolist(),
            "scores": frame["val_accuracy"].tolist(),
            "seconds": frame["seconds"].sum(),
            "best": result.best_hyperparameters.values,
        }


def best_at(found: dict[str, Any], epochs: int) -> float:
    within = [score for score, spent in zip(found["scores"], found["spent"], strict=True) if spent <= epochs]
    return max(within, default=float("nan"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=400, help="epochs of each search, at most")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", default="tuning_live.jsonl", help="a line a search; those in it are not run again")
    options = parser.parse_args()
    output = Path(options.output)
    done = [json.loads(line) for line in output.read_text().splitlines()] if output.exists() else []
    data = ImdbBow().load()
    for seed in range(options.seeds):
        for method in METHODS:
            if not any(d["method"] == method and d["seed"] == seed for d in done):
                done.append(search(method, data, seed, options.epochs, options.trials))
                with output.open("a") as file:
                    file.write(json.dumps(done[-1]) + "\n")
                print(json.dumps(done[-1]), flush=True)
    equal = min(d["spent"][-1] for d in done)
    moments = [*(epochs for epochs in (40, 80, 160) if epochs < equal), equal]
    for method in METHODS:
        mine = [d for d in done if d["method"] == method]
        at = "  ".join(f"{epochs}: {np.mean([best_at(d, epochs) for d in mine]):.4f}" for epochs in moments)
        tests, trials = [d["test"] for d in mine], [len(d["scores"]) for d in mine]
        print(
            f"{method:8s} n={len(mine)}, {min(trials)} to {max(trials)} trials  best val_accuracy at {at}  "
            f"test {np.mean(tests):.4f} ± {np.std(tests):.4f}"
        )


if __name__ == "__main__":
    main()
