"""What a model was compiled to minimize and to report."""

from __future__ import annotations

import re
from typing import Any

import keras
from keras import tree

from kregtools.capture.asking import tried

LOSS_SETTINGS = ("label_smoothing", "reduction", "delta", "ignore_class", "gamma", "alpha")
# What the short names that `compile` accepts stand for, and class names that are not spelled like the function.
LOSS_ALIASES = {
    "mse": "mean_squared_error",
    "bce": "binary_crossentropy",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "kld": "kl_divergence",
    "kldivergence": "kl_divergence",
}


def losses(model: Any, outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One loss after the other as `fit` adds them up, each with the output that it is computed from."""
    weights = getattr(getattr(model, "_compile_loss", None), "_user_loss_weights", None)
    pairs = _by_output(model.loss, outputs)
    found = []
    for index, (key, loss, output) in enumerate(pairs):
        if loss is not None:
            where = {"output": output["output"], "target": output["target"]} if output else {"output": key}
            found.append({**_loss(loss), "weight": _weight(weights, key, index, len(pairs)), **where})
    return found


def _by_output(loss: Any, outputs: list[dict[str, Any]]) -> list[tuple[Any, Any, dict[str, Any] | None]]:
    if isinstance(loss, dict) and "class_name" not in loss:
        found = []
        for key, value in loss.items():
            given = (output for output in outputs if key == output["output"] or output["tensor"] == f"output:{key}")
            found.append((key, value, next(given, outputs[0] if len(outputs) == len(loss) == 1 else None)))
        return sorted(found, key=lambda item: outputs.index(item[2]) if item[2] in outputs else len(outputs))
    if isinstance(loss, (list, tuple)):
        flat = tree.flatten(loss)
        places = outputs if len(outputs) == len(flat) else (outputs[:1] or [None]) * len(flat)
        return [(None, item, output) for item, output in zip(flat, places, strict=True)]
    return [] if loss is None else [(None, loss, output) for output in outputs or [None]]


def _weight(weights: Any, key: Any, index: int, count: int) -> float | None:
    if weights is None:
        return 1.0
    if isinstance(weights, dict) and key in weights:
        return _number(weights[key])
    flat = tree.flatten(weights)
    if len(flat) not in (1, count):
        return None
    return _number(flat[index if len(flat) == count else 0])


def _number(value: Any) -> float | None:
    return 1.0 if value is None else tried(lambda: float(value))


def _loss(loss: Any) -> dict[str, Any]:
    config = loss.get("config") or {} if isinstance(loss, dict) else tried(lambda: dict(loss.get_config())) or {}
    settings = {**getattr(loss, "keywords", {}), **getattr(loss, "_fn_kwargs", {}), **config}
    from_logits = settings.get("from_logits", getattr(loss, "from_logits", False))
    found = {"name": _loss_name(loss), "from_logits": bool(from_logits)}
    return {**found, **{key: settings[key] for key in LOSS_SETTINGS if settings.get(key) is not None}}


def _loss_name(loss: Any) -> str:
    loss = loss.get("class_name") if isinstance(loss, dict) else loss
    function = (
        getattr(loss, "fn", None) if type(loss).__name__ == "LossFunctionWrapper" else getattr(loss, "func", None)
    )
    loss = loss if function is None else function
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return LOSS_ALIASES.get(name, name)


def is_own(model: Any) -> bool:
    """Whether the model computes its loss by a `compute_loss` of its own, whatever it was compiled with."""
    return type(model).compute_loss is not keras.Model.compute_loss or "compute_loss" in vars(model)


def metrics(model: Any) -> list[str]:
    given = getattr(model, "_compile_metrics", None)
    flat = tree.flatten([getattr(given, "_user_metrics", None), getattr(given, "_user_weighted_metrics", None)])
    return [_metric_name(metric) for metric in flat if metric is not None]


def _metric_name(metric: Any) -> str:
    if isinstance(metric, str):
        return metric
    return str(getattr(metric, "name", None) or getattr(metric, "__name__", None) or type(metric).__name__)
