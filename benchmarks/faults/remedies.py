"""Applies the first printed remedy of every faulty, over- and underfit program, trains again, and looks what it did.

    python benchmarks/faults/remedies.py [--seed 6] [--runs DIRECTORY] [--results FILE] [--only NAME ...]

Nothing is done by hand: `apply.py` reads the remedy's code. A program is repaired if the accuracy on the validation
rows (of numbers, the share of their variance that is explained) is at least that of its healthy twin (`sound.py`) less
0.05. Where there is no twin, what the remedy promises has to hold:

- overfit: the validation loss ends below the number printed, without stopping early, which would do by itself;
- rare class: the mean recall of the classes exceeds that of naming one class always by 0.05.

A remedy that asks for a person's judgement is counted apart; a program without a cause is not repaired. `--runs` holds
the records of the programs themselves, as in `score.py`. With `--results`, rows are added to that file as they come,
and those that are there are not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from score import train

from kregtools.diagnosis import diagnose
from kregtools.record import Record

MARGIN = 0.05
BY_HAND = "not mechanical"
Row = dict[str, Any]


def quality(predicted: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Accuracy and mean recall of the classes; of numbers, the share of the variance that is explained."""
    predicted, targets = predicted.reshape(len(targets), -1), targets.reshape(-1)
    classes = np.unique(targets)
    if not (targets == np.round(targets)).all():
        explained = float(1 - np.mean((predicted[:, 0] - targets) ** 2) / targets.var())
        return explained, explained
    nearest = classes[np.abs(predicted[:, :1] - classes).argmin(axis=1)]
    right = (predicted.argmax(axis=1) if predicted.shape[1] > 1 else nearest) == targets
    return float(right.mean()), float(np.mean([right[targets == label].mean() for label in classes]))


def run(setup: Any, seed: int) -> tuple[float, float, float]:
    """Trains a setup; its accuracy, mean recall and loss on the validation rows."""
    import keras

    keras.utils.set_random_seed(seed)
    model, data = setup.model, setup.data
    model.compile(**setup.compile)
    history = model.fit(data.x, data.y, validation_data=(data.x_val, data.y_val), verbose=0, **setup.fit).history
    return *quality(model.predict(data.x_val, verbose=0), data.y_val), float(history["val_loss"][-1])


def prepared(program: Any, seed: int) -> Any:
    """A program as it is handed to Keras, its layers named from the start."""
    import keras
    from apply import Setup

    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    return Setup(program.model(), program.data(seed), program.compile(), dict(program.fit))


def examined(name: str, seed: int, directory: Path) -> Row:
    """Runs a program, unless its record is there, its remedy and its twin."""
    from apply import NotMechanicalError, applied
    from programs import PROGRAMS
    from sound import twin

    if not directory.exists():
        train(name, seed, directory)
    program, record = PROGRAMS[name], Record.load(directory)
    row: Row = {"program": name, "seed": seed, "kind": program.kind, "cause": None, "right": False, "repaired": False}
    causes = diagnose(record).causes
    if not causes:
        return row
    cause = causes[0]
    row |= {"cause": cause.name, "right": cause.name in program.causes, **asdict(cause.remedy)}
    try:
        setup = applied(cause.remedy, prepared(program, seed))
    except NotMechanicalError:
        return row | {"repaired": BY_HAND}
    accuracy, recall, loss = run(setup, seed)
    sound, promised = twin(name), re.search(r"end below ([\d.e+-]*\d)", cause.remedy.text)
    if sound is not None:
        return row | compared(at_end(record, program, seed), accuracy, run(prepared(sound, seed), seed)[0] - MARGIN)
    if promised:
        return row | compared(-float(record.log("val_loss")[-1]), -loss, -float(promised[1]))
    by_chance = 1 / len(np.unique(program.data(seed).y))
    return row | compared(by_chance, recall, by_chance + MARGIN)


def at_end(record: Record, program: Any, seed: int) -> float:
    """The accuracy of a recorded run on the validation rows; of numbers, the share of the variance explained."""
    accuracy = record.log("val_accuracy")[-1]
    return float(accuracy if np.isfinite(accuracy) else 1 - record.log("val_loss")[-1] / program.data(seed).y_val.var())


def compared(before: float, after: float, asked: float) -> Row:
    """Higher is better; what is asked is the twin's figure less the margin, or what was promised."""
    return {"before": before, "after": after, "asked": asked, "repaired": bool(after >= asked)}


# ---- results


def collected(jobs: Sequence[tuple[str, int, Path]], file: Path | None, workers: int) -> list[Row]:
    """The rows of all jobs; what is in the file is not run again, what is new is added to it."""
    lines = file.read_text().splitlines() if file and file.exists() else []
    rows = {(row["program"], row["seed"]): row for row in map(json.loads, lines)}
    missing = [job for job in jobs if job[:2] not in rows]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for future in as_completed([pool.submit(examined, *job) for job in missing]):
            row = future.result()
            rows[row["program"], row["seed"]] = row
            print(line(row), file=sys.stderr)
            if file:
                with file.open("a") as stream:
                    stream.write(json.dumps(row) + "\n")
    return [rows[job[:2]] for job in jobs]


def line(row: Row) -> str:
    """A row of the table."""
    figures = [f"{row[name]:.3g}" if name in row else "" for name in ("before", "after", "asked")]
    repaired = row["repaired"] if isinstance(row["repaired"], str) else "yes" if row["repaired"] else "NO"
    cells = [row["program"], row["cause"] or "none", "yes" if row["right"] else "NO", *figures, repaired]
    return f"| {' | '.join(cells)} |"


def shares(rows: Sequence[Row], key: Callable[[Row], str]) -> list[str]:
    """How many of the mechanical remedies repair, by group."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    lines = []
    for name, group in sorted(groups.items()):
        judged = [row["repaired"] for row in group if row["repaired"] != BY_HAND]
        share = f"{sum(judged)}/{len(judged)} ({sum(judged) / max(len(judged), 1):.0%})"
        lines.append(f"| {name} | {share} | {len(group) - len(judged)} |")
    return lines


def report(rows: Sequence[Row]) -> str:
    """The tables in Markdown."""
    head = ["| program | first cause | right? | before | after | asked | repaired |", "|---|---|---|---|---|---|---|"]
    groups = ["", f"| cause | repaired | {BY_HAND} |", "|---|---|---|"]
    by_cause, every = shares(rows, lambda row: row["cause"] or "none"), shares(rows, lambda row: "all")
    return "\n".join([*head, *map(line, rows), *groups, *by_cause, *every])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=6, help="one that no threshold was chosen on")
    parser.add_argument("--runs", type=Path, help="where records are kept, and looked for")
    parser.add_argument("--results", type=Path, help="where rows are kept, and looked for")
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    from programs import PROGRAMS

    sick = [name for name, program in PROGRAMS.items() if program.kind != "healthy"]
    with tempfile.TemporaryDirectory() as scratch:
        runs = options.runs or Path(scratch)
        jobs = [(name, options.seed, runs / f"{name}-{options.seed}") for name in options.only or sick]
        print(report(collected(jobs, options.results, options.workers)))


if __name__ == "__main__":
    main()
