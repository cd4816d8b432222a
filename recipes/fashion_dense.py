"""Fashion-MNIST through 512 dense units: the lesson in overfitting.

Test accuracy .8947, sd .0004 (seeds 0 to 2), 2 minutes, on 2 busy CPU cores, 2026-11-21.

python recipes/fashion_dense.py                                   train and diagnose
python recipes/fashion_dense.py --l2 0 --dropout 0 --epochs 40    see it overfit, and what to do
python recipes/fashion_dense.py --units 4                         see it underfit
"""

from __future__ import annotations

import sys

from recipe import main

from kregtools.models import FashionDense

if __name__ == "__main__":
    sys.exit(main(FashionDense))
