"""A polynomial through thirty noisy points of a sine: bias and variance.

The noise alone makes a mean absolute error of 0.24.

python recipes/sine_poly.py                       degree 5: about right
python recipes/sine_poly.py --degree 1            too stiff: it underfits
python recipes/sine_poly.py --degree 25 --l2 0    it follows the noise: it overfits
"""

from __future__ import annotations

import sys

from recipe import main

from kregtools.models import SinePoly

if __name__ == "__main__":
    sys.exit(main(SinePoly))
