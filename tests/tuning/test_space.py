"""Which part a hyperparameter plays, told by its name or declared."""

from __future__ import annotations

import pytest

from kregtools.tuning.space import infer_role, resolve_roles


@pytest.mark.parametrize(
    ("role", "names"),
    [
        ("learning_rate", ["lr", "learning_rate", "LearningRate", "opt/lr", "initial_lr"]),
        ("dropout", ["dropout", "dropout_1", "drop_rate", "Dropout2"]),
        ("l2", ["l2", "l2_1", "kernel_l2", "weight_decay", "wd", "regularization"]),
        ("capacity", ["units", "units_3", "hidden_units", "num_layers", "filters", "depth"]),
        (None, ["batch_size", "activation", "optimizer", "color", "momentum"]),
        (None, ["lr_decay", "lr_patience", "learning_rate_warmup", "lr_factor"]),
    ],
)
def test_roles_are_told_by_names(role: str | None, names: list[str]) -> None:
    assert {name: infer_role(name) for name in names} == dict.fromkeys(names, role)


def test_declared_roles_hold_and_those_not_in_the_space_are_passed_over() -> None:
    roles = resolve_roles({"l2": "decay", "dropout": ["a", "b"]}, ["decay", "a"])
    assert roles == {"learning_rate": [], "dropout": ["a"], "l2": ["decay"], "capacity": []}
    assert resolve_roles({"lr": "rate"}, ["rate"])["learning_rate"] == ["rate"]


def test_roles_that_are_not_declared_are_told_by_names() -> None:
    roles = resolve_roles({"l2": "lr_decay", "capacity": []}, ["lr_decay", "lr", "drop_rate", "units"])
    assert roles == {"learning_rate": ["lr"], "dropout": ["drop_rate"], "l2": ["lr_decay"], "capacity": []}
