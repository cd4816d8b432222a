"""Scikit-learn's handwritten digits through two small dense layers; no network is needed.

Test accuracy .9694, sd .0028 (seeds 0 to 2), 25 s, on 2 busy CPU cores, 2026-11-21.

python recipes/digits_dense.py                      train and diagnose: a healthy run
python recipes/digits_dense.py --learning-rate 3    a sick one: the cause and the remedy are named
python recipes/digits_dense.py --tune --trials 3    search L2, dropout and learning rate
"""

from __future__ import annotations

import sys

from recipe import main

from kregtools.models import DigitsDense

if __name__ == "__main__":
    sys.exit(main(DigitsDense))
