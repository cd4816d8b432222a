"""What a search leaves for later: the best model, its hyperparameters, a program that trains it anew, a report."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kregtools.errors import KregtoolsWarning
from kregtools.tuning.files import fingerprint, read_json, write_json
from kregtools.tuning.recipe import recipe

if TYPE_CHECKING:
    from kregtools.tuning.result import TuningResult

MODEL, CONFIG, RECIPE, TRIALS, REPORT = (
    "best_model.keras",
    "best_config.json",
    "best_recipe.py",
    "trials.csv",
    "report.html",
)


def export(result: TuningResult, test: Any = None, files: bool = True) -> None:
    """Tests the best model of an ended search once, and writes its files; what cannot be written becomes a warning."""
    directory = result.directory
    if files:
        _tried(TRIALS, lambda: result.frame().to_csv(directory / TRIALS, index=False))
    if result.found and (files or test is not None):
        model, config = result.best_model(), _config(result)
        if test is not None:
            _tried("test.json", lambda: config.update(test=_test_once(directory, config, model, test)))
        if files:
            _tried(CONFIG, lambda: write_json(directory / CONFIG, config))
            _tried(MODEL, lambda: model.save(directory / MODEL))
            program = recipe(result.tuner.hypermodel, config)
            _tried(RECIPE, lambda: (directory / RECIPE).write_text(program, encoding="utf-8"))
    if files:
        _tried(REPORT, lambda: result.report(directory / REPORT))


def _config(result: TuningResult) -> dict[str, Any]:
    row = result.best_row()
    project = read_json(result.directory / "project.json")
    return {
        "trial": row["trial"],
        "hyperparameters": result.best_hyperparameters.values,
        "objective": result.tuner.oracle.objective.name,
        "score": row[result.tuner.oracle.objective.name],
        "mean_score": result.best_mean()[0],
        "runs": result.best_mean()[1],
        "best_epoch": row["best_epoch"],
        **{name: project[name] for name in ("epochs", "batch_size", "patience")},
        "seed": result.tuner.seed_of(result.best_id),
    }


def _test_once(directory: Path, config: dict[str, Any], model: Any, test: Any) -> dict[str, Any]:
    """The trial that was tested, in the first call alone, and its scores."""
    path, data = directory / "test.json", fingerprint(test)
    if path.exists():
        kept = read_json(path)
        if kept["hyperparameters"] != config["hyperparameters"]:
            warnings.warn(
                f"The test data were used already, on trial {kept['trial']}; the best trial is now {config['trial']}. "
                "They are not used twice: the scores are those of the earlier one. Test a model of your own choice "
                "with `result.best_model().evaluate(...)`.",
                KregtoolsWarning,
                stacklevel=6,
            )
        elif kept.get("data", data) != data:
            warnings.warn(
                "The test data differ from those of the first call. The scores are those on the first. Test on others "
                "with `result.best_model().evaluate(...)`.",
                KregtoolsWarning,
                stacklevel=6,
            )
        return {"trial": kept["trial"], "scores": kept["scores"]}
    parts = test if isinstance(test, tuple) else (test,)
    named = dict(zip(("x", "y", "sample_weight"), parts, strict=False))
    scores = {name: float(v) for name, v in model.evaluate(**named, verbose=0, return_dict=True).items()}
    tested = {"trial": config["trial"], "scores": scores}
    write_json(path, {**tested, "hyperparameters": config["hyperparameters"], "data": data})
    return tested


def _tried(name: str, write: Any) -> None:
    try:
        write()
    except Exception as error:
        warnings.warn(
            f"{name} could not be written ({type(error).__name__}: {error}). The search itself is complete, and the "
            "same call writes it again.",
            KregtoolsWarning,
            stacklevel=4,
        )
