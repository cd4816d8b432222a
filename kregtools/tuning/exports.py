"""What a search leaves for later: the best model, its hyperparameters, a program that trains it anew, a report."""

from __future__ import annotations

import inspect
import textwrap
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kregtools.errors import KregtoolsWarning
from kregtools.tuning.files import fingerprint, read_json, write_json

if TYPE_CHECKING:
    from kregtools.tuning.result import TuningResult

MODEL, CONFIG, RECIPE, TRIALS, REPORT = (
    "best_model.keras",
    "best_config.json",
    "best_recipe.py",
    "trials.csv",
    "report.html",
)

LOAD = [
    "",
    "",
    "def load():",
    '    raise NotImplementedError("return your data: (x, y), (x_val, y_val), (x_test, y_test)")',
    "",
]


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
            _tried(RECIPE, lambda: (directory / RECIPE).write_text(_recipe(result, config), encoding="utf-8"))
    if files:
        _tried(REPORT, lambda: result.report(directory / REPORT))


def builder_of(hypermodel: Any) -> Any:
    """The function of the user's own that builds the model, or the class of the hypermodel."""
    return hypermodel.build if inspect.isfunction(hypermodel.build) else type(hypermodel)


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


def _recipe(result: TuningResult, config: dict[str, Any]) -> str:
    """A program that builds and trains the best model anew; of data and builders that are not importable, a gap."""
    hypermodel = result.tuner.hypermodel
    target = builder_of(hypermodel)
    own = not inspect.isfunction(target)
    batch = f", batch_size={config['batch_size']}" if config["batch_size"] else ""
    return "\n".join(
        [
            f'"""Trains the best model of a search anew: trial {config["trial"]}, {config["objective"]} '
            f'{config["score"]:.4f}."""',
            "",
            "import keras",
            "import keras_tuner",
            *_builder(target),
            *([] if hasattr(hypermodel, "load") else LOAD),
            "",
            f"VALUES = {config['hyperparameters']!r}",
            "",
            f"keras.utils.set_random_seed({config['seed']})",
            *([f"hypermodel = {target.__name__}(**{getattr(hypermodel, 'fixed', {})!r})"] if own else []),
            "hp = keras_tuner.HyperParameters()",
            "hp.values = dict(VALUES)",
            f"model = {'hypermodel.build' if own else target.__name__}(hp)",
            f"(x, y), validation, test = {'hypermodel.load()' if hasattr(hypermodel, 'load') else 'load()'}",
            f'stop = keras.callbacks.EarlyStopping("val_loss", patience={config["patience"]}, '
            "restore_best_weights=True)",
            f"{'hypermodel.fit(hp, model, ' if own else 'model.fit('}x, y, validation_data=validation, "
            f"epochs={config['epochs']}{batch}, callbacks=[stop])",
            'print("validation:", model.evaluate(*validation, verbose=0, return_dict=True))',
            "",
        ]
    )


def _builder(target: Any) -> list[str]:
    if target.__module__ != "__main__" and "<" not in target.__qualname__:
        return [f"from {target.__module__} import {target.__qualname__.split('.')[0]}"]
    try:
        source = textwrap.dedent(inspect.getsource(target))
    except (OSError, TypeError):
        source = ""
    return ["", "", source if source.startswith(("def ", "class ")) else "# Put the builder of your model here."]


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
