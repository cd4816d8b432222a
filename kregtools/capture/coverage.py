"""What of each layer is watched, and why the rest is not."""

from __future__ import annotations

from typing import Any

import keras

from kregtools.capture.names import cells, named_layers, variable_names

GRADIENT = "activation gradient"


class Coverage:
    """Fills up while a step is traced.

    Args:
        model: The model that is watched.
        details: Whether the gradients of activations are asked for.

    Attributes:
        weighted: Whether the rows of the batch have weights.
    """

    weighted = False

    def __init__(self, model: keras.Model, details: bool) -> None:
        self._model, self._details = model, details
        self._watched: dict[str, list[str]] = {}
        self._reasons: dict[str, list[str]] = {}
        self._expected: dict[str, bool] = {}
        self._called: set[str] = set()

    def called(self, layer: str) -> None:
        """Notes that the layer is called in the step."""
        self._called.add(layer)

    def seen(self, layer: str, what: str) -> None:
        """Notes that something of the layer is watched: its activation, a gradient, a variable."""
        watched = self._watched.setdefault(layer, [])
        if what not in watched:
            watched.append(what)

    def missed(self, layer: str, reason: str) -> None:
        """Notes why something of the layer is not watched."""
        reasons = self._reasons.setdefault(layer, [])
        if reason not in reasons:
            reasons.append(reason)

    def failed(self, layer: str, what: str, error: Exception) -> None:
        """Notes that something of the layer could not be measured."""
        self.missed(layer, f"measuring {what} failed ({type(error).__name__}: {error})")

    def expects_gradient(self, layer: str, fused: bool) -> None:
        """Notes that the gradient of the layer's activation was asked for; `fused` with the loss it has none."""
        self._expected[layer] = fused

    def rows(self) -> list[dict[str, Any]]:
        """One row a layer, in forward order: name, class, what is watched, and the reason for what is not.

        Models in the model have a row where they have weights of their own. What failed of the model as a whole has a
        row whose layer is "".
        """
        inner = cells(self._model)
        weights: dict[str, list[str]] = {}
        for layer, name in variable_names(self._model).values():
            weights.setdefault(layer, []).append(name)
        rows = [self._row("", self._model, self._reasons[""])] if "" in self._reasons else []
        for name, layer in named_layers(self._model):
            own = weights.get(name, [])
            if isinstance(layer, keras.Model) and not own:
                continue
            watched = self._watched.get(name, [])
            reasons = [*self._reasons.get(name, []), *self._unwatched(name, layer, id(layer) in inner)]
            missing = [weight for weight in own if weight not in watched]
            if missing and layer.trainable and not any("gradient reaches" in reason for reason in reasons):
                reasons.append(f"no optimizer was seen that updates its {', '.join(missing)}")
            rows.append(self._row(name, layer, reasons))
        return rows

    def _row(self, name: str, layer: keras.Layer, reasons: list[str]) -> dict[str, Any]:
        watched = ", ".join(self._watched.get(name, []))
        return {"layer": name, "class": type(layer).__name__, "watched": watched, "reason": "; ".join(reasons)}

    def _unwatched(self, name: str, layer: keras.Layer, is_cell: bool) -> list[str]:
        watched = self._watched.get(name, [])
        reasons = []
        if isinstance(layer, keras.Model):
            reasons.append("its activation: that of the layers in it is watched instead")
        elif is_cell:
            reasons.append("its activation: it runs inside the loop of a recurrent layer")
        elif name not in self._called:
            reasons.append("it is not called in the training step")
        if "activation" in watched and GRADIENT not in watched:
            reasons.append(self._without_gradient(name))
        if layer.weights and not layer.trainable:
            reasons.append("its weights: they are frozen")
        return reasons

    def _without_gradient(self, name: str) -> str:
        if not self._details:
            return f"its {GRADIENT}: `details` are off"
        if self._expected.get(name):
            return f"its {GRADIENT}: the loss is computed from the logits, past this activation"
        return f"its {GRADIENT}: none reaches it"
