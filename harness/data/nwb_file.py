"""An HDF5 file open for reading, in which every failure names the file, the object and what is there instead."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from harness.errors import BadData, HarnessError, MissingData

DAMAGE = (
    OSError,
    KeyError,
    RuntimeError,
    ValueError,
    TypeError,
    IndexError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    SystemError,
)
"""What h5py and NumPy raise on a damaged file; HDF5 keeps no list."""

LATEST_S = 1e7
"""No session lasts four months; an instant after that is damage."""


class NwbFile:
    """A file open for reading."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path, self._file = path, file

    def bad(self, where: str, what: str) -> BadData:
        """The error that `where` is not what it should be."""
        return BadData(
            f"{self.path}: {where!r} {what}; take the file that the suite pins, or correct the suite's layout"
        )

    def has(self, where: str) -> bool:
        """Whether there is an object of that path."""
        return where in self._file

    def find(self, where: str) -> h5py.Group | h5py.Dataset:
        """The object at a path below the root, or an error that says how far the path leads and what is there."""
        node = self._file
        parts = [part for part in where.split("/") if part]
        for depth, part in enumerate(parts):
            if not isinstance(node, h5py.Group) or part not in node:
                above = "/".join(parts[:depth]) or "/"
                there = ", ".join(sorted(node)) if isinstance(node, h5py.Group) else "no objects, it is a dataset"
                raise self.bad(where, f"is missing: {above!r} holds {there or 'nothing'}")
            node = node[part]
        return node

    def group(self, where: str) -> h5py.Group:
        """The group at a path."""
        found = self.find(where)
        if not isinstance(found, h5py.Group):
            raise self.bad(where, "is a dataset, where a group belongs")
        return found

    def dataset(self, where: str) -> h5py.Dataset:
        """The dataset at a path, nothing of it read yet."""
        found = self.find(where)
        if not isinstance(found, h5py.Dataset):
            raise self.bad(where, f"is a group that holds {', '.join(found) or 'nothing'}, where a dataset belongs")
        return found

    def numbers(self, where: str, *, kinds: str = "fiub", ndim: Sequence[int] = (1,)) -> np.ndarray:
        """Read a numeric dataset whole, in the type in which it is stored."""
        return np.asarray(self._numeric(where, kinds=kinds, ndim=ndim)[()])

    def columns(self, where: str, columns: Sequence[int] | None, *, rows: slice = slice(None)) -> np.ndarray:
        """Read (n_samples, n_channels), or only some columns or rows of it; one dimension counts as one column."""
        data = self._numeric(where, kinds="fiub", ndim=(1, 2))
        n = data.shape[1] if data.ndim == 2 else 1
        wanted = list(range(n)) if columns is None else list(columns)
        if not all(0 <= c < n for c in wanted):
            raise self.bad(where, f"has {n} columns, so there is no column {max(wanted)}")
        if data.ndim == 1:
            return np.asarray(data[rows])[:, None]
        low, high = min(wanted, default=0), max(wanted, default=-1) + 1
        read = np.asarray(data[rows, low:high])
        return read if wanted == list(range(low, high)) else read[:, [c - low for c in wanted]]

    def index(self, where: str, n_values: int) -> np.ndarray:
        """Read the index of a ragged column: (n_rows,) int64, where each row ends.

        Raises:
            BadData: If it goes back, or does not end where the values do.
        """
        ends = self.numbers(where, kinds="iu").astype(np.int64)
        if ends.size and (ends[0] < 0 or np.any(ends[1:] < ends[:-1])):
            raise self.bad(where, "goes backwards")
        last = int(ends[-1]) if ends.size else 0
        if last != n_values:
            raise self.bad(where, f"ends at {last}, but there are {n_values} values")
        return ends

    def number(self, where: str, attribute: str, default: float | None = None) -> float:
        """Read a finite number from an object's attributes."""
        value = self.find(where).attrs.get(attribute, default)
        if value is None:
            raise self.bad(where, f"has no attribute {attribute!r}")
        number = float(np.asarray(value).reshape(-1)[0])
        if not np.isfinite(number):
            raise self.bad(where, f"has {attribute} {number}")
        return number

    def strings(self, where: str) -> list[str]:
        """Read a dataset of text, decoded."""
        return [text(value) for value in np.asarray(self.dataset(where)[()]).reshape(-1)]

    def _numeric(self, where: str, *, kinds: str, ndim: Sequence[int]) -> h5py.Dataset:
        data = self.dataset(where)
        if data.dtype.kind not in kinds or data.ndim not in ndim:
            expected = " or ".join(f"{n}-d" for n in ndim)
            raise self.bad(where, f"is {data.ndim}-d {data.dtype}, where {expected} numbers belong")
        return data


def text(value: object) -> str:
    """Text as stored by any writer, decoded."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


@contextmanager
def open_nwb(path: Path) -> Iterator[NwbFile]:
    """Open a file; whatever HDF5 says of a damaged one becomes one readable error.

    Raises:
        MissingData: If there is no such file.
        BadData: If it is no HDF5 file, or is damaged, or lacks something.
    """
    if not path.is_file():
        raise MissingData(f"{path} does not exist; fetch it with `harness data get`")
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            yield NwbFile(path, file)
    except HarnessError:
        raise
    except DAMAGE as error:
        raise BadData(
            f"{path} cannot be read as an NWB (HDF5) file: {type(error).__name__}: {error}; it is cut short, "
            f"damaged or of another kind. `harness data verify --repair` removes damaged files from the data folder, "
            f"and the next run gets them anew; another file you have to replace yourself"
        ) from error
