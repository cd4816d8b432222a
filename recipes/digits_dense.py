"""Scikit-learn's handwritten digits through two small dense layers; no network is needed.

python recipes/digits_dense.py                          train and diagnose: a healthy run
python recipes/digits_dense.py --learning-rate 3        a sick one: the cause and the remedy are named
python recipes/digits_dense.py --tune --trials 3        search L2, dropout and learning rate
"""

from __future__ import annotations

import sys

from recipe import Data, Recipe

from kregtools import datasets
from kregtools.models import DigitsDense

VALIDATION = 287


def load(directory: str | None) -> Data:
    """The last 287 of the 1,437 training images are for validation."""
    (x, y), test = datasets.load("digits", directory)
    return Data((x[:-VALIDATION], y[:-VALIDATION]), (x[-VALIDATION:], y[-VALIDATION:]), test)


RECIPE = Recipe("digits_dense", DigitsDense, load, epochs=30, batch_size=32)

if __name__ == "__main__":
    sys.exit(RECIPE.main())
