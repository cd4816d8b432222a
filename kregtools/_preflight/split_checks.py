"""What training and validation rows show side by side."""

from __future__ import annotations

from collections import Counter

import numpy as np
from keras import tree

from kregtools._preflight.context import Context, Finding, cause, explained, leaves, named, symptom
from kregtools._preflight.rows import Rows
from kregtools.symptoms import CannotCheckError

# Judgement: a shift of half a std, or of a tenth of all labels, is more than chance and a little drift.
SHIFT = 0.5
LABELS = 0.1
ERRORS = 6.0
LEAKED = 0.01
MOST_FEATURES = 4096
MOST_ROWS = 16_384
MOST_CLASSES = 1000
LEAST_ROWS = 10


def split_shift(context: Context) -> Finding | None:
    """Training and validation rows that are not alike."""
    validation = _validation(context)
    parts = (("input", context.train.x, validation.x), ("target", context.train.y, validation.y))
    shifts = [
        (*shift, named(kind, place))
        for kind, ours, theirs in parts
        for (place, train), (_, other) in zip(leaves(ours), leaves(theirs), strict=True)
        if (shift := _shift(train, other, kind == "target")) is not None
    ]
    if not shifts:
        return None
    size, text, what = max(shifts, key=lambda item: item[0])
    message = f"The {what} of training and validation rows are not alike: {text}."
    return explained(
        symptom("split_shift", "warning", message, shift=size),
        cause(
            *("split_mismatch", 0.8, "split_shift", "The rows come from elsewhere, or were prepared otherwise."),
            "Prepare both sets by the same code, with numbers taken from the training rows, and shuffle before "
            "splitting. The shift should then be below half a std.",
            "rows = np.random.default_rng(0).permutation(len(x))\nx, y = x[rows], y[rows]\n"
            "model.fit(x, y, validation_split=0.2)",
        ),
    )


def leakage(context: Context) -> Finding | None:
    """Validation rows that are training rows as well."""
    validation = _validation(context)
    train, other = _keys(context.train, context.train), _keys(validation, context.train)
    counts = Counter(train)
    shared = sum(key in counts for key in other)
    # Rows of few different values repeat by chance, within the training rows as well.
    repeated = sum(count > 1 for count in map(counts.__getitem__, train)) / len(train)
    share = shared / len(other)
    if shared < 2 or share <= max(LEAKED, 2 * repeated):
        return None
    message = f"{shared} of {len(other)} validation rows ({share:.1%}) are among the training rows."
    return explained(
        symptom("leakage", "warning", message, share=share),
        cause(
            *("leaked_rows", 0.9, "leakage", "The same rows were used for training and for validation."),
            f"Take these {shared} rows out of the validation rows, or remove duplicates before splitting. The "
            "validation loss then says how well new rows are predicted.",
            "_, first = np.unique(x, axis=0, return_index=True)\nx, y = x[first], y[first]  # then shuffle and split",
        ),
    )


def _validation(context: Context) -> Rows:
    if context.validation is None:
        raise CannotCheckError("there are no validation rows: pass `validation_data`")
    shapes = [[leaf.shape[1:] for _, leaf in leaves(rows)] for rows in (context.train, context.validation)]
    if shapes[0] != shapes[1]:
        raise CannotCheckError(
            f"training and validation rows have different shapes, {shapes[0]} and {shapes[1]}: pass them prepared alike"
        )
    return context.validation


def _shift(train: np.ndarray, other: np.ndarray, is_target: bool) -> tuple[float, str] | None:
    if min(len(train), len(other)) < LEAST_ROWS or train.dtype.kind not in "biuf" or other.dtype.kind not in "biuf":
        return None
    ours, theirs = (_features(rows) for rows in (train, other))
    if is_target and _is_labels(ours):
        return _label_shift(ours[:, 0], theirs[:, 0])
    means, stds = np.nanmean(ours, axis=0), np.nanstd(ours, axis=0)
    pooled = np.maximum(np.sqrt((stds**2 + np.nanstd(theirs, axis=0) ** 2) / 2), 1e-6 * (1 + np.abs(means)))
    distance = np.abs(np.nanmean(theirs, axis=0) - means) / pooled
    # A mean of few rows is uncertain, and the largest of many such means more so.
    least = max(SHIFT, ERRORS * np.sqrt(1 / len(ours) + 1 / len(theirs)))
    worst = int(np.argmax(np.nan_to_num(distance)))
    if not distance[worst] > least:
        return None
    column = f" of column {worst}" if ours.shape[1] > 1 else ""
    return float(
        distance[worst]
    ), f"the means{column} are {distance[worst]:.2g} std apart; healthy is below {least:.2g}"


def _is_labels(rows: np.ndarray) -> bool:
    if rows.shape[1] > 1 or not np.isfinite(rows).all():
        return False
    labels = np.unique(rows)
    return len(labels) <= MOST_CLASSES and bool((labels == labels.round()).all())


def _label_shift(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, str] | None:
    labels = np.union1d(ours, theirs)
    before, after = ((rows[:, None] == labels[None, :]).mean(axis=0) for rows in (ours, theirs))
    share = (before * len(ours) + after * len(theirs)) / (len(ours) + len(theirs))
    error = np.sqrt(share * (1 - share) * (1 / len(ours) + 1 / len(theirs)))
    apart = np.abs(before - after)
    least = np.maximum(LABELS, ERRORS * error)
    worst = int(np.argmax(apart / least))
    if not apart[worst] > least[worst]:
        return None
    return float(apart[worst]), f"label {labels[worst]:g} makes up {before[worst]:.0%} and {after[worst]:.0%} of them"


def _features(rows: np.ndarray) -> np.ndarray:
    """Shape `(rows, features)`: not all of either, evenly spaced."""
    flat = Rows(rows, None).evenly(MOST_ROWS).x
    flat = flat.reshape(len(flat), -1)
    return np.asarray(flat[:, :: -(-flat.shape[1] // MOST_FEATURES)], "float64")


def _keys(rows: Rows, like: Rows) -> list[bytes]:
    """One key for each row of inputs, the same for the same values."""
    pairs = zip(tree.flatten(rows.x), tree.flatten(like.x), strict=True)
    flat = [np.ascontiguousarray(leaf.astype(other.dtype)).reshape(len(leaf), -1) for leaf, other in pairs]
    return [b"".join(leaf[row].tobytes() for leaf in flat) for row in range(len(rows))]
