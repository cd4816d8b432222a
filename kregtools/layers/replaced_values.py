"""Layers that run with other values than those of their variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras


def call_with(layer: keras.Layer, replaced: Mapping[int, Any], inputs: Any, **kwargs: Any) -> Any:
    """Calls a layer with other values in some of its variables; its losses and its new states are as ever.

    Args:
        layer: The layer. It reads its variables as ever, and finds the other values there.
        replaced: The values, by the ids of the variables.
        inputs: What the layer takes.
        **kwargs: Handed on to the layer.
    """
    variables: list[Any] = layer.variables
    values = [(variable, replaced.get(id(variable), variable.value)) for variable in variables]
    scope = keras.StatelessScope(values, collect_losses=True, initialize_variables=False)
    before = dict(scope.state_mapping)
    with scope:
        outputs = layer(inputs, **kwargs)
    for variable in variables:
        if scope.state_mapping[id(variable)] is not before[id(variable)]:
            variable.assign(scope.state_mapping[id(variable)])
    for part in parts_of(layer):
        part.add_loss([loss for loss in scope.losses if id(loss) in part._loss_ids])
    return outputs


def parts_of(layer: keras.Layer) -> list[Any]:
    """The layer and those within it, each once."""
    return list({id(part): part for part in layer._flatten_layers()}.values())
