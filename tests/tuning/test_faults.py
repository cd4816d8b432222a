"""What kills trials, workers and searches: nothing that has ended is lost, and nothing hangs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("small_search.py")
COLUMNS = ["trial", "l2", "learning_rate", "val_accuracy", "status"]


def run(directory: Path, workers: int, trials: int, fault: str = "none", **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(SCRIPT), str(directory), str(workers), str(trials), fault]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )


def ended(process: subprocess.Popen[str], seconds: float = 240) -> list[dict[str, Any]]:
    out, err = process.communicate(timeout=seconds)
    assert process.returncode == 0, err[-3000:]
    return [{name: row[name] for name in COLUMNS} for row in json.loads(out.strip().splitlines()[-1])]


@pytest.fixture(scope="module")
def undisturbed_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("undisturbed") / "search"


@pytest.fixture(scope="module")
def undisturbed(undisturbed_in: Path) -> list[dict[str, Any]]:
    """Six trials on two workers, with nothing amiss."""
    return ended(run(undisturbed_in, 2, 6))


@pytest.mark.slow
def test_two_workers_end_with_all_that_one_search_leaves(undisturbed: Any, undisturbed_in: Path) -> None:
    assert [row["status"] for row in undisturbed] == ["completed"] * 6
    left = {path.name for path in undisturbed_in.iterdir()}
    assert {"best_model.keras", "best_config.json", "best_recipe.py", "report.html", "trials.csv"} <= left
    assert (undisturbed_in / "trial_0" / "record").is_dir()


def test_a_killed_workers_trial_is_run_again(tmp_path: Path, undisturbed: list[dict[str, Any]]) -> None:
    assert ended(run(tmp_path / "search", 2, 6, "once")) == undisturbed
    assert (tmp_path / "search.killed").exists()


@pytest.mark.slow
def test_where_all_workers_die_the_next_ones_get_the_data_again(tmp_path: Path, undisturbed: Any) -> None:
    assert ended(run(tmp_path / "search", 2, 6, "each")) == undisturbed
    assert len((tmp_path / "search.killed").read_text().split()) == 2 * 2


@pytest.mark.slow
def test_a_killed_search_takes_its_workers_with_it_and_goes_on(
    tmp_path: Path, undisturbed: list[dict[str, Any]]
) -> None:
    process = run(tmp_path / "search", 2, 6, "parent")
    process.communicate(timeout=240)
    assert process.returncode == -9
    worker = int((tmp_path / "search.killed").read_text().split()[0])
    deadline = time.monotonic() + 60
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not Path(f"/proc/{worker}").exists()
    kept = {path: path.read_bytes() for path in (tmp_path / "search").glob("trial_*/result.json")}
    assert ended(run(tmp_path / "search", 2, 6, "parent")) == undisturbed
    assert {path: path.read_bytes() for path in kept} == kept


@pytest.mark.slow
def test_a_trial_that_takes_every_worker_with_it_is_put_down_and_no_other(tmp_path: Path) -> None:
    rows = ended(run(tmp_path / "search", 2, 5, "always"))
    assert [row["status"] for row in rows].count("failed") == 1
    assert [row["status"] for row in rows].count("completed") == 4
    assert len((tmp_path / "search.killed").read_text().split()) == 2 * 3


@pytest.mark.slow
def test_a_trial_that_takes_the_search_with_it_is_put_down_at_the_fourth_attempt(tmp_path: Path) -> None:
    mark = tmp_path / "search.killed"
    for _ in range(3):
        process = run(tmp_path / "search", 1, 3, "once")
        process.communicate(timeout=240)
        assert process.returncode == -9
        mark.unlink()
    rows = ended(run(tmp_path / "search", 1, 3, "none"))
    assert sorted(row["status"] for row in rows) == ["completed", "completed", "failed"]


@pytest.mark.slow
def test_a_chief_and_two_workers_of_kerastuner_find_what_one_search_finds(tmp_path: Path) -> None:
    def trials(directory: Path) -> list[Any]:
        read = [json.loads(path.read_text()) for path in sorted(directory.glob("trial_*/trial.json"))]
        return [(t["hyperparameters"]["values"], t["score"], t["status"], t["note"]["why"]) for t in read]

    alone = run(tmp_path / "alone", 1, 9, "cluster")
    _, err = alone.communicate(timeout=300)
    assert alone.returncode == 0, err[-2000:]
    address = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": "18397"}
    names = ("chief", "tuner0", "tuner1")
    running = [run(tmp_path / "many", 1, 9, "cluster", KERASTUNER_TUNER_ID=name, **address) for name in names]
    for process in running:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err[-2000:]
    ours, theirs = trials(tmp_path / "many"), trials(tmp_path / "alone")
    assert len(ours) == len(theirs) == 9
    for mine, other in zip(ours, theirs, strict=True):
        assert mine[0] == pytest.approx(other[0]) and mine[1] == pytest.approx(other[1])
        assert mine[2:] == other[2:]


@pytest.mark.slow
def test_memory_stays_within_a_tenth_over_two_hundred_trials(tmp_path: Path) -> None:
    code = """
import sys
sys.path.insert(0, sys.argv[1])
import psutil
import kregtools
from small_search import FIT, build
from kregtools.tuning import tuner
sizes = []
finish = tuner.Tuner._finish
def measured(self, trial, outcome):
    finish(self, trial, outcome)
    sizes.append(psutil.Process().memory_info().rss)
tuner.Tuner._finish = measured
train = FIT["x"], FIT["y"]
kregtools.tune(build, train, FIT["validation_data"], epochs=1, trials=200, verbose=0, directory=sys.argv[2])
print(sizes[19], sizes[-1])
"""
    command = [sys.executable, "-c", code, str(SCRIPT.parent), str(tmp_path / "search")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stderr[-2000:]
    early, late = map(int, done.stdout.split()[-2:])
    assert late < 1.1 * early, (early, late)
