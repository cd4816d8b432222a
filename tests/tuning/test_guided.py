from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras_tuner
import pytest

from kregtools.errors import KregtoolsWarning
from kregtools.tuning import GuidedOracle
from kregtools.tuning.reading import Reading
from kregtools.tuning.space import shift

EPOCHS = 20
RANGES = {"l2": (1e-6, 1e-1), "dropout": (0.0, 0.8), "learning_rate": (1e-5, 1e-1)}


def space(**defaults: float) -> keras_tuner.HyperParameters:
    hp = keras_tuner.HyperParameters()
    hp.Float("l2", *RANGES["l2"], sampling="log", default=defaults.get("l2", 1e-4))
    hp.Float("dropout", *RANGES["dropout"], default=defaults.get("dropout", 0.2))
    hp.Float("learning_rate", *RANGES["learning_rate"], sampling="log", default=defaults.get("learning_rate", 1e-3))
    return hp


def curves(values: dict[str, float]) -> dict[str, list[float]]:
    """A made problem: best at a learning rate of 1e-3, dropout 0.45 and L2 1e-3."""
    rate = math.log10(values["learning_rate"] / 1e-3)
    capacity = 1.3 - values["dropout"] - 0.12 * (math.log10(values["l2"]) + 5)
    speed = 0.25 * 10**rate
    found: dict[str, list[float]] = {"loss": [], "val_loss": [], "accuracy": [], "val_accuracy": []}
    for epoch in range(1, EPOCHS + 1):
        learned = 1 - math.exp(-speed * epoch)
        fit = learned * min(1.0, 0.5 + capacity / 2)
        by_heart = max(0.0, capacity - 0.6) * max(0.0, speed * epoch / 2 - 1) * 0.12
        rough = 0.08 * max(0.0, rate)
        val = 0.7 - 0.45 * fit + by_heart + rough
        drag = 0.3 * max(0.0, 0.45 - capacity)
        loss = 0.7 - 0.45 * fit - by_heart + rough + drag
        for name, value in (("loss", loss), ("val_loss", val)):
            found[name].append(value)
        found["accuracy"].append(min(1.0, 1.12 - loss * 0.9))
        found["val_accuracy"].append(max(0.0, 1.12 - val * 0.9))
    stop = next(
        (k for k in range(4, EPOCHS) if min(found["val_loss"][k - 2 : k + 1]) > min(found["val_loss"][: k - 2])), EPOCHS
    )
    return {name: values[:stop] for name, values in found.items()}


def drive(oracle: keras_tuner.Oracle, directory: Path, trials: int, by_epoch: bool = True) -> list[float]:
    """Runs an oracle as a tuner does; the scores."""
    oracle._set_project_dir(str(directory), "search")
    oracle.verbose = 0
    scores = []
    while len(scores) < trials:
        trial = oracle.create_trial("tuner0")
        if trial.status != "RUNNING":
            break
        scores.append(tell(oracle, trial, by_epoch))
    return scores


def tell(oracle: keras_tuner.Oracle, trial: Any, by_epoch: bool = True) -> float:
    found = curves(trial.hyperparameters.values)
    best = max(range(len(found["loss"])), key=found["val_accuracy"].__getitem__)
    for epoch in range(len(found["loss"])):
        if by_epoch or epoch == best:
            oracle.update_trial(trial.trial_id, {n: v[epoch] for n, v in found.items()}, step=epoch)
    trial.status = "COMPLETED"
    oracle.end_trial(trial)
    return found["val_accuracy"][best]


class RandomNeighbours(GuidedOracle):
    def reading(self, trial: Any) -> Reading:
        return Reading("unknown", "")


STARTS = [
    {},
    {"l2": 1e-2, "dropout": 0.8, "learning_rate": 1e-4},
    {"l2": 1e-6, "dropout": 0.0, "learning_rate": 5e-2},
    {"l2": 1e-6, "dropout": 0.0, "learning_rate": 2e-5},
]


@pytest.mark.parametrize("by_epoch", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_diagnosis_finds_more_in_eight_trials_than_random_neighbours_do(by_epoch: bool, tmp_path: Path) -> None:
    gain = []
    for start, defaults in enumerate(STARTS):
        for seed in range(3):
            best = []
            for kind in (GuidedOracle, RandomNeighbours):
                oracle = kind(max_trials=8, seed=seed, hyperparameters=space(**defaults))
                best.append(max(drive(oracle, tmp_path / f"{start}{seed}{kind.__name__}", 8, by_epoch)))
            gain.append(best[0] - best[1])
    assert sum(gain) / len(gain) > 0.01
    assert sum(g >= 0 for g in gain) >= 0.6 * len(gain)


def test_trials_keep_why_they_were_tried_and_what_they_showed(tmp_path: Path) -> None:
    oracle = GuidedOracle(max_trials=15, seed=0, hyperparameters=space())
    drive(oracle, tmp_path, 15)
    notes = [oracle.explain(f"{k:02d}") for k in range(15)]
    assert [n["phase"] for n in notes][:7] == ["default", *["guided"] * 6]
    assert [n["phase"] for n in notes][-3:] == ["repeat"] * 3
    assert "sampled" in {n["phase"] for n in notes}
    assert all(n["why"] and n["verdict"] and n["reason"] for n in notes)
    kept = json.loads((tmp_path / "search" / "trial_03" / "trial.json").read_text())
    assert kept["note"] == notes[3]


def test_the_last_trials_repeat_the_best_three_and_the_mean_decides(tmp_path: Path) -> None:
    oracle = GuidedOracle(max_trials=12, seed=1, hyperparameters=space())
    drive(oracle, tmp_path, 12)
    trials = [oracle.trials[f"{k:02d}"] for k in range(12)]
    first = sorted(trials[:9], key=lambda t: -t.score)[:3]
    assert [t.hyperparameters.values for t in trials[9:]] == [t.hyperparameters.values for t in first]
    # The best by luck: its repeat is worse than those of the others.
    trials[9].score = 0.0
    assert oracle.get_best_trials(1)[0].hyperparameters.values == first[1].hyperparameters.values


def test_a_search_is_the_same_whoever_runs_it_and_after_a_resume(tmp_path: Path) -> None:
    def tried(oracle: GuidedOracle) -> list[dict[str, float]]:
        return [t.hyperparameters.values for _, t in sorted(oracle.trials.items())]

    alone = GuidedOracle(max_trials=14, seed=3, hyperparameters=space(), parallel=2)
    drive(alone, tmp_path / "alone", 14)
    two = GuidedOracle(max_trials=14, seed=3, hyperparameters=space(), parallel=2)
    two._set_project_dir(str(tmp_path / "two"), "search")
    running: list[Any] = []
    while True:
        trial = two.create_trial(f"worker{len(two.trials)}") if len(running) < 2 else None
        if trial is not None and trial.status == "RUNNING":
            running.append(trial)
        elif running:
            tell(two, running.pop(0))
        else:
            break
    assert tried(two) == tried(alone)

    half = GuidedOracle(max_trials=14, seed=3, hyperparameters=space(), parallel=2)
    drive(half, tmp_path / "half", 5)
    interrupted = half.create_trial("tuner0")
    half.save()
    rest = GuidedOracle(max_trials=14, seed=3, parallel=2)
    rest._set_project_dir(str(tmp_path / "half"), "search")
    rest.reload()
    assert rest.create_trial("tuner0").trial_id == interrupted.trial_id
    tell(rest, rest.trials[interrupted.trial_id])
    drive(rest, tmp_path / "half", 14)
    assert tried(rest) == tried(alone)
    assert [rest.explain(k) for k in sorted(rest.trials)] == [alone.explain(k) for k in sorted(alone.trials)]


def test_near_seeds_share_no_trial_but_the_default_and_zero_is_a_seed(tmp_path: Path) -> None:
    seen: set[tuple[float, ...]] = set()
    for seed in (0, 1, 2, 0):
        oracle = GuidedOracle(max_trials=10, seed=seed, hyperparameters=space(), repeats=0)
        drive(oracle, tmp_path / f"{seed}{len(seen)}", 10)
        sampled = [t for name, t in oracle.trials.items() if oracle.notes[name]["phase"] == "sampled"]
        values = {tuple(t.hyperparameters.values.values()) for t in sampled}
        assert values and (values <= seen if seed == 0 and seen else not values & seen)
        seen |= values


def test_diverged_and_failed_trials_do_not_stop_it(tmp_path: Path) -> None:
    oracle = GuidedOracle(max_trials=10, seed=0, hyperparameters=space())
    oracle._set_project_dir(str(tmp_path), "search")
    for number in range(10):
        trial = oracle.create_trial("tuner0")
        assert trial.status == "RUNNING"
        if number == 3:
            trial.status = "FAILED"
            oracle.end_trial(trial)
        elif number % 2:
            oracle.update_trial(trial.trial_id, {"val_accuracy": 0.5, "loss": 0.7}, step=0)
            oracle.update_trial(trial.trial_id, {"val_accuracy": -1e30, "loss": math.nan}, step=1)
            trial.status = "COMPLETED"
            oracle.end_trial(trial)
            assert oracle.explain(trial.trial_id)["verdict"] == "diverged"
        else:
            tell(oracle, trial)
    assert oracle.get_best_trials(1)[0].score > 0


def test_choices_integers_conditions_and_a_loss_to_minimize(tmp_path: Path) -> None:
    hp = keras_tuner.HyperParameters()
    hp.Choice("lr", [1e-4, 1e-3, 1e-2], default=1e-3)
    hp.Int("units", 8, 64, step=8, default=16)
    hp.Choice("kind", ["a", "b"], default="a")
    hp.Boolean("flag")
    hp.Fixed("seed", 7)
    with hp.conditional_scope("kind", ["b"]):
        hp.Float("drop", 0, 0.5)
    oracle = GuidedOracle(keras_tuner.Objective("val_loss", "min"), max_trials=12, seed=0, hyperparameters=hp)
    oracle._set_project_dir(str(tmp_path), "search")
    for _ in range(12):
        trial = oracle.create_trial("tuner0")
        values = trial.hyperparameters.values
        assert ("drop" in values) == (values["kind"] == "b") and values["seed"] == 7
        assert values["lr"] in (1e-4, 1e-3, 1e-2) and values["units"] in range(8, 65, 8)
        loss = abs(math.log10(values["lr"]) + 2) + 8 / values["units"]
        oracle.update_trial(trial.trial_id, {"val_loss": loss, "loss": loss}, step=3)
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    assert oracle.get_best_trials(1)[0].hyperparameters.values["lr"] == 1e-2


def curves_of(trial: Any, **named: list[float]) -> dict[str, list[float]]:
    score = 0.7 + sum(map(ord, str(trial.hyperparameters.values))) % 97 / 1000
    overfit = {"loss": [0.6, 0.3, 0.1, 0.05], "val_loss": [0.6, 0.5, 0.45, 0.6], "accuracy": [0.7, 0.8, 0.9, 0.99]}
    return {**overfit, "val_accuracy": [0.6, 0.65, score, 0.6], **named}


def run(oracle: GuidedOracle, directory: Path, tell_of: Any = curves_of, most: int = 40) -> list[dict[str, Any]]:
    """Runs an oracle on curves of one's own; the values it tried."""
    oracle._set_project_dir(str(directory), "search")
    tried = []
    while len(tried) < most and (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        tried.append(dict(trial.hyperparameters.values))
        found = tell_of(trial)
        for epoch in range(len(found.get("loss", ()))):
            oracle.update_trial(trial.trial_id, {n: v[epoch] for n, v in found.items()}, step=epoch)
        trial.status = "COMPLETED" if found else "FAILED"
        oracle.end_trial(trial)
    return tried


def rates(**more: Any) -> keras_tuner.HyperParameters:
    hp = keras_tuner.HyperParameters()
    hp.Float("lr", 1e-4, 1e-1, sampling="log", default=1e-3)
    for name, values in more.items():
        hp.Choice(name, values)
    return hp


def test_a_name_without_an_up_and_a_down_plays_no_part(tmp_path: Path) -> None:
    hp = rates(kernel_regularizer=["none", "l2"], dropout_type=["spatial", "plain"], l2=[False, True])
    assert len(run(GuidedOracle(max_trials=8, hyperparameters=hp), tmp_path)) == 8


def test_one_name_under_two_conditions_is_refused(tmp_path: Path) -> None:
    hp = keras_tuner.HyperParameters()
    hp.Choice("kind", ["a", "b"])
    with hp.conditional_scope("kind", ["a"]):
        hp.Int("units", 8, 16)
    with hp.conditional_scope("kind", ["b"]):
        hp.Int("units", 100, 200)
    with pytest.raises(ValueError, match=r"share a name.*Received: units\. Expected .*such as units_1 and units_2"):
        run(GuidedOracle(max_trials=20, hyperparameters=hp), tmp_path)


def test_a_step_that_adds_a_layer_gives_it_its_own_values(tmp_path: Path) -> None:
    hp = rates()
    hp.Int("layers", 1, 4, default=1)
    for least in (2, 3, 4):
        with hp.conditional_scope("layers", list(range(least, 5))):
            hp.Int(f"units_{least}", 8, 64)
    oracle = GuidedOracle(max_trials=14, hyperparameters=hp)
    for trial, values in enumerate(run(oracle, tmp_path)):
        if oracle.notes[f"{trial:02d}"]["phase"] == "guided":
            assert all(value == 8 for name, value in values.items() if name.startswith("units_"))
        assert {f"units_{k}" for k in range(2, values["layers"] + 1)} == {n for n in values if n.startswith("units_")}


def test_what_was_tried_once_is_the_best_where_its_lead_is_more_than_luck(tmp_path: Path) -> None:
    oracle = GuidedOracle(max_trials=12, seed=1, hyperparameters=space())
    drive(oracle, tmp_path, 12)
    trials = [oracle.trials[f"{k:02d}"] for k in range(12)]
    for trial in trials:
        trial.score = 0.5
    for first, again in zip(sorted(trials[:9], key=lambda t: t.trial_id)[:3], trials[9:], strict=True):
        again.hyperparameters.values = dict(first.hyperparameters.values)
        first.score, again.score = 0.90, 0.92
    trials[5].score = 0.915
    assert oracle.get_best_trials(1)[0] in (trials[9], trials[10], trials[11])
    trials[5].score = 0.99
    assert [t.trial_id for t in oracle.get_best_trials(2)] == ["05", "09"]


def test_more_trials_repeat_the_best_first(tmp_path: Path) -> None:
    oracle = GuidedOracle(max_trials=12, seed=1, hyperparameters=space())
    drive(oracle, tmp_path, 12)
    best = max((oracle.trials[f"{k:02d}"] for k in range(9)), key=lambda trial: trial.score)
    oracle.max_trials = 13
    assert oracle.create_trial("tuner0").hyperparameters.values == best.hyperparameters.values


def test_where_nothing_new_is_left_the_best_are_repeated(tmp_path: Path) -> None:
    hp = keras_tuner.HyperParameters()
    hp.Choice("lr", [1e-4, 1e-3, 1e-2], default=1e-3)
    hp.Boolean("norm")
    oracle = GuidedOracle(max_trials=20, hyperparameters=hp)
    assert len(run(oracle, tmp_path)) == 9
    assert [oracle.notes[f"{k:02d}"]["phase"] for k in range(6, 9)] == ["repeat"] * 3
    assert oracle.explain("06")["why"].startswith("nothing new is left: trial ")


@pytest.mark.filterwarnings("ignore:All-NaN:RuntimeWarning")  # KerasTuner's, of a score that is no number
def test_a_diverged_trial_that_kerastuner_put_down_as_failed_is_learned_from(tmp_path: Path) -> None:
    def diverging(trial: Any) -> dict[str, list[float]]:
        nan = [math.nan]
        return {} if trial.trial_id != "0" else {"loss": nan, "val_loss": nan, "accuracy": nan, "val_accuracy": nan}

    oracle = GuidedOracle(max_trials=4, hyperparameters=rates())
    tried = run(oracle, tmp_path, diverging)
    assert oracle.trials["0"].status == "FAILED"
    assert tried[1]["lr"] == pytest.approx(1e-3 / 9)
    assert "diverged: the loss is not finite" in oracle.notes["1"]["why"]


def test_a_worker_too_many_is_told_why_it_waits(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    oracle = GuidedOracle(max_trials=4, hyperparameters=space())
    oracle._set_project_dir(str(tmp_path), "search")
    oracle.verbose = 0
    assert oracle.create_trial("tuner0").status == "RUNNING"
    assert [oracle.create_trial("tuner1").status for _ in range(3)] == ["IDLE"] * 3
    told = [str(w.message) for w in recwarn if w.category is KregtoolsWarning]
    assert len(told) == 1 and "A worker waits" in told[0] and "Received: parallel=1. Expected as many" in told[0]


def test_a_search_without_an_end_in_which_all_fail_ends(tmp_path: Path) -> None:
    oracle = GuidedOracle(max_trials=None, hyperparameters=rates())
    assert len(run(oracle, tmp_path, lambda trial: {}, most=200)) == 100


def test_without_optuna_it_goes_on_at_random_and_says_so_once(tmp_path: Path) -> None:
    code = """
import sys, warnings
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "optuna" else find(name, *rest)
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from test_guided import GuidedOracle, drive, space
oracle = GuidedOracle(max_trials=11, hyperparameters=space(), repeats=0)
assert len(drive(oracle, Path(sys.argv[2]), 11)) == 11
assert "random" in {note["phase"] for note in oracle.notes.values()}
assert "optuna" not in sys.modules
"""
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("pip install kregtools[optuna]") == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"seed": -1}, r"`seed` must be an integer from 0 on\. Received: seed=-1"),
        ({"parallel": 0}, r"`parallel` must be an integer from 1 on\. Received: parallel=0"),
        ({"roles": {"momentum": "m"}}, r"no hyperparameter plays\. Received: momentum\. Expected some of: learning"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        GuidedOracle(**arguments)


# ---- roles and notches


def test_a_declared_name_that_is_no_hyperparameter_is_told(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    drive(GuidedOracle(max_trials=3, roles={"l2": "drpout"}, hyperparameters=space()), tmp_path, 3)
    told = [str(w.message) for w in recwarn if w.category is KregtoolsWarning]
    assert len(told) == 1
    assert "Received: 'drpout'; did you mean 'dropout'? Expected some of: l2, dropout, learning_rate." in told[0]


def test_a_notch_goes_by_the_role_and_stays_in_the_range() -> None:
    hps = {hp.name: hp for hp in space().space}
    assert shift(hps["learning_rate"], 1e-3, "learning_rate", 1) == pytest.approx(3e-3)
    assert shift(hps["learning_rate"], 5e-2, "learning_rate", 2) == 1e-1
    assert shift(hps["dropout"], 0.2, "dropout", 1) == pytest.approx(0.4)
    assert shift(hps["dropout"], 0.1, "dropout", -2) == 0
    assert shift(hps["l2"], 1e-3, "l2", 1) == pytest.approx(1e-2)
    assert shift(hps["l2"], 1e-6, "l2", 1) == pytest.approx(1e-4)
    grid = keras_tuner.HyperParameters()
    grid.Choice("l2", [0.0, 1e-5, 1e-4, 1e-3], default=0.0)
    choice = grid.space[0]
    assert [shift(choice, v, "l2", n) for v, n in ((0.0, 1), (1e-3, 1), (1e-4, 1), (1e-5, -1))] == [
        1e-4,
        1e-3,
        1e-3,
        0.0,
    ]


# ---- what a trial shows
