"""The artefact: the arrays that a decoder learned, as safetensors. No pickle, no code."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from harness.errors import DecoderError
from harness.judge.packing import Packed, pack_integers, unpack_integers, unpacked_bytes

KINDS = "biuf"
HEADER_LIMIT = 8 << 20
MOST_UNPACKED_BYTES = 1 << 30
BACKEND, BACKEND_CHARACTERS = "backend_", 200
"""How the name of such a note ends, and what of it is shown."""
RESERVED = "__metadata__"
DAMAGE = (ValueError, LookupError, ArithmeticError, AttributeError, TypeError, RecursionError, MemoryError)
"""What a damaged or hostile file makes the libraries raise."""


def pack(
    arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any] | None = None, *, bits: Mapping[str, int] | None = None
) -> bytes:
    """Arrays and a JSON-able description as one safetensors file.

    Args:
        arrays: What was learned.
        meta: The description.
        bits: Name -> bits of one value: integer arrays that fit are stored so narrowly; the others as they are.

    Raises:
        DecoderError: If something is no array of booleans, integers or floats.
    """
    for name, values in arrays.items():
        _refuse_strange(name, values)
    stored = {name: _little_endian(values) for name, values in arrays.items()}
    notes: dict[str, Any] = {}
    for name in sorted(set(bits or {}) & set(stored)):
        if packed := pack_integers(stored[name], (bits or {})[name]):
            stored[name], notes[name] = packed.content, packed.note
    about = {"meta": json.dumps(meta or {})} | ({"packed": json.dumps(notes)} if notes else {})
    return bytes(save(stored, about))


def backend_of(content: bytes) -> str:
    """What a decoder notes of the code that ran, as uint8 text in an array whose name ends in `backend_`."""
    try:
        arrays = unpack(content) if content else {}
    except DecoderError:
        return ""
    notes = [v for name, v in sorted(arrays.items()) if name.endswith(BACKEND) and v.dtype == np.uint8]
    text = "; ".join(bytes(note.reshape(-1)[:BACKEND_CHARACTERS]).decode(errors="replace") for note in notes)
    return "".join(c if c.isprintable() else "?" for c in text)[:BACKEND_CHARACTERS]


def unpack(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file, writable and independent of `content`.

    Raises:
        DecoderError: If the bytes are no whole safetensors file.
    """
    try:
        arrays = {name: np.array(values) for name, values in load(content).items()}
        notes = _notes(content) if arrays else {}
        if (wanted := sum(map(unpacked_bytes, notes.values()))) > MOST_UNPACKED_BYTES:
            raise ValueError(f"its packed integers would take {wanted} bytes; {MOST_UNPACKED_BYTES} are allowed")
        arrays |= {name: unpack_integers(Packed(arrays[name], note)) for name, note in notes.items()}
    except (*DAMAGE, SafetensorError) as error:
        raise DecoderError(f"artefact of {len(content)} bytes is no safetensors file: {error}; fit again") from None
    for name, values in arrays.items():
        _refuse_strange(name, values)
    return arrays


def meta(content: bytes) -> dict[str, Any]:
    """The description that `pack` stored beside the arrays."""
    stored: dict[str, Any] = json.loads(_about(content)["meta"])
    return stored


def widths(content: bytes) -> dict[str, int]:
    """Which arrays of a safetensors file are packed, and into how many bits a value."""
    return {name: note["bits"] for name, note in _notes(content).items()}


def _notes(content: bytes) -> dict[str, Any]:
    notes: dict[str, Any] = json.loads(_about(content).get("packed", "{}"))
    return notes


def _about(content: bytes) -> dict[str, Any]:
    """What a safetensors file says of itself beside its arrays; empty if nothing."""
    size = int.from_bytes(content[:8], "little")
    if not 0 < size <= min(HEADER_LIMIT, len(content) - 8):
        raise DecoderError(f"artefact of {len(content)} bytes is no safetensors file: its header says {size} bytes")
    about: dict[str, Any] = json.loads(content[8 : 8 + size]).get("__metadata__", {})
    return about


def n_parameters(arrays: Mapping[str, np.ndarray]) -> int:
    """Number of learned values."""
    return sum(int(values.size) for values in arrays.values())


def _refuse_strange(name: str, values: object) -> None:
    if name == RESERVED:
        raise DecoderError(f"state() has an array named {RESERVED!r}, which the file format needs; rename it")
    if not isinstance(values, np.ndarray) or values.dtype.kind not in KINDS or values.dtype.itemsize > 8:
        what = values.dtype if isinstance(values, np.ndarray) else type(values).__name__
        raise DecoderError(
            f"state()[{name!r}] is {what}; only arrays of booleans, integers or floats of at most 64 bits are kept"
        )


def _little_endian(values: np.ndarray) -> np.ndarray:
    return np.array(values, dtype=values.dtype.newbyteorder("<"), order="C")
