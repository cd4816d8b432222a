"""Every layer and variable of a model has one name of its own, however they are nested and called."""

from collections import Counter

import keras
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from kregtools.capture.names import layer_names, named_layers, variable_names

# Some of them are what a second layer of the same name might be called.
NAMES = st.sampled_from(["a", "b", "a_1", "a_2", "a_3"])
LEAVES = st.tuples(NAMES, st.lists(NAMES, max_size=3))
NESTED = st.recursive(
    LEAVES, lambda inner: st.tuples(NAMES, st.booleans(), st.lists(inner | st.just("again"), max_size=4)), max_leaves=10
)


class Leaf(layers.Layer):
    def __init__(self, name: str, weights: list[str]) -> None:
        super().__init__(name=name)
        self.kept = [self.add_weight(shape=(), name=weight) for weight in weights]


class LayerOfLayers(layers.Layer):
    def __init__(self, name: str, parts: list[layers.Layer]) -> None:
        super().__init__(name=name)
        self.parts = parts


class ModelOfLayers(keras.Model):
    def __init__(self, name: str, parts: list[layers.Layer]) -> None:
        super().__init__(name=name)
        self.parts = parts
        self.own = self.add_weight(shape=(), name="a")


def made(plan: tuple, before: list[layers.Layer]) -> layers.Layer:
    """What a plan describes; `"again"` is a layer that is there already."""
    if len(plan) == 2:
        found: layers.Layer = Leaf(*plan)
    else:
        name, is_model, inner = plan
        parts = [before[-1] if part == "again" else made(part, before) for part in inner if part != "again" or before]
        found = (ModelOfLayers if is_model else LayerOfLayers)(name, parts)
    before.append(found)
    return found


def model(plans: list[tuple]) -> keras.Model:
    before: list[layers.Layer] = []
    return ModelOfLayers("model", [made(plan, before) for plan in plans])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(NESTED, min_size=1, max_size=4))
def test_names_are_unique_complete_and_the_same_of_a_model_built_again(plans):
    one, other = model(plans), model(plans)
    names = layer_names(one)
    assert len(set(names.values())) == len(names)
    assert names.keys() == {id(layer) for layer in one._flatten_layers(include_self=False)}
    assert [name for name, _ in named_layers(one)] == [name for name, _ in named_layers(other)]
    assert [names[id(layer)] for _, layer in named_layers(one)] == [name for name, _ in named_layers(one)]
    alone = Counter(layer.name for _, layer in named_layers(one))
    assert all(name == layer.name for name, layer in named_layers(one) if alone[layer.name] == 1)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(NESTED, min_size=1, max_size=4))
def test_every_variable_is_that_of_its_layer_and_has_a_name_of_its_own(plans):
    one, other = model(plans), model(plans)
    names, layer_of = variable_names(one), layer_names(one)
    assert names.keys() == {id(variable) for variable in one.trainable_variables}
    assert len(set(names.values())) == len(names)
    for layer in one._flatten_layers(include_self=False):
        assert {names[id(variable)][0] for variable in layer._trainable_variables} <= {layer_of[id(layer)]}
    again = variable_names(other)
    ordered = zip(one.trainable_variables, other.trainable_variables, strict=True)
    assert all(names[id(a)] == again[id(b)] for a, b in ordered)
