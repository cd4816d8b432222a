"""IMDB movie reviews as bags of words, through two small dense layers.

python recipes/imdb_bow.py                              train and diagnose
python recipes/imdb_bow.py --l2 0 --dropout 0 --epochs 20     see it overfit, and what to do
python recipes/imdb_bow.py --tune --trials 8            search L2, dropout and learning rate
"""

from __future__ import annotations

import sys

from recipe import Data, Recipe

from kregtools import datasets
from kregtools.models import ImdbBow

WORDS = 10_000
VALIDATION = 5_000


def load(directory: str | None) -> Data:
    """Multi-hot reviews; the last 5,000 of the 25,000 training reviews are for validation."""
    (x_train, y_train), (x_test, y_test) = datasets.load("imdb", directory)
    x, x_test = datasets.multi_hot(x_train, WORDS), datasets.multi_hot(x_test, WORDS)
    return Data((x[:-VALIDATION], y_train[:-VALIDATION]), (x[-VALIDATION:], y_train[-VALIDATION:]), (x_test, y_test))


RECIPE = Recipe("imdb_bow", ImdbBow, load, epochs=7, batch_size=512)

if __name__ == "__main__":
    sys.exit(RECIPE.main())
