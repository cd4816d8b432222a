"""CIFAR-10 through a small network of the VGG kind.

Test accuracy .8687, sd .0026, after 15 epochs (seeds 0 to 2), 36 to 81 minutes, on 2 busy CPU cores, 2026-11-22.

python recipes/cifar_vgg.py                               train and diagnose
python recipes/cifar_vgg.py --augment none --dropout 0    see it overfit, and what to do
python recipes/cifar_vgg.py --epochs 60 --filters 64      a larger one, on a GPU
"""

from __future__ import annotations

import sys

from recipe import main

from kregtools.models import CifarVgg

if __name__ == "__main__":
    sys.exit(main(CifarVgg))
