"""Integers in as many bits as they need: what no array type offers, and a quantised network wants."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

WIDEST = 64
KINDS = ("|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8")
BLOCK = 1 << 16
"""Values at a time; a multiple of 8, so that a block ends with a byte."""


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
    flat = values.reshape(-1)
    blocks = [_bits_of(flat[i : i + BLOCK], low, bits) for i in range(0, len(flat), BLOCK)]
    note = {"bits": bits, "low": low, "dtype": values.dtype.newbyteorder("<").str, "shape": list(values.shape)}
    return Packed(np.concatenate(blocks), note)


def _bits_of(values: np.ndarray, low: int, bits: int) -> np.ndarray:
    # Unsigned numbers wrap round: what is below `low` in the type itself still differs from it by the right amount.
    above = values.astype(np.uint64) - np.uint64(low % 2**WIDEST)
    return np.packbits(np.unpackbits(above.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)[:, WIDEST - bits :])


def unpacked_bytes(note: Mapping[str, Any]) -> int:
    """What `unpack_integers` will take.

    Raises:
        ValueError: If the note, which may come from outside, says nothing that `pack_integers` says.
    """
    bits, shape, kind = note["bits"], note["shape"], note["dtype"]
    whole = isinstance(shape, list) and all(type(n) is int and n >= 0 for n in (bits, *shape))
    if not whole or type(note["low"]) is not int or kind not in KINDS or not 1 <= bits < 8 * int(kind[2]):
        raise ValueError(f"packed integers are described as {str(note)[:200]}")
    return int(math.prod(shape)) * int(kind[2])


def unpack_integers(packed: Packed) -> np.ndarray:
    """Undo `pack_integers`.

    Raises:
        ValueError: If the note, which may come from outside, does not fit the content.
    """
    n_bytes, bits, dtype = unpacked_bytes(packed.note), packed.note["bits"], np.dtype(packed.note["dtype"])
    n = n_bytes // dtype.itemsize
    if packed.content.dtype != np.uint8 or packed.content.shape != (-(-n * bits // 8),):
        raise ValueError(f"{n} values of {bits} bits are not {packed.content.shape} bytes")
    values = np.empty(n, dtype)
    for i in range(0, n, BLOCK):
        part = values[i : i + BLOCK]
        above = _integers(packed.content[i * bits // 8 :], len(part), bits)
        part[:] = (above + np.uint64(packed.note["low"] % 2**WIDEST)).astype(dtype)
    return values.reshape(packed.note["shape"])


def _integers(content: np.ndarray, n: int, bits: int) -> np.ndarray:
    each = np.zeros((n, WIDEST), np.uint8)
    each[:, WIDEST - bits :] = np.unpackbits(content[: -(-n * bits // 8)], count=n * bits).reshape(n, bits)
    return np.packbits(each, axis=1).view(">u8").reshape(-1).astype(np.uint64)
