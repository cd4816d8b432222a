"""What causes propose, in words and in code, for the run at hand."""

import pytest

from kregtools.causes import CAUSES, Cause
from kregtools.record import Record, example
from kregtools.symptoms import Symptom

RULES = {rule.name: rule for rule in CAUSES}
BINARY = {"losses": [{"name": "binary_crossentropy"}]}


def named(cause: str, record: Record, symptom: str, **evidence: float) -> Cause | None:
    return RULES[cause].check(record, {symptom: Symptom(symptom, "warning", "", evidence=evidence)})


def cause(name: str, record: Record, symptom: str, **evidence: float) -> Cause:
    found = named(name, record, symptom, **evidence)
    assert found is not None
    return found


def tensor(name: str = "target", samples: int = 3, **values: float) -> dict:
    return {("", name, statistic): [value] * samples for statistic, value in values.items()}


# ---- wrong_labels


def test_two_classes_are_labelled_0_and_1():
    series = tensor(mean=0.0, std=1.0, min=-1.0, max=1.0)
    found = cause("wrong_labels", example(series=series, facts=BINARY), "negative_loss")
    assert found.remedy.text == (
        "Label the two classes 0 and 1; take `mean_squared_error` if they are numbers. The loss is then never below 0."
    )
    assert found.remedy.code == "y = (y + 1) / 2"


def test_pixels_are_no_two_classes():
    series = tensor(mean=51.0, std=60.0, min=0.0, max=255.0)
    found = cause("wrong_labels", example(series=series, facts=BINARY), "negative_loss")
    assert found.remedy.text == (
        "Scale the targets to 0 to 1 if all of them have the same limits, as pixels have; take `mean_squared_error` "
        "and an output without activation if they are other numbers. The loss is then never below 0."
    )
    assert found.remedy.code == "y = (y - y.min()) / (y.max() - y.min())"


def test_missing_targets_are_dropped_whatever_their_sign():
    series = tensor(mean=0.0, std=1.0, min=-3.0, max=3.0, nonfinite=1.0)
    facts = {"losses": [{"name": "mean_squared_error"}]}
    found = cause("wrong_labels", example(series=series, facts=facts), "nonfinite")
    assert found.remedy.text == ("Find the rows with such labels and mend or drop them. Training should then go on.")
    assert found.remedy.code == "keep = np.isfinite(y).reshape(len(y), -1).all(axis=1)\nx, y = x[keep], y[keep]"


def test_foreign_class_numbers_are_dropped_by_the_width_of_the_output():
    series = tensor(mean=4.0, std=3.0, min=-1.0, max=9.0, labels_out_of_range=2.0)
    facts = {"losses": [{"name": "sparse_categorical_crossentropy"}]}
    found = cause("wrong_labels", example(series=series, facts=facts), "nonfinite")
    assert "class numbers go from 0 to the number of units less 1" in found.remedy.text
    assert "y < model.output_shape[-1]" in found.remedy.code


# ---- wrong_labels against split_mismatch


@pytest.mark.parametrize("best, labels, split", [(0.72, 0.55, 0.45), (1.38, 0.55, 0.45), (1.4, 0.45, 0.55)])
def test_a_validation_loss_far_above_a_constants_speaks_for_other_rows(best, labels, split):
    evidence = {"best_val_loss": best, "constant_loss": 0.7}
    told = [cause(name, example(), "no_generalization", **evidence) for name in ("wrong_labels", "split_mismatch")]
    assert [found.confidence for found in told] == [labels, split]
    assert all(f"{best / 0.7:.0%} of that of a constant" in found.reason for found in told)


# ---- wrong_loss


def whole(low: float, high: float, **more: float) -> dict:
    return tensor(mean=(low + high) / 2, std=(high - low) / 4, min=low, max=high, integer_fraction=1.0, **more)


def counted(units: int, **facts) -> dict:
    output = {"tensor": "output", "target": "target", "shape": [None, units], "activation": "linear"}
    return {"losses": [{"name": "mean_squared_error"}], "outputs": [output], "metrics": ["accuracy"], **facts}


@pytest.mark.parametrize(
    "low, high, told", [(0, 2, True), (3, 9, True), (0, 29, True), (0, 30, False), (25, 346, False)]
)
def test_whole_numbers_are_classes_where_few_of_them_are_asked_for_an_accuracy(low, high, told):
    record = example(series=whole(low, high), facts=counted(1))
    assert bool(named("wrong_loss", record, "underfit")) == told
    assert named("wrong_loss", example(series=whole(low, high), facts=counted(1, metrics=[])), "underfit") is None


def test_whole_numbers_of_many_outputs_are_no_classes():
    assert named("wrong_loss", example(series=whole(0, 9), facts=counted(784)), "underfit") is None


def test_any_two_whole_numbers_are_two_classes():
    series = tensor(mean=51.0, std=102.0, min=0.0, max=255.0, integer_fraction=1.0)
    facts = counted(1, losses=[{"name": "binary_crossentropy"}])
    found = cause("wrong_loss", example(series=series, facts=facts), "negative_loss")
    assert found.remedy.code.startswith('y = (y - 0) / 255\noutputs = keras.layers.Dense(1, activation="sigmoid")(x)')


# ---- insufficient_data


def sized(parameters: int, *classes: str) -> Record:
    layers = [{"name": kind, "class": kind} for kind in classes]
    facts = {"model": {"parameters": parameters}, "fit": {"steps": 10}, "layers": layers}
    return example(series={("", "output", "rows"): [20.0]}, facts=facts)


def test_images_are_augmented():
    found = cause("insufficient_data", sized(5000, "Conv2D", "Dense"), "overfit")
    assert found.remedy.text == (
        "Collect more rows, or make more of these by augmentation; twice as many, 400, show whether the validation "
        "loss gains from it. Otherwise regularize, or shrink the network to about 200 parameters."
    )
    assert "RandomFlip" in found.remedy.code


def test_a_table_is_not():
    found = cause("insufficient_data", sized(500, "Dense"), "overfit")
    assert found.remedy.text == (
        "Collect more rows; twice as many, 400, show whether the validation loss gains from it, as half as many do. "
        "Otherwise regularize."
    )
    assert found.remedy.code == (
        "curve = kregtools.learning_curve(build, x, y, validation_data=(x_val, y_val))  # build() makes the model\n"
        "print(curve.verdict)"
    )


@pytest.mark.parametrize("batch, confidence", [(9.9, 0.7), (10.0, 0.6)])
def test_below_a_hundred_rows_they_come_first(batch, confidence):
    rows = example(
        logs={"loss": [0.6, 0.3, 0.2, 0.1, 0.05], "val_loss": [0.5, 0.35, 0.36, 0.45, 0.5]},
        series={("", "output", "rows"): [batch]},
        facts={"model": {"parameters": 5000}, "fit": {"steps": 10}},
    )
    assert cause("insufficient_data", rows, "overfit").confidence == confidence
    assert cause("insufficient_data", rows, "no_generalization").confidence == min(confidence, 0.5 + 0.2 * (batch < 10))


# ---- unnormalized_input


def first(kind: str, **activation: float) -> Record:
    shown = {("first", "activation", name): [value] * 3 for name, value in activation.items()}
    return example(series=shown, facts={"layers": [{"name": "first", "class": kind}]})


def test_a_normalization_that_hands_on_large_values_was_not_adapted():
    found = cause("unnormalized_input", first("Normalization", rms=58.0, min=0.0, max=437.0), "no_learning")
    assert found.confidence == 0.9
    assert found.reason == "first hands on values from 0 to 437; the weights are made for values of about 1."
    assert found.remedy.text.startswith("Adapt first to the training inputs before `fit`.")
    assert found.remedy.code == 'model.get_layer("first").adapt(x_train)'


@pytest.mark.parametrize("largest, found", [(0.0039, True), (0.011, False)])
def test_a_rescaling_of_what_is_scaled_already_is_told_by_what_it_hands_on(largest, found):
    told = named("unnormalized_input", first("Rescaling", rms=0.5 * largest, min=0.0, max=largest), "no_learning")
    assert (told is not None) is found
    if told is not None:
        assert told.remedy.text.startswith("Choose the scale of first for these inputs, or leave it out")


# ---- too_few_epochs


def test_a_run_without_validation_is_stopped_by_the_training_loss():
    falling = {"loss": [0.690, 0.685, 0.680, 0.675, 0.670, 0.665]}
    found = cause("too_few_epochs", example(logs=falling, facts=BINARY), "underfit")
    assert "stop where the loss falls no more" in found.remedy.text
    assert found.remedy.code == (
        'stop = keras.callbacks.EarlyStopping("loss", patience=5, restore_best_weights=True)\n'
        "model.fit(x, y, epochs=18, callbacks=[stop])"
    )
    found = cause("too_few_epochs", example(logs={**falling, "val_loss": falling["loss"]}, facts=BINARY), "underfit")
    assert "stop where the validation loss rises" in found.remedy.text
    assert 'EarlyStopping("val_loss"' in found.remedy.code and "validation_data=(x_val, y_val)" in found.remedy.code


# ---- what the optimizer was set to


@pytest.mark.parametrize("name", ["lr_too_high", "over_regularization", "schedule_too_short"])
def test_what_the_optimizer_was_set_to_is_kept(name):
    facts = {**BINARY, "optimizer": {"class": "AdamW", "learning_rate": 0.1, "weight_decay": 0.5, "beta_1": 0.95}}
    if name == "schedule_too_short":
        facts["optimizer"]["schedule"] = {"class": "CosineDecay", "initial_learning_rate": 0.1, "decay_steps": 1}
    record = example(logs={"loss": [0.7] * 5}, series={("dense", "kernel", "update_ratio"): [2.0] * 4}, facts=facts)
    code = cause(name, record, "underfit").remedy.code
    kept = ("learning_rate=0.1", "weight_decay=0.005") if name == "over_regularization" else ("weight_decay=0.5",)
    assert all(setting in code for setting in (*kept, "beta_1=0.95"))


def test_another_optimizer_keeps_the_loss_as_it_was():
    facts = {
        "optimizer": {"class": "Adadelta", "learning_rate": 1e-3},
        "losses": [{"name": "sparse_categorical_crossentropy", "from_logits": True}],
    }
    assert cause("wrong_optimizer", example(facts=facts), "underfit").remedy.code == (
        "model.compile(keras.optimizers.Adam(learning_rate=0.001), "
        "loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=[...])"
    )


# ---- bad_init


def test_an_output_whose_square_overflows_is_large():
    series = {
        ("", "input", "rms"): [0.5] * 2,
        **{("rnn", "activation", name): [float("nan")] * 2 for name in ("rms", "std")},
        **{("top", "activation", name): [float("nan")] * 2 for name in ("rms", "std")},
        **{(name, "activation", "nonfinite"): [0.0, 32.0] for name in ("rnn", "top")},
    }
    found = cause("bad_init", example(series=series), "nonfinite")
    assert found.reason == (
        "Before the first update the output of rnn is so large that its square overflows, with an input of about 0.5."
    )
    not_measured = {key: values for key, values in series.items() if key[2] != "nonfinite"}
    assert named("bad_init", example(series=not_measured), "nonfinite") is None


def test_an_initializer_is_enough_where_no_weights_were_measured():
    hidden = {"name": "hidden", "class": "Dense", "units": 8, "weights": ["kernel"]}
    facts = {"layers": [{**hidden, "kernel_initializer": {"class": "Zeros"}}, {**hidden, "name": "top"}]}
    assert cause("bad_init", example(facts=facts), "no_learning").reason == (
        "hidden starts from Zeros: no two units differ."
    )
    measured = {("hidden", "kernel", "weight_norm"): [1.0]}
    assert named("bad_init", example(facts=facts, series=measured), "no_learning") is None


# ---- wrong_output_activation


@pytest.mark.parametrize(
    "backend, layer, confidence",
    [("tensorflow", "top", 0.3), ("jax", "top", 0.9), ("tensorflow", "flatten", 0.9), (None, "top", 0.9)],
)
def test_a_softmax_before_a_loss_of_logits_is_undone_on_tensorflow(backend, layer, confidence):
    """Unless a layer comes after the activation."""
    facts = {
        "losses": [{"name": "categorical_crossentropy", "from_logits": True, "target": "target"}],
        "outputs": [
            {"tensor": "output", "target": "target", "shape": [None, 3], "activation": "softmax", "layer": layer}
        ],
        "layers": [
            {"name": "top", "class": "Dense", "activation": "softmax"},
            {"name": "flatten", "class": "Flatten", "activation": None},
        ],
        "versions": {"backend": backend},
    }
    found = cause("wrong_output_activation", example(facts=facts), "no_learning")
    assert found.confidence == confidence
    assert ("on TensorFlow Keras takes the values from before it" in found.reason) == (confidence < 0.5)


def stacked(*activations: str | None, loss: str = "sparse_categorical_crossentropy") -> Record:
    """A layer with a kernel, and after it layers that are an activation each."""
    layers = [
        {"name": f"layer_{index}", "class": "Activation" if index else "Dense", "activation": activation}
        for index, activation in enumerate(activations)
    ]
    layers[0]["weights"] = ["kernel"]
    output = {"tensor": "output", "target": "target", "shape": [None, 3], "layer": layers[-1]["name"]}
    facts = {
        "losses": [{"name": loss, "target": "target"}],
        "outputs": [{**output, "activation": activations[-1]}],
        "layers": layers,
    }
    return example(facts=facts)


@pytest.mark.parametrize(
    "activations, limited",
    [
        (("relu", "softmax"), "relu of layer_0"),
        (("softmax", "softmax"), "softmax of layer_0"),
        (("linear", "tanh", "softmax"), "tanh of layer_1"),
        (("linear", "softmax"), None),
        (("gelu", "softmax"), None),
        (("softmax",), None),
    ],
)
def test_a_softmax_by_itself_is_given_logits_of_any_size(activations, limited):
    found = named("wrong_output_activation", stacked(*activations), "underfit")
    if limited is None:
        assert found is None
        return
    assert found is not None and found.confidence == 0.8
    assert found.reason == f"What the last softmax is given went through the {limited} before."


def test_a_sigmoid_cannot_give_what_a_hinge_loss_asks_for():
    series = tensor(mean=0.5, std=0.5, min=0.0, max=1.0)
    facts = counted(1, losses=[{"name": "hinge", "target": "target"}])
    facts["outputs"] = [{**facts["outputs"][0], "activation": "sigmoid"}]
    found = cause("wrong_output_activation", example(series=series, facts=facts), "underfit")
    assert found.reason == "The targets range from -1 to 1, and sigmoid gives 0 to 1."


@pytest.mark.parametrize(
    "target, said", [("target", "The targets have"), ("target:price", "The targets of output price have")]
)
def test_targets_that_are_far_away_are_named_where_there_are_several(target, said):
    series = {**tensor(target, mean=2e5, std=1e5, min=1e4, max=9e5), **tensor("output", mean=0.0, std=1.0)}
    facts = {
        "losses": [{"name": "mean_squared_error", "target": target}],
        "outputs": [{"tensor": "output", "target": target, "shape": [None, 1]}],
    }
    found = cause("unnormalized_target", example(series=series, facts=facts), "underfit")
    assert found.reason.startswith(said) and "y_train.std(axis=0) + 1e-7" in found.remedy.code


# ---- overfit of labels that hold nothing


@pytest.mark.parametrize("lowest, regularization, noise", [(0.65, 0.9, 0.4), (0.66, 0.3, 0.65), (0.75, 0.3, 0.65)])
def test_what_was_never_better_than_a_constant_is_noise_rather_than_a_lack_of_regularization(
    lowest, regularization, noise
):
    evidence = {"lowest_val_loss": lowest, "final_val_loss": 1.0, "onset_epoch": 1.0}
    record = example(facts=BINARY)
    assert cause("missing_regularization", record, "overfit", **evidence).confidence == regularization
    assert cause("label_noise", record, "overfit", **evidence).confidence == noise
    promised = (
        "The validation loss should then end below 1."
        in cause("missing_regularization", record, "overfit", **evidence).remedy.text
    )
    assert promised is (regularization == 0.9)


def test_where_nothing_generalizes_the_labels_are_looked_at_before_their_noise():
    evidence = {"lowest_val_loss": 0.75, "final_val_loss": 1.0, "onset_epoch": 1.0}
    symptoms = {name: Symptom(name, "warning", "", evidence=evidence) for name in ("overfit", "no_generalization")}
    found = RULES["label_noise"].check(example(facts=BINARY), symptoms)
    assert found is not None and found.confidence == 0.4
