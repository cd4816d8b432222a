"""Sequences of token ids as sets of n-grams."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    Sequences = Sequence[Sequence[int]] | np.ndarray

PADDING = 0


class NGrams:
    """The n-grams of a corpus that occur in at least `min_documents` of its sequences, numbered from 1 on.

    Args:
        sequences: Sequence of sequences of token ids, from 0 on.
        order: Integer, the longest n-gram. Defaults to `3`.
        min_documents: Integer. Defaults to `2`.

    Raises:
        ValueError: so many ids and so long n-grams cannot be told apart in 64 bits.
    """

    def __init__(self, sequences: Sequences, order: int = 3, min_documents: int = 2) -> None:
        self.order = order
        self.base = 1 + max(max(sequence, default=0) for sequence in sequences)
        if order * np.log2(self.base + 1) >= 63:
            raise ValueError(
                f"n-grams of {self.base} ids do not fit into 64 bits. Received: order={order}. Expected a smaller "
                "`order`, or fewer ids: replace rare ones by one id."
            )
        codes, counts = np.unique(self._codes(sequences)[1], return_counts=True)
        self.codes = codes[counts >= min_documents]

    def __len__(self) -> int:
        return len(self.codes)

    def encode(self, sequences: Sequences, length: int) -> np.ndarray:
        """Rows of the numbers of a sequence's n-grams, each once, then zeros.

        The first `length` of them are kept, in order of their numbers: shorter n-grams come first.

        Returns:
            NumPy array, `int32`, of shape `(len(sequences), length)`.
        """
        rows, codes = self._codes(sequences)
        places = np.searchsorted(self.codes, codes)
        known = self.codes[np.minimum(places, len(self.codes) - 1)] == codes
        rows, places = rows[known], places[known]
        columns = np.arange(len(rows)) - np.searchsorted(rows, rows)
        kept = columns < length
        encoded = np.full((len(sequences), length), PADDING, dtype=np.int32)
        encoded[rows[kept], columns[kept]] = 1 + places[kept]
        return encoded

    def _codes(self, sequences: Sequences) -> tuple[np.ndarray, np.ndarray]:
        """Each n-gram of each sequence once: the sequence's row, and the n-gram as digits to the base of the ids."""
        lengths = np.array([len(sequence) for sequence in sequences])
        ids = np.fromiter(chain.from_iterable(sequences), dtype=np.int64, count=lengths.sum())
        rows = np.repeat(np.arange(len(lengths)), lengths)
        found = []
        for n in range(1, self.order + 1):
            starts = len(ids) - n + 1
            within = rows[:starts] == rows[n - 1 :]
            code = np.zeros(max(starts, 0), dtype=np.int64)
            for k in range(n):
                # A first digit of at least 1 keeps "a" and "0 a" apart.
                code = code * (self.base + 1) + ids[k : k + starts] + 1
            found.append((rows[:starts][within], code[within]))
        rows, codes = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.lexsort((codes, rows))
        rows, codes = rows[order], codes[order]
        first = np.ones(len(rows), dtype=bool)
        first[1:] = (rows[1:] != rows[:-1]) | (codes[1:] != codes[:-1])
        return rows[first], codes[first]
