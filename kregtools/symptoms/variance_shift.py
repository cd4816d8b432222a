"""Statistics of BatchNormalization that inference does not meet."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from kregtools.record import Record, example
from kregtools.symptoms.dropout_graph import norms_fed_by_dropout
from kregtools.symptoms.symptom import CannotCheckError, Shown, Symptom, SymptomRule

RATIO = 1.15
NAN = float("nan")


def _behind_dropout(rate: float = 0.5, **settings: Any) -> dict[str, Any]:
    layers = [
        {"name": "dense", "class": "Dense", "units": 32, "weights": ["bias", "kernel"], "inbound": []},
        {"name": "dropout", "class": "Dropout", "rate": rate, "inbound": ["dense"]},
        {"name": "dense_1", "class": "Dense", "units": 32, "weights": ["bias", "kernel"], "inbound": ["dropout"]},
        {"name": "norm", "class": "BatchNormalization", "inbound": ["dense_1"], **settings},
    ]
    return {"layers": layers}


def _measured(*ratios: float, recalibrated: float = 0.0) -> dict[tuple[str, str, str], list[float]]:
    return {
        ("norm", "moving_variance", "variance_ratio"): list(ratios),
        ("norm", "moving_variance", "recalibrated"): [recalibrated] * len(ratios),
        ("norm", "moving_mean", "mean_shift"): [0.1] * len(ratios),
    }


class VarianceShift(SymptomRule):
    """Inference normalizes by a variance that the layer's inputs do not have without dropout.

    How it is detected: by what `kregtools.variance_shift(model, x)` measured of each BatchNormalization behind
    dropout: its moving variance over the variance with dropout off, the median over the channels. It shows where the
    last measurement is above 1.15 or below 0.87. `RecalibrateBatchNorm` measures when it corrects; what it has
    corrected is no shift any more.

    Why it matters: every channel comes out too small or too large by the root of the ratio, one layer upon the other.

    What to do: see the cause; compare the validation loss before and after `kregtools.recalibrate`. The ratio says
    that the statistics differ, and not that others are better: of the nets of `benchmarks/batchnorm.py` the one with
    the largest ratio, 2.1 right behind relu and dropout, was better off with the moving average.

    Threshold: in `benchmarks/batchnorm.py` every network, five nets and five seeds of four of them, in which dropout
    feeds BatchNormalization has a layer with a ratio of 1.16 or more. Layers ahead of any dropout, where the ratio
    shows the lag of a moving average, stay at 1.06 or below.
    """

    name = "variance_shift"
    shown = Shown("moving_variance", "variance_ratio", "variance ratio")
    SICK: ClassVar = (
        example(series=_measured(NAN, 2.2), facts=_behind_dropout()),
        example(series=_measured(0.7), facts=_behind_dropout()),
        example(series=_measured(1.0, 1.5, NAN), facts=_behind_dropout()),
    )
    HEALTHY: ClassVar = (
        example(series=_measured(2.2, 1.05), facts=_behind_dropout()),
        example(series=_measured(2.2, recalibrated=1.0), facts=_behind_dropout()),
        example(series=_measured(2.2), facts=_behind_dropout(rate=0.0)),
        example(series=_measured(2.2), facts=_behind_dropout(trainable=False)),
        example(facts=_behind_dropout()),
        example(facts={"layers": [{"name": "norm", "class": "BatchNormalization"}]}),
    )

    def check(self, record: Record) -> Symptom | None:
        fed = norms_fed_by_dropout(record)
        if not fed:
            return None
        last = {name: _last(record, name) for name in fed}
        missing = [name for name, (_, ratio, _) in last.items() if np.isnan(ratio)]
        if missing:
            name = missing[0]
            raise CannotCheckError(
                f"dropout ({fed[name]}) feeds {name}, and its statistics were not measured without dropout: add "
                "`kregtools.callbacks.RecalibrateBatchNorm(x_train)` to the callbacks, or call "
                "`monitor.add(kregtools.variance_shift(model, x_train))` after `fit`"
            )
        shown = {name: found for name, found in last.items() if abs(np.log(found[1])) > np.log(RATIO) and not found[2]}
        if not shown:
            return None
        worst = max(shown, key=lambda name: abs(np.log(shown[name][1])))
        sample, ratio, _ = shown[worst]
        return Symptom(
            self.name,
            "warning",
            f"The moving variance of {worst} is {ratio:.2f} times that without dropout, by which inference should "
            f"normalize; healthy is between {1 / RATIO:.2g} and {RATIO:g}.",
            tuple(shown),
            int(record.steps[sample]),
            {"variance_ratio": ratio, "threshold": RATIO},
        )


def _last(record: Record, name: str) -> tuple[int, float, bool]:
    """The sample of the layer's last measurement, the ratio then, and whether it was corrected with that."""
    ratios = record.series(name, "moving_variance", "variance_ratio")
    known = np.flatnonzero(np.isfinite(ratios))
    if not len(known):
        return 0, np.nan, False
    corrected = record.series(name, "moving_variance", "recalibrated")[known[-1]] == 1.0
    return int(known[-1]), float(ratios[known[-1]]), bool(corrected)
