"""Rows of a long signal, read from its file when they are asked for."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.contents import Rows
from harness.data.nwb_file import NwbFile, open_nwb

SMALL_BYTES = 64_000_000
"""A signal of up to this size is read at once."""
MOST_CHUNK_BYTES = 32_000_000
"""A file that stores more than this in one piece would be unpacked anew for every block; it is read at once, too."""
BLOCK_BYTES = 16_000_000


@dataclass(frozen=True)
class StoredRows:
    """(n_samples, n_channels) of a file; a slice of rows is an array, and so is all of it for NumPy's functions."""

    path: Path
    where: str
    columns: tuple[int, ...] | None
    shape: tuple[int, int]
    dtype: np.dtype[Any]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        with open_nwb(self.path) as nwb:
            return nwb.columns(self.where, self.columns, rows=rows)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)


def rows_of(nwb: NwbFile, where: str, columns: tuple[int, ...] | None) -> Rows:
    """The rows of a dataset: an array if it is small, else what reads them block by block."""
    data = nwb.dataset(where)
    n_columns = len(columns) if columns is not None else data.shape[1] if data.ndim == 2 else 1
    chunk_bytes = int(np.prod(data.chunks)) * data.dtype.itemsize if data.chunks else 0
    if data.size * data.dtype.itemsize <= SMALL_BYTES or chunk_bytes > MOST_CHUNK_BYTES:
        return nwb.columns(where, columns)
    nwb.columns(where, columns, rows=slice(0, 1))  # refuses what is no numbers, or has no such columns
    return StoredRows(nwb.path, where, columns, (int(data.shape[0]), n_columns), data.dtype)


def blocks_of(rows: Rows) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, rows) of one block after the other."""
    n = max(1, BLOCK_BYTES // max(1, rows.shape[1] * rows.dtype.itemsize))
    for start in range(0, len(rows), n):
        yield start, rows[start : start + n]
