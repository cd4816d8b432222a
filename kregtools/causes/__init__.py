"""What explains symptoms, each with its remedy. A new cause is one file here and one line in `CAUSES`."""

from kregtools.causes.bad_init import BadInit
from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.insufficient_capacity import InsufficientCapacity
from kregtools.causes.lr_too_high import LrTooHigh
from kregtools.causes.missing_regularization import MissingRegularization

CAUSES: tuple[CauseRule, ...] = (
    LrTooHigh(),
    BadInit(),
    MissingRegularization(),
    InsufficientCapacity(),
)

__all__ = ["CAUSES", "Cause", "CauseRule", "Remedy"]
