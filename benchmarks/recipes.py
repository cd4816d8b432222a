"""What each recipe reaches on its test data: accuracy over seeds, verdict and time.

python benchmarks/recipes.py                            every recipe that a CPU can train, three seeds each
python benchmarks/recipes.py imdb_bow --seeds 0 1 2 3   one recipe
python benchmarks/recipes.py cifar_resnet9              on a machine with a GPU

A run is what `python recipes/NAME.py --seed N` does. Finished runs are kept in the file `--results`, one JSON document
a line, and are not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from kregtools.models import RECIPES
from kregtools.models.accelerator import use_gpu

sys.path.insert(0, str(Path(__file__).parents[1] / "recipes"))
from recipe import scores, train

FOR_A_GPU = ("cifar_resnet20", "cifar_resnet9")


def run(name: str, seed: int, epochs: int | None) -> dict[str, Any]:
    hypermodel = RECIPES[name]()
    data = hypermodel.load()
    device = use_gpu(hypermodel.mixed_precision)
    epochs = epochs or hypermodel.epochs
    model, monitor, seconds = train(hypermodel, data, seed=seed, epochs=epochs)
    found = scores(model, data, hypermodel.batch_size)
    diagnosis = monitor.diagnosis
    return {
        "recipe": name,
        "seed": seed,
        "epochs": epochs,
        "minutes": round(seconds / 60, 2),
        "verdict": diagnosis.verdict,
        "symptoms": [symptom.name for symptom in diagnosis.symptoms],
        "device": f"{device}, {os.cpu_count()} cores, {platform.machine()}",
        **{f"test_{metric}": value for metric, value in found.items()},
    }


def table(rows: list[dict[str, Any]]) -> str:
    frame = pd.DataFrame(rows)
    metric = "test_accuracy" if "test_accuracy" in frame else "test_loss"
    frame["score"] = frame[metric].fillna(frame["test_loss"])
    lines = [
        "| recipe | epochs | n | test accuracy (sine: mean squared error) | minutes | verdicts |",
        "|---|---|---|---|---|---|",
    ]
    for (name, epochs), runs in frame.groupby(["recipe", "epochs"], sort=False):
        score, verdicts = runs["score"], ", ".join(f"{n} {v}" for v, n in runs["verdict"].value_counts().items())
        spread = f" ± {score.std():.4f}" if len(runs) > 1 else ""
        minutes = runs["minutes"].median()
        lines.append(f"| {name} | {epochs} | {len(runs)} | {score.mean():.4f}{spread} | {minutes:.1f} | {verdicts} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for_a_cpu = [name for name in RECIPES if name not in FOR_A_GPU]
    parser.add_argument("recipes", nargs="*", default=for_a_cpu, metavar="RECIPE", help=f"among {', '.join(RECIPES)}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, help="in place of the recipe's own")
    parser.add_argument("--results", type=Path, default=Path("recipes.jsonl"))
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.results.read_text().splitlines()] if options.results.exists() else []
    for name in options.recipes:
        for seed in options.seeds:
            epochs = options.epochs or RECIPES[name].epochs
            if any((row["recipe"], row["seed"], row["epochs"]) == (name, seed, epochs) for row in rows):
                continue
            rows.append(run(name, seed, epochs))
            keras.utils.clear_session()
            with options.results.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
            print(json.dumps(rows[-1]), flush=True)
    print(table([row for row in rows if row["recipe"] in options.recipes]))


if __name__ == "__main__":
    main()
