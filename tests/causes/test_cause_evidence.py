"""What causes read of a record, and the code they propose."""

import numpy as np
import pytest

from kregtools.causes.evidence import (
    Name,
    accuracy,
    clipped,
    compile_with,
    head_code,
    hidden_layers,
    joined,
    kernel_updates,
    largest,
    layer_code,
    layers,
    loss_code,
    optimizer,
    plain_layers,
    row_losses,
)
from kregtools.record import Record, example

NAN = float("nan")


def network(*kinds: str | None):
    """Layers of these classes, each with a kernel where it is a class that has one."""
    facts = [{"name": f"layer_{index}", "class": kind} for index, kind in enumerate(kinds)]
    bare = ("Dropout", "Flatten", "Activation")
    return [{**layer, "weights": [] if layer["class"] in bare else ["bias", "kernel"]} for layer in facts]


def test_facts_that_are_missing_are_none():
    for facts in ({}, {"layers": None, "optimizer": None}):
        assert layers(example(facts=facts)) == [] and hidden_layers(example(facts=facts)) == []
        assert optimizer(example(facts=facts)) == {} and plain_layers(example(facts=facts)) == []
    assert optimizer(example(facts={"optimizer": {"class": "Adam"}})) == {"class": "Adam"}


def test_hidden_layers_have_a_kernel_and_are_not_the_last():
    record = example(facts={"layers": [*network("Dense", "Dropout", "LSTM", None, "Dense"), {"name": "no_weights"}]})
    assert [layer["name"] for layer in hidden_layers(record)] == ["layer_0", "layer_2", "layer_3"]


def test_several_outputs_are_no_hidden_layers():
    facts = [
        {"name": "trunk", "class": "Dense", "weights": ["kernel"], "inbound": []},
        {"name": "left", "class": "Dense", "weights": ["kernel"], "inbound": ["trunk"]},
        {"name": "right", "class": "Dense", "weights": ["kernel"], "inbound": ["trunk"]},
        {"name": "softmax", "class": "Softmax", "weights": [], "inbound": ["right"]},
    ]
    record = example(facts={"layers": facts, "outputs": [{"layer": "left"}, {"layer": "softmax"}]})
    assert [layer["name"] for layer in hidden_layers(record)] == ["trunk"]


def test_a_model_within_the_model_is_no_layer_of_its_own():
    inner = {"name": "inner", "class": "Sequential", "weights": ["kernel", "kernel"]}
    record = example(facts={"layers": [inner, *network("Dense", "Dense")]})
    assert [layer["name"] for layer in hidden_layers(record)] == ["layer_0"]


def test_plain_layers_are_dense_or_convolutional():
    record = example(facts={"layers": network("Dense", "Conv2D", "LSTM", None, "DepthwiseConv2D", "Conv1D", "Dense")})
    assert [layer["name"] for layer in plain_layers(record)] == ["layer_0", "layer_1", "layer_5"]


def test_the_updates_of_kernels():
    series = {("a", "kernel", "update_ratio"): [1, 2], ("a", "bias", "update_ratio"): [5, 6]}
    names, values = kernel_updates(example(series=series))
    assert names == ["a"] and values.tolist() == [[1], [2]]


def test_the_largest_finite_value():
    assert largest(np.array([[1.0, NAN], [3.0, np.inf]])) == 3.0
    assert np.isnan(largest(np.array([NAN]))) and np.isnan(largest(np.array([])))


def losses(*named: str | None, **settings):
    return {"losses": [{"name": name, **settings} for name in named]}


@pytest.mark.parametrize(
    "facts, code",
    [
        (losses("mean_squared_error"), '"mean_squared_error"'),
        (losses("binary_crossentropy"), '"binary_crossentropy"'),
        (losses("sparse_categorical_crossentropy", from_logits=False), '"sparse_categorical_crossentropy"'),
        (
            losses("binary_focal_crossentropy", from_logits=True),
            "keras.losses.BinaryFocalCrossentropy(from_logits=True)",
        ),
        (
            losses("categorical_crossentropy", from_logits=True),
            "keras.losses.CategoricalCrossentropy(from_logits=True)",
        ),
        (losses("my_own", from_logits=True), "loss"),
        (losses(None), "loss"),
        (losses("huber", "huber"), "loss"),
        ({"losses": None}, "loss"),
        ({}, "loss"),
    ],
)
def test_the_loss_as_it_is_given_to_compile(facts, code):
    assert loss_code(example(facts=facts)) == code


@pytest.mark.parametrize(
    "facts, arguments",
    [
        ({"class": "SGD", "momentum": 0.9, "nesterov": True}, "SGD(learning_rate=0.05, momentum=0.9, nesterov=True)"),
        ({"class": "SGD", "momentum": 0.0, "nesterov": False}, "SGD(learning_rate=0.05)"),
        ({"class": "SGD", "momentum": 0.899999976}, "SGD(learning_rate=0.05, momentum=0.9)"),
        ({"class": "RMSprop", "rho": 0.9}, "RMSprop(learning_rate=0.05)"),
        ({"class": "RMSprop", "rho": 0.95, "learning_rate": 3.0}, "RMSprop(learning_rate=0.05, rho=0.95)"),
        (
            {"class": "AdamW", "beta_1": 0.9, "beta_2": 0.95, "weight_decay": 0.01, "global_clipnorm": 1.0},
            "AdamW(learning_rate=0.05, beta_2=0.95, weight_decay=0.01, global_clipnorm=1.0)",
        ),
        ({"class": None}, "Adam(learning_rate=0.05)"),
        (None, "Adam(learning_rate=0.05)"),
    ],
)
def test_the_line_that_compiles_again(facts, arguments):
    record = example(facts={"optimizer": facts, **losses("huber")})
    assert compile_with(record, learning_rate=0.0500000007) == (
        f'model.compile(keras.optimizers.{arguments}, loss="huber", metrics=[...])'
    )


def test_a_setting_that_is_changed_is_not_also_kept():
    facts = {"class": "SGD", "learning_rate": 0.1, "clipnorm": 0.001, "weight_decay": 0.5}
    record = example(facts={"optimizer": facts})
    assert "SGD(learning_rate=0.1, weight_decay=0.01, clipnorm=0.001)" in compile_with(record, weight_decay=0.01)
    # Keras takes one way of clipping.
    assert "SGD(learning_rate=0.1, weight_decay=0.5, global_clipnorm=1.0)" in compile_with(record, global_clipnorm=1.0)


def test_a_schedule_that_is_left_out_is_named():
    record = example(facts={"optimizer": {"class": "SGD", "schedule": {"class": "CosineDecay"}}})
    assert compile_with(record, learning_rate=0.1).endswith(
        "metrics=[...])  # without its CosineDecay, which may start from this rate"
    )
    assert compile_with(record, learning_rate=Name("schedule")) == (
        "model.compile(keras.optimizers.SGD(learning_rate=schedule), loss=loss, metrics=[...])"
    )


@pytest.mark.parametrize(
    "facts, made",
    [
        (losses("sparse_categorical_crossentropy"), "keras.losses.SparseCategoricalCrossentropy(reduction=None)"),
        (
            losses("binary_crossentropy", from_logits=True),
            "keras.losses.BinaryCrossentropy(from_logits=True, reduction=None)",
        ),
        (losses("mean_squared_error"), "keras.losses.MeanSquaredError(reduction=None)"),
        (losses("my_own"), "loss"),
        (losses("huber", "huber"), "loss"),
        ({}, "loss"),
    ],
)
def test_the_line_that_computes_the_loss_of_each_row(facts, made):
    assert row_losses(example(facts=facts)) == f"losses = {made}(y, model.predict(x))"


@pytest.mark.parametrize(
    "name, labels, predictions",
    [
        ("sparse_categorical_crossentropy", [0, 2, 1], [[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.8, 0.1, 0.1]]),
        ("binary_crossentropy", [0, 1, 1], [[0.1], [0.9], [0.1]]),
        ("mean_absolute_error", [0.0, 1.0, 5.0], [[0.1], [0.9], [0.1]]),
    ],
)
def test_the_loss_of_each_row_is_largest_for_the_wrong_one(name, labels, predictions):
    import keras

    class Model:
        def predict(self, x):
            return np.array(predictions, "float32")

    scope = {"keras": keras, "y": np.array(labels), "x": None, "model": Model()}
    exec(row_losses(example(facts=losses(name))), scope)
    assert keras.ops.convert_to_numpy(keras.ops.argsort(scope["losses"])).tolist()[-1] == 2


def test_settings_that_are_no_floats_stay_as_they_are():
    assert "SGD(learning_rate=1, nesterov=True)" in compile_with(
        example(facts={"optimizer": {"class": "SGD"}}), learning_rate=1, nesterov=True
    )
    assert "learning_rate=1.23457e-05" in compile_with(example(), learning_rate=1.23456789e-5)


@pytest.mark.parametrize(
    "names, sentence",
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "c", "d"], "a, b, c and d"),
        (["a", "b", "c", "d", "e"], "a, b, c, d and 1 more"),
        (list("abcdefg"), "a, b, c, d and 3 more"),
    ],
)
def test_names_in_a_sentence(names, sentence):
    assert joined(names) == sentence


def test_fewer_names_in_a_sentence():
    assert joined(["a", "b", "c"], 1) == "a and 2 more"


@pytest.mark.parametrize(
    "layer, units, arguments, code",
    [
        ({"class": "Dense", "units": 64, "activation": "tanh"}, None, {}, 'Dense(64, activation="tanh")'),
        (
            {"class": "Dense", "units": 64, "activation": "tanh"},
            9,
            {"activation": '"gelu"'},
            'Dense(9, activation="gelu")',
        ),
        (
            {"class": "Conv2D", "units": 8},
            None,
            {"use_bias": "False"},
            'Conv2D(8, kernel_size, activation="relu", use_bias=False)',
        ),
        ({"class": None, "activation": None}, None, {}, 'Dense(units, activation="relu")'),
    ],
)
def test_the_line_that_makes_a_layer(layer, units, arguments, code):
    assert layer_code(layer, units, **arguments) == f"x = keras.layers.{code}(x)"


def test_the_lines_that_make_an_output():
    assert head_code(3, "softmax", "huber") == (
        'outputs = keras.layers.Dense(3, activation="softmax")(x)\n'
        'model.compile(optimizer, loss="huber", metrics=[...])'
    )


@pytest.mark.parametrize(
    "logs, last",
    [
        ({"accuracy": [0.5, 0.6, 0.7]}, 0.7),
        ({"my_acc": [0.5, 0.7], "val_accuracy": [0.1, 0.2]}, 0.7),
        ({"val_accuracy": [0.1, 0.2], "val_acc": [0.1, 0.2]}, None),
        ({"mae": [0.1, 0.2]}, None),
        ({"accuracy": [0.5, NAN]}, None),
        ({}, None),
    ],
)
def test_the_last_training_accuracy(logs, last):
    assert accuracy(example(logs=logs)) == last


def test_an_accuracy_that_the_last_epoch_lacks_is_not_the_last():
    record = Record()
    record.add_epoch(0, 9, {"acc": 0.5})
    record.add_epoch(1, 19, {"accuracy": 0.6})
    assert accuracy(record) == 0.6


SGD = {"class": "SGD", "learning_rate": 0.1}


@pytest.mark.parametrize(
    "depth, facts, clips",
    [
        (8, SGD, True),
        (7, SGD, False),
        (8, {**SGD, "class": "Adam"}, False),
        (8, {**SGD, "schedule": "CosineDecay"}, False),
        (8, {"class": "SGD"}, False),
        (8, None, False),
    ],
)
def test_gradients_that_come_through_a_deep_network_are_clipped_under_sgd(depth, facts, clips):
    text, code = clipped(example(facts={"layers": network(*["Dense"] * (depth + 1)), "optimizer": facts}))
    if not clips:
        assert (text, code) == ("", "")
        return
    assert text == " Steps become larger: clip the gradients to a norm of 1."
    assert code == (
        "\nmodel.compile(keras.optimizers.SGD(learning_rate=0.1, global_clipnorm=1.0), loss=loss, metrics=[...])"
    )
