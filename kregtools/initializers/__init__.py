"""Initializers that know the nonlinearity and the dropout before a kernel, and functions that look at the data."""

from kregtools.initializers.data_dependent import data_dependent_init
from kregtools.initializers.delta_orthogonal import DeltaOrthogonal
from kregtools.initializers.dirac import Dirac
from kregtools.initializers.dropout_aware import DropoutAware
from kregtools.initializers.fixup import FixupReport, fixup
from kregtools.initializers.lsuv import lsuv
from kregtools.initializers.moments import Moments, gain, moments
from kregtools.initializers.report import InitializationReport, LayerScale
from kregtools.initializers.semi_orthogonal import SemiOrthogonal
from kregtools.initializers.sparse import Sparse
from kregtools.initializers.zero import ZerO

__all__ = [
    "DeltaOrthogonal",
    "Dirac",
    "DropoutAware",
    "FixupReport",
    "InitializationReport",
    "LayerScale",
    "Moments",
    "SemiOrthogonal",
    "Sparse",
    "ZerO",
    "data_dependent_init",
    "fixup",
    "gain",
    "lsuv",
    "moments",
]
