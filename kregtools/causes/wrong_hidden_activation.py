"""Hidden activations that do not let the gradient through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import BLOWN_UP, CUT_OFF, STALLED, clipped, joined, layer_code
from kregtools.record import Record, example
from kregtools.symptoms import Symptom
from kregtools.symptoms.evidence import consumers, layer_facts, output_layers

SQUASHING = ("sigmoid", "hard_sigmoid")
CENTERED = ("tanh", "hard_tanh", "softsign")
MANY = 3
DEEP = 5
RECURRENT = ("SimpleRNN", "LSTM", "GRU")
UNBOUNDED = ("relu", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "linear")
GATED = ("Multiply", "Dot", "Attention")
FAILING = {("dense_0", "kernel", "gradient_rms"): [1e-9] * 4, ("dense_8", "kernel", "gradient_rms"): [1e-2] * 4}
STUCK = {"loss": [0.7, 0.69]}


def _stack(*activations: str, name: str = "Dense") -> dict[str, Any]:
    layers = [
        {"name": f"dense_{index}", "class": name, "activation": activation, "units": 16, "weights": ["bias", "kernel"]}
        for index, activation in enumerate(activations)
    ]
    return {"layers": layers, "outputs": [{"layer": f"dense_{len(layers) - 1}", "tensor": "output"}]}


class WrongHiddenActivation(CauseRule):
    """Hidden layers use an activation that stops the gradient.

    How it is told: a hidden dense or convolutional layer is a softmax; or three and more are sigmoids; or five and
    more are tanh and gradients vanish or activations saturate, where an initializer for tanh does as well. One or
    two sigmoids count where activations saturate. Gates, which a multiplication follows, are left out, and of
    recurrent layers only those count that have no bound, where values or gradients blow up: what such a layer puts out
    it is given again at the next step. Layers without any activation are `missing_nonlinearity`.

    What to do: relu with `"he_normal"`, in all hidden layers; tanh in recurrent ones.

    Threshold: the derivative of a sigmoid is at most 1/4, that of three at most 1/64; a softmax of n units leaves
    each about 1/n. Glorot & Bengio (2010) show sigmoids of four layers saturate from the start.
    """

    name = "wrong_hidden_activation"
    explains = (*STALLED, *CUT_OFF, *BLOWN_UP)
    SICK: ClassVar = (
        example(logs=STUCK, series=FAILING, facts=_stack(*["sigmoid"] * 8, "softmax")),
        example(logs=STUCK, series=FAILING, facts=_stack("relu", "softmax", "relu", "softmax")),
        example(logs=STUCK, series=FAILING, facts=_stack(*["tanh"] * 8, "softmax")),
        example(logs={"loss": [0.7, float("nan")]}, facts=_stack("relu", "softmax", name="SimpleRNN")),
    )
    HEALTHY: ClassVar = (
        example(logs=STUCK, series=FAILING, facts=_stack(*["relu"] * 8, "softmax")),
        example(logs=STUCK, series=FAILING, facts=_stack("relu", "sigmoid", "relu", "softmax")),
        example(logs=STUCK, series=FAILING, facts=_stack("tanh", "tanh", "sigmoid")),
        example(logs=STUCK, series=FAILING, facts=_stack(*["sigmoid"] * 4, name="LSTM")),
        example(logs=STUCK, series=FAILING),
        example(logs={"loss": [0.7, float("nan")]}, facts=_stack("tanh", "softmax", name="LSTM")),
        example(logs=STUCK, series=FAILING, facts=_stack("relu", "softmax", name="GRU")),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        hidden = _hidden(record)
        softmax, sigmoid, tanh = (
            [layer for layer in hidden if layer.get("activation") in kind]
            for kind in (("softmax",), SQUASHING, CENTERED)
        )
        saturated = "saturated_activation" in symptoms
        if softmax:
            return self._found(
                record, symptoms, softmax, 0.9, "the softmax makes its units compete, and leaves little of each"
            )
        if len(sigmoid) >= MANY or (sigmoid and saturated):
            confidence = min(0.92, 0.6 + 0.05 * len(sigmoid)) + (0.03 if len(sigmoid) >= MANY else 0.0)
            return self._found(
                record, symptoms, sigmoid, confidence, "a sigmoid passes on a quarter of the gradient at most"
            )
        if len(tanh) >= DEEP and (saturated or "vanishing_gradient" in symptoms):
            why = "a tanh passes on little of the gradient away from 0; smaller initial weights do the same as relu"
            return self._found(record, symptoms, tanh, 0.5, why)
        blown = {name: symptom for name, symptom in symptoms.items() if name in BLOWN_UP}
        return self._unbounded(record, blown) if blown else None

    def _unbounded(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        """Recurrent layers whose state nothing keeps from growing."""
        wrong = [
            layer
            for layer in layer_facts(record).values()
            if layer.get("class") in RECURRENT and layer.get("activation") in UNBOUNDED
        ]
        if not wrong:
            return None
        names = joined([layer["name"] for layer in wrong])
        return self.found(
            symptoms,
            0.8,
            f"The activation of {names} is {wrong[0]['activation']}, which has no bound: a recurrent layer is given "
            "its own output again at every step of a sequence.",
            Remedy(
                f"Use tanh in {names}, which is what Keras uses there. The values should then stay between -1 and 1.",
                layer_code({**wrong[0], "activation": "tanh"}),
            ),
        )

    def _found(
        self, record: Record, symptoms: Mapping[str, Symptom], wrong: list[dict[str, Any]], confidence: float, why: str
    ) -> Cause:
        names, activation = [layer["name"] for layer in wrong], wrong[0]["activation"]
        steps, code = clipped(record)
        return self.found(
            symptoms,
            confidence,
            f"The activation of {joined(names)} is {activation}: {why}.",
            Remedy(
                f'Use relu in {joined(names)}, with the initializer "he_normal". Every layer should then get a '
                f"gradient of the same size from the first step on.{steps}",
                (
                    layer_code({**wrong[0], "activation": "relu"}, kernel_initializer='"he_normal"')
                    if wrong[0].get("class") != "Activation"
                    else 'x = keras.layers.Activation("relu")(x)'
                )
                + code,
            ),
        )


def _hidden(record: Record) -> list[dict[str, Any]]:
    """The layers that a hidden activation belongs to, gates left out."""
    facts, fed, outputs = layer_facts(record), consumers(record), output_layers(record)
    return [
        layer
        for name, layer in facts.items()
        if name not in outputs
        and (layer.get("class") or "").startswith(("Dense", "Conv", "Activation"))
        and not any((facts.get(after, {}).get("class") or "").endswith(GATED) for after in fed[name])
    ]
