"""The zoo of faulty programs: what it says exists, its twins are there, and printed remedies do what they say."""

import sys
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest

from kregtools.causes import CAUSES, Remedy
from kregtools.diagnosis import known_names
from kregtools.symptoms import SYMPTOMS

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks" / "faults"))
from apply import NotMechanicalError, Setup, applied
from data import Split
from networks import logarithm, mlp
from programs import PROGRAMS
from sound import SOUND, twin


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_true_of_a_program_has_a_name(name):
    program = PROGRAMS[name]
    assert program.symptoms <= set(known_names(SYMPTOMS))
    assert program.causes <= set(known_names(CAUSES))
    assert (program.kind == "healthy") == (not program.symptoms)


def test_enough_programs_are_healthy_or_merely_over_or_underfit():
    kinds = Counter(program.kind for program in PROGRAMS.values())
    assert sum(kinds.values()) >= 60
    assert kinds["faulty"] <= 0.6 * sum(kinds.values())


def test_what_can_be_mended_by_itself_has_a_twin():
    by_itself = {name for name, program in PROGRAMS.items() if program.kind in ("faulty", "underfit")}
    by_promise, for_a_person = {"rare class"}, {"wrong labels", "other validation"}
    assert set(SOUND) == by_itself - by_promise - for_a_person
    assert twin("few digits") is None and twin("zeros").data is PROGRAMS["zeros"].data


def setup(model: keras.Model | None = None, loss: object = "mse") -> Setup:
    keras.backend.clear_session()
    x, y = np.arange(8.0).reshape(4, 2), np.arange(4.0)
    model = model or mlp(2, (4, 4), 1, last=None, kernel_regularizer="l2")
    return Setup(
        model, Split(x, y, x + 1, y + 1), {"optimizer": keras.optimizers.SGD(1.0), "loss": loss}, {"epochs": 1}
    )


def classes(changed: Setup) -> list[str]:
    return [type(layer).__name__ for layer in changed.model.layers]


def test_a_layer_of_another_class_is_put_after_those_that_are_named():
    changed = applied(Remedy("Add Dropout(0.5) after dense and 1 more.", "x = keras.layers.Dropout(0.5)(x)"), setup())
    assert classes(changed) == ["Dense", "Dropout", "Dense", "Dropout", "Dense"]


def test_the_layers_that_are_named_take_the_arguments_that_are_printed_and_keep_the_rest():
    code = 'x = keras.layers.Dense(4, activation="tanh", bias_regularizer="l1")(x)'
    first, second, _ = applied(Remedy("Change dense_1.", code), setup()).model.layers
    assert first.activation is keras.activations.relu and first.bias_regularizer is None
    assert second.activation is keras.activations.tanh and second.bias_regularizer is not None
    assert second.kernel_regularizer is not None


def test_layers_after_in_place_of_are_taken_out():
    code = "\n".join(['x = keras.layers.Dense(7, activation="relu")(x)'] * 3)
    changed = applied(Remedy("Use 3 layers in place of dense and dense_1.", code), setup())
    assert [layer.units for layer in changed.model.layers] == [7, 7, 7, 1]


def test_what_is_called_on_the_inputs_comes_first_and_what_is_called_outputs_last():
    code = "normalization = keras.layers.Normalization()\nnormalization.adapt(x_train)\nx = normalization(inputs)"
    changed = applied(Remedy("Standardize.", code + "\noutputs = keras.layers.Dense(3)(x)"), setup())
    assert classes(changed) == ["Normalization", "Dense", "Dense", "Dense"] and changed.model.output_shape[-1] == 3
    np.testing.assert_allclose(keras.ops.mean(changed.model.layers[0](changed.data.x), axis=0), 0.0, atol=1e-6)


def test_compile_and_fit_get_what_is_printed():
    code = (
        'model.compile(keras.optimizers.SGD(learning_rate=0.5), loss="mae", metrics=[...])\nmodel.fit(x, y, epochs=9)'
    )
    changed = applied(Remedy("Change.", code), setup())
    assert float(changed.compile["optimizer"].learning_rate) == 0.5
    assert changed.compile["loss"] == "mae" and changed.fit == {"epochs": 9}


def test_validation_targets_are_standardized_by_the_numbers_of_the_training_rows():
    code = "mean, std = y_train.mean(axis=0), y_train.std(axis=0) + 1e-7\nmodel.fit(x_train, (y_train - mean) / std)"
    data = applied(Remedy("Standardize.", code), setup()).data
    assert data.y.mean() == pytest.approx(0.0) and data.y_val.mean() == pytest.approx(1 / np.arange(4.0).std())


def test_a_guard_is_put_into_the_loss():
    remedy = Remedy("Keep away from 0.", "value = keras.ops.log(keras.ops.maximum(x, 1e-7))")
    loss = applied(remedy, setup(loss=logarithm)).compile["loss"]
    given = np.array([1.0]), np.array([0.0])
    assert not np.isfinite(logarithm(*given)) and np.isfinite(loss(*given))


def test_what_asks_for_a_person_is_said_not_to_be_mechanical():
    with pytest.raises(NotMechanicalError):
        applied(Remedy("Look at ten rows.", "x, y = x[rows], y[rows]"), setup())
