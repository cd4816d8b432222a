"""Trains every program of `programs.py` under `HealthMonitor`, and scores its diagnosis.

    python benchmarks/faults/score.py [--seeds 0 1 2] [--runs DIRECTORY] [--only NAME ...] [--list]

With `--runs`, records are kept there, and those that are there already are diagnosed without training again.

- found: faulty runs of which at least one symptom is right;
- wrong: runs with a symptom that is not right, of the faulty and of the healthy; all of a healthy run's are wrong, and
  so is a verdict other than healthy or undetermined;
- first, first three: faulty runs with a right cause at that place;
- overfit, underfit: precision, recall and F1 over all runs.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent))

from published import PUBLISHED, reported

from kregtools.diagnosis import Diagnosis, diagnose
from kregtools.record import Record

OURS = "kregtools"


class Run(NamedTuple):
    """One program trained from one seed, and what is true of it."""

    name: str
    seed: int
    kind: str
    symptoms: frozenset[str]
    causes: frozenset[str]
    diagnosis: Diagnosis
    published: dict[str, set[str]]

    @property
    def found(self) -> set[str]:
        """The symptoms reported; `info` is no alarm."""
        return {symptom.name for symptom in self.diagnosis.symptoms if symptom.severity != "info"}

    def reported(self, tool: str) -> set[str]:
        """What a tool reports; kregtools its symptoms, others whatever they call a finding."""
        return self.found if tool == OURS else self.published[tool]

    @property
    def hit(self) -> bool:
        """Whether a right symptom was reported."""
        return bool(self.found & self.symptoms)

    @property
    def wrong(self) -> set[str]:
        """The symptoms reported that are not right."""
        return self.found - self.symptoms

    def explained(self, most: int) -> bool:
        """Whether a right cause is among the first ones."""
        return bool({cause.name for cause in self.diagnosis.causes[:most]} & self.causes)


def train(name: str, seed: int, directory: Path) -> None:
    """Trains one program and leaves its record in `directory`."""
    import keras
    from programs import PROGRAMS

    from kregtools.callbacks import HealthMonitor

    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    program = PROGRAMS[name]
    data, model = program.data(seed), program.model()
    model.compile(**program.compile())
    validation = {"validation_data": (data.x_val, data.y_val)} if program.validated else {}
    monitor = HealthMonitor(verbose=0)
    model.fit(data.x, data.y, verbose=0, callbacks=[monitor], **validation, **program.fit)
    monitor.record.save(directory)  # only now: half a run would be taken for a whole one


def trained(jobs: Sequence[tuple[str, int, Path]], workers: int) -> None:
    """Trains what has no record yet."""
    missing = [job for job in jobs if not job[2].exists()]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for job, future in [(job, pool.submit(train, *job)) for job in missing]:
            future.result()
            print(f"trained: {job[0]}, seed {job[1]}", file=sys.stderr)


# ---- figures


def share(runs: Sequence[Run], holds: Iterable[bool]) -> str:
    """How many of the runs, and their share."""
    count = sum(holds)
    return f"{count}/{len(runs)} ({count / max(len(runs), 1):.1%})"


def f1(runs: Sequence[Run], kind: str) -> str:
    """Precision, recall and F1 of one symptom that is a verdict by itself."""
    said = [run for run in runs if kind in run.found]
    true = [run for run in runs if run.kind == kind]
    allowed = [run for run in said if kind in run.symptoms]
    right = sum(kind in run.found for run in true)
    precision, recall = len(allowed) / max(len(said), 1), right / max(len(true), 1)
    return f"{precision:.2f} / {recall:.2f} / {2 * precision * recall / max(precision + recall, 1e-9):.2f}"


def table(runs: Sequence[Run]) -> str:
    """The figures as a table in Markdown."""
    faulty = [run for run in runs if run.kind == "faulty"]
    healthy = [run for run in runs if run.kind == "healthy"]
    rows = {
        "a right symptom, of the faulty": share(faulty, (run.hit for run in faulty)),
        "a wrong symptom, of the faulty": share(faulty, (bool(run.wrong) for run in faulty)),
        "a symptom, of the healthy": share(healthy, (bool(run.wrong) for run in healthy)),
        "healthy called healthy": share(healthy, (run.diagnosis.verdict == "healthy" for run in healthy)),
        "a right cause first": share(faulty, (run.explained(1) for run in faulty)),
        "a right cause among the first three": share(faulty, (run.explained(3) for run in faulty)),
        "overfit: precision / recall / F1": f1(runs, "overfit"),
        "underfit: precision / recall / F1": f1(runs, "underfit"),
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {figure} |" for name, figure in rows.items())])


def comparison(runs: Sequence[Run]) -> str:
    """The rules of published tools beside ours; for them a right cause counts as well as a right symptom."""
    lines = [
        "| rules | faulty runs flagged | of these with a right finding | healthy runs flagged |",
        "|---|---|---|---|",
    ]
    faulty, healthy = ([run for run in runs if run.kind == kind] for kind in ("faulty", "healthy"))
    for tool in (*PUBLISHED, OURS):
        flagged = [run for run in faulty if run.reported(tool)]
        right = share(flagged, (bool(run.reported(tool) & (run.symptoms | run.causes)) for run in flagged))
        alarms = share(healthy, (bool(run.reported(tool)) for run in healthy))
        lines.append(f"| {tool} | {share(faulty, (bool(run.reported(tool)) for run in faulty))} | {right} | {alarms} |")
    return "\n".join(lines)


def line(run: Run) -> str:
    """One run in one line, with a mark where something is not as it should be."""
    causes = [f"{cause.name} {cause.confidence:.2f}" for cause in run.diagnosis.causes[:3]]
    missed = bool(run.symptoms) and not run.hit
    unexplained = run.kind == "faulty" and not run.explained(1)
    mark = "".join(letter if shown else "." for letter, shown in (("M", missed), ("W", run.wrong), ("C", unexplained)))
    seen = ", ".join(sorted(run.found)) or "-"
    return f"{mark} {run.kind:8} {run.name} [{run.seed}]: {run.diagnosis.verdict}; {seen}; {', '.join(causes)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, help="where records are kept, and looked for")
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--list", action="store_true", help="one line for every run")
    options = parser.parse_args()
    from programs import PROGRAMS

    with tempfile.TemporaryDirectory() as scratch:
        directory = options.runs or Path(scratch)
        jobs = [
            (name, seed, directory / f"{name}-{seed}") for name in options.only or PROGRAMS for seed in options.seeds
        ]
        trained(jobs, options.workers)
        runs = []
        for name, seed, path in jobs:
            program = PROGRAMS[name]
            record = Record.load(path)
            published = {tool: reported(tool, record) for tool in PUBLISHED}
            runs.append(Run(name, seed, program.kind, program.symptoms, program.causes, diagnose(record), published))
    if options.list:
        print("\n".join(map(line, runs)), "\n")
    print(table(runs), comparison(runs), sep="\n\n")


if __name__ == "__main__":
    main()
