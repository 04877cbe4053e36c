"""Integers in as many bits as they need: what no array type offers, and a quantised network wants."""

from dataclasses import dataclass
from typing import Any

import numpy as np

WIDEST = 64


@dataclass(frozen=True)
class Packed:
    """Values without the bits that they do not need.

    content: (n_bytes,) uint8; the values' bits one after the other, each value's highest first, zeros at the end.
    note: `bits` of one value, `low`, which was taken from all of them, and `dtype` and `shape` of what they were.
    """

    content: np.ndarray
    note: dict[str, Any]


def pack_integers(values: np.ndarray, bits: int) -> Packed | None:
    """Store (...) integers in `bits` each; None if they are no integers, do not fit, or gain nothing."""
    if values.dtype.kind not in "iu" or not values.size or not 1 <= bits < 8 * values.dtype.itemsize:
        return None
    low, high = int(values.min()), int(values.max())
    if high - low >= 2**bits:
        return None
    # Unsigned numbers wrap round: what is below `low` in the type itself still differs from it by the right amount.
    above = values.astype(np.uint64).reshape(-1) - np.uint64(low % 2**WIDEST)
    each = np.unpackbits(above.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)[:, WIDEST - bits :]
    note = {"bits": bits, "low": low, "dtype": values.dtype.newbyteorder("<").str, "shape": list(values.shape)}
    return Packed(np.packbits(each), note)


def unpack_integers(packed: Packed) -> np.ndarray:
    """Undo `pack_integers`.

    Raises:
        ValueError: If the note, which may come from outside, does not fit the content.
    """
    bits, low, shape = packed.note["bits"], packed.note["low"], tuple(packed.note["shape"])
    dtype = np.dtype(packed.note["dtype"])
    whole = all(isinstance(n, int) and n >= 0 for n in (bits, *shape)) and isinstance(low, int)
    if not whole or dtype.kind not in "iu" or not 1 <= bits < 8 * dtype.itemsize or packed.content.dtype != np.uint8:
        raise ValueError(f"packed integers are described as {packed.note}")
    n = int(np.prod(shape, dtype=object))
    if packed.content.shape != (-(-n * bits // 8),):
        raise ValueError(f"{n} values of {bits} bits are not {packed.content.shape} bytes")
    each = np.zeros((n, WIDEST), np.uint8)
    each[:, WIDEST - bits :] = np.unpackbits(packed.content, count=n * bits).reshape(n, bits)
    above = np.packbits(each, axis=1).view(">u8").reshape(-1).astype(np.uint64)
    return (above + np.uint64(low % 2**WIDEST)).astype(dtype).reshape(shape)
