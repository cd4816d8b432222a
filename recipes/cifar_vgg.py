"""CIFAR-10 through a small network of the VGG kind.

Unverified: .55 of the validation images after 3 of 15 epochs, on a CPU.

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
