"""Initializers that know the nonlinearity and the dropout before a kernel."""

from kregtools.initializers.dropout_aware import DropoutAware
from kregtools.initializers.moments import Moments, gain, moments

__all__ = ["DropoutAware", "Moments", "gain", "moments"]
