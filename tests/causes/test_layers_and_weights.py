"""Causes that lie in the layers: what follows on what, how it was drawn, what comes last, how fast averages are."""

import pytest
from test_remedies import BINARY, RULES, cause, tensor

from kregtools.record import example
from kregtools.symptoms import Symptom

# ---- missing_nonlinearity


@pytest.mark.parametrize(
    "model, confidence",
    [({"functions": []}, 0.9), ({"functions": ["Relu"]}, 0.65), ({"class": "Sequential"}, 0.9), ({}, 0.65)],
)
def test_layers_in_a_row_are_linear_for_sure_where_no_function_is_called_between_them(model, confidence):
    layers = [
        {"name": name, "class": "Dense", "units": units, "activation": "linear", "weights": ["kernel"], "inbound": fed}
        for name, units, fed in (("hidden", 16, []), ("last", 1, ["hidden"]))
    ]
    record = example(facts={**BINARY, "model": model, "layers": layers})
    assert cause("missing_nonlinearity", record, "underfit").confidence == pytest.approx(confidence)


# ---- bad_init


def test_a_recurrence_drawn_too_large_is_given_what_keras_gives_it():
    drawn = {name: {"class": "RandomNormal"} for name in ("kernel", "recurrent")}
    cell = {"name": "gru_cell", "class": "GRUCell", "units": 25, "weights": ["kernel"], "initializers": drawn}
    last = {"name": "last", "class": "Dense", "weights": ["kernel"]}
    series = {
        ("gru_cell", "kernel", "weight_norm"): [8.0, 9.0],
        ("gru_cell", "recurrent_kernel", "weight_norm"): [10.0 * 75**0.5 * 2, 9.0],
    }
    found = cause(
        "bad_init",
        example(series=series, facts={"layers": [cell, last]}),
        "exploding_gradient",
    )
    assert found.reason == (
        "Before the first update the weights of a unit in the recurrent kernel of gru_cell, drawn by RandomNormal, "
        "have a norm of 20; about 1 keeps the scale, and up to 10 is healthy."
    )
    assert found.remedy.text == (
        "Leave the initializers and the activation of gru_cell at what Keras gives them: Glorot, orthogonal for the "
        "recurrence, and tanh. The output then has the same std after every time step."
    )
    assert found.remedy.code == ('x = keras.layers.GRU(25, activation="tanh", recurrent_initializer="orthogonal")(x)')


# ---- wrong_output_activation


def test_the_output_of_a_poisson_loss_is_made_positive():
    output = {"tensor": "output", "target": "target", "shape": [None, 1], "activation": "linear"}
    facts = {"losses": [{"name": "poisson", "target": "target"}], "outputs": [output]}
    found = cause(
        "wrong_output_activation", example(series=tensor(mean=3.0, std=2.0, min=0.0, max=9.0), facts=facts), "nonfinite"
    )
    assert found.reason == (
        "poisson takes the logarithm of the output, and the last activation, linear, lets it be negative."
    )
    assert found.remedy.text == (
        "Use the activation softplus on 1 output unit, with poisson. The loss should then start near that of the best "
        "constant prediction, and fall."
    )
    assert found.remedy.code.startswith('outputs = keras.layers.Dense(1, activation="softplus")(x)')


# ---- slow_moving_average


def lagging(steps: int, epochs: int, **momenta: float):
    layers = [{"name": name, "class": "BatchNormalization", "momentum": value} for name, value in momenta.items()]
    record = example(facts={"layers": layers, "fit": {"steps": steps, "epochs": epochs}})
    for epoch in range(epochs):
        record.add_epoch(epoch, steps * (epoch + 1) - 1, {"loss": 1.0})
    return record


def behind(record, *layers: str):
    found = {"moving_average_lag": Symptom("moving_average_lag", "warning", "", layers)}
    return RULES["slow_moving_average"].check(record, found)


def test_the_momentum_is_that_of_the_layers_that_lag():
    found = behind(lagging(20, 3, fast=0.95, slow=0.999), "fast")
    assert found.reason == (
        "A momentum of 0.95 remembers 20 steps: after 60 steps 5% of an average is still what it was before training."
    )
    assert "Give fast a momentum of 0.75" in found.remedy.text


@pytest.mark.parametrize("steps, momentum", [(9, 0.99), (20, 0.75), (20, 0.3)])
def test_where_no_lower_momentum_is_fast_enough_statistics_are_taken_anew(steps, momentum):
    remedy = behind(lagging(steps, 2, norm=momentum), "norm").remedy
    assert remedy.text == (
        "Take the statistics anew before each validation, which leaves training as it is: no momentum is fast enough "
        f"for epochs of {steps} steps. The validation loss should then follow the training loss."
    )
    assert remedy.code == (
        "model.fit(x_train, y_train, callbacks=[kregtools.callbacks.RecalibrateBatchNorm(x_train), ...])"
    )


def test_after_many_steps_the_weights_are_what_is_fast():
    assert "after 1,000 steps the weights still change faster than that" in behind(lagging(100, 10, n=0.9), "n").reason
