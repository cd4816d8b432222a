"""BatchNorm behind dropout.

Three hidden layers on 10,000 images of Fashion-MNIST: with BatchNorm, with dropout of one half, with both, and with
both and the statistics of BatchNorm taken again without dropout.

What to see: in training, dropout adds variance to what BatchNorm sees, and its moving variance is that of the noisy
inputs; in use there is no dropout, and the variance is smaller than what it divides by. The shift is measured by
`kregtools.variance_shift` and named by the diagnosis; `RecalibrateBatchNorm` takes the statistics again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kregtools.callbacks import RecalibrateBatchNorm
from kregtools.lessons.lesson import Lesson, Variant
from kregtools.models import FashionDense

if TYPE_CHECKING:
    from kregtools.models import Data

_DEEP: dict[str, Any] = {"units": 256, "layers": 3, "l2": 0}


def _recalibrate(data: Data) -> list[RecalibrateBatchNorm]:
    return [RecalibrateBatchNorm(data.train[0][:4096])]


LESSON = Lesson(
    {
        "BatchNorm": Variant(FashionDense(normalization="batch", dropout=0, **_DEEP)),
        "dropout 0.5": Variant(FashionDense(normalization="none", dropout=0.5, **_DEEP)),
        "both": Variant(FashionDense(normalization="batch", dropout=0.5, **_DEEP)),
        "both, statistics taken again": Variant(
            FashionDense(normalization="batch", dropout=0.5, **_DEEP), callbacks=_recalibrate
        ),
    },
    epochs=10,
    rows=10_000,
)
