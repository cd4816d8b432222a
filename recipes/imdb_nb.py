"""IMDB movie reviews as sets of 1- to 3-grams, weighted by naive Bayes.

python recipes/imdb_nb.py                       train and diagnose
python recipes/imdb_nb.py --dropout 0 --l2 0    without regularization
python recipes/imdb_nb.py --tune --trials 8     search L2, dropout and learning rate
"""

from __future__ import annotations

import sys

from recipe import main

from kregtools.models import ImdbNb

if __name__ == "__main__":
    sys.exit(main(ImdbNb))
