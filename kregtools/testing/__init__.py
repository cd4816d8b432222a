"""Conformance checks for objects of Keras, ours and those of others."""

from kregtools.testing.initializers import KERNEL_SHAPES, check_initializer
from kregtools.testing.layers import check_layer

__all__ = ["KERNEL_SHAPES", "check_initializer", "check_layer"]
