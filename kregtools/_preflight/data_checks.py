"""What the data show by themselves."""

from __future__ import annotations

from collections import Counter

import numpy as np

from kregtools._preflight.context import Context, Finding, cause, explained, leaves, named, symptom
from kregtools._preflight.rows import Rows
from kregtools.causes.evidence import heads
from kregtools.symptoms import CannotCheckError

# An outlier is so many times larger than 99 % of all values.
OUTLYING = 20.0
LARGE = 10.0
# SageMaker Debugger's ratio for class imbalance.
IMBALANCE = 10.0
MOST_ROWS = 16_384
MOST_NAMED = 5
MOST_CLASSES = 1000
LEAST_ROWS = 10


def nonfinite_data(context: Context) -> Finding | None:
    """NaN or infinity in inputs or targets."""
    found = _nonfinite_in("training", context.train)
    found += [] if context.validation is None else _nonfinite_in("validation", context.validation)
    if not found:
        return None
    where, rows = found[0]
    listed = ", ".join(map(str, rows[:MOST_NAMED])) + (", …" if len(rows) > MOST_NAMED else "")
    one = len(rows) == 1
    which = f"Row {listed} of the {where} holds" if one else f"{len(rows)} rows of the {where} ({listed}) hold"
    return explained(
        symptom(
            *("nonfinite_data", "critical", f"{which} NaN or infinity; one is enough to make every weight NaN."),
            rows=float(len(rows)),
            first_row=float(rows[0]),
        ),
        cause(
            *("missing_values", 0.95, "nonfinite_data", f"The {where} were not completed."),
            f"Drop {'this row' if one else f'these {len(rows)} rows'}, or fill what is missing with the median of the "
            "training rows.",
            "keep = np.isfinite(x).reshape(len(x), -1).all(axis=1)\nx, y = x[keep], y[keep]",
        ),
    )


def input_outliers(context: Context) -> Finding | None:
    """Single inputs far from all others."""
    for place, leaf in leaves(context.train.x):
        if leaf.dtype.kind != "f":
            continue
        sizes = np.abs(Rows(leaf, None).evenly(MOST_ROWS).x)
        sizes = sizes[np.isfinite(sizes)]
        usual = float(np.quantile(sizes, 0.99)) if sizes.size else 0.0
        largest = float(np.nanmax(np.where(np.isfinite(leaf), np.abs(leaf), 0.0)))
        if largest > max(OUTLYING * usual, LARGE):
            what = named("input", place)
            message = f"The largest value of the {what} is {largest:.3g}, and 99% are below {usual:.3g}."
            return explained(
                symptom("input_outliers", "warning", message, largest=largest, usual=usual),
                cause(
                    *("outliers", 0.8, "input_outliers", f"A few values of the {what} are far from all others."),
                    f"Look at the rows with values beyond {OUTLYING * usual:.3g}: mend them, drop them, or clip. A "
                    "single one can outweigh the rest of its batch.",
                    f"x = np.clip(x, {-OUTLYING * usual:.3g}, {OUTLYING * usual:.3g})",
                ),
            )
    return None


def class_balance(context: Context) -> Finding | None:
    """Classes of which some hardly occur."""
    if not heads(context.record):
        raise CannotCheckError("it is not known which targets belong to which loss: name the losses by output")
    for head, (place, labels) in zip(heads(context.record), _labels(context), strict=False):
        if labels is None or head.kind not in ("labels", "one_hot", "binary", "integers") or head.loss == "":
            continue
        counts = Counter(labels.tolist())
        if "crossentropy" not in head.loss or len(counts) < 2 or len(labels) < LEAST_ROWS * len(counts):
            continue
        most, least = max(counts.values()), min(counts.values())
        if most > IMBALANCE * least:
            return _imbalance(named("target", place), counts, most / least)
    return None


def _nonfinite_in(part: str, rows: Rows) -> list[tuple[str, np.ndarray]]:
    return [
        (named(f"{part} {kind}", place), np.flatnonzero(bad))
        for kind, structure in (("inputs", rows.x), ("targets", rows.y))
        for place, leaf in leaves(structure)
        if leaf.dtype.kind == "f" and (bad := _rows_with(~np.isfinite(leaf))).any()
    ]


def _rows_with(condition: np.ndarray) -> np.ndarray:
    return np.asarray(condition.reshape(len(condition), -1).any(axis=1))


def _labels(context: Context) -> list[tuple[str, np.ndarray | None]]:
    """The class of each row; `None` where a row has no single one."""
    found = []
    for place, leaf in leaves(context.train.y):
        flat = leaf.reshape(len(leaf), -1)
        labels = flat[:, 0] if flat.shape[1] == 1 else flat.argmax(axis=1) if _one_hot(flat) else None
        found.append((place, labels))
    return found


def _one_hot(flat: np.ndarray) -> bool:
    return flat.shape[1] <= MOST_CLASSES and bool(((flat == 0) | (flat == 1)).all() and (flat.sum(axis=1) == 1).all())


def _imbalance(what: str, counts: Counter, ratio: float) -> Finding:
    rows, classes = sum(counts.values()), len(counts)
    weights = {int(label): round(rows / (classes * count), 3) for label, count in sorted(counts.items())[:10]}
    rarest = min(counts, key=counts.__getitem__)
    message = f"The most frequent class of the {what} is {ratio:.3g} times as frequent as the rarest, {rarest:g}."
    return explained(
        symptom("class_balance", "info", message, ratio=ratio),
        cause(
            *("class_imbalance", 0.6, "class_balance", "Some classes hardly occur."),
            "Judge by the recall of the rare classes, as the accuracy is high for naming the frequent one, and weigh "
            "the classes if that is too low.",
            f"model.fit(x, y, class_weight={weights!r})",
        ),
    )
