"""What long training leaves behind while it runs: how far it is, and from where it can go on after it was stopped."""

import errno
import hashlib
import io
import os
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from harness.errors import DecoderError

_HEAD = struct.Struct("<Q32s")
_PROGRESS = struct.Struct("<qqd")
PROGRESS_BYTES = _PROGRESS.size
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
_ARRAY = "array "
"""Before every name in a note, so that none is an argument of the function that writes it."""


@dataclass(frozen=True)
class Progress:
    """How far a stage of learning is; `loss` is the trainer's own, NaN where it has none."""

    done: int
    total: int
    loss: float


class Checkpoint:
    """A decoder's place to note how far its training is.

    Without files, as outside of an evaluation, nothing is kept and everything works all the same. Two files are written
    in turn, each with a count and a digest, so that a process that is killed while it writes loses one note, not all.

    Args:
        slots: Descriptors of two files; none: nothing is kept.
        progress: Descriptor of the file that says how far training is.
    """

    def __init__(self, slots: Sequence[int] = (), progress: int | None = None) -> None:
        self._slots, self._progress = tuple(slots), progress
        self._n_saved = 0

    def load(self) -> dict[str, np.ndarray] | None:
        """The arrays of an earlier, interrupted attempt at this very stage; None if there was none."""
        kept = self._kept()
        if not kept:
            return None
        self._n_saved, content = max(kept)
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {name.removeprefix(_ARRAY): arrays[name] for name in arrays.files}

    def save(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep arrays from which this stage can go on: weights, the optimiser's, random generators', counters.

        Raises:
            DecoderError: If one is an array of Python objects, which could never be read again.
        """
        named = {_ARRAY + name: np.asarray(values) for name, values in arrays.items()}
        if objects := [name for name, values in named.items() if values.dtype.hasobject]:
            raise DecoderError(
                f"{objects[0].removeprefix(_ARRAY)!r} is an array of Python objects, which a checkpoint does not keep; "
                f"give numbers or texts, None as NaN"
            )
        if not self._slots:
            return
        buffer = io.BytesIO()
        np.savez(buffer, **named)  # type: ignore[arg-type]
        # Of an earlier attempt that was not loaded, too: its newer note must not win over this one.
        self._n_saved = 1 + (self._n_saved or max((count for count, _ in self._kept()), default=0))
        if not _write(self._slots[self._n_saved % len(self._slots)], self._n_saved, buffer.getvalue()):
            self._n_saved -= 1  # The next try takes the same file, for the other holds the only note.

    def _kept(self) -> list[tuple[int, bytes]]:
        """(count, content) of the notes that are whole."""
        return [found for slot in self._slots if (found := _read(slot))]

    def report(self, done: int, total: int, loss: float = float("nan")) -> None:
        """Say how far training is, in any unit; shown with the time left."""
        if self._progress is not None:
            with suppress(OSError):
                os.pwrite(self._progress, _PROGRESS.pack(int(done), int(total), float(loss)), 0)


def read_progress(descriptor: int) -> Progress | None:
    """What `report` said last; None if it has said nothing, or what no trainer says."""
    content = os.pread(descriptor, _PROGRESS.size, 0)
    if len(content) < _PROGRESS.size:
        return None
    found = Progress(*_PROGRESS.unpack(content))
    return found if 0 <= found.done <= found.total else None


def _write(slot: int, count: int, content: bytes) -> bool:
    """The head goes last and is short, so that a file half written has a digest of something else.

    Returns:
        Whether it was written. Where there is no room, training goes on without: the disk is no fault of the decoder.
    """
    try:
        os.ftruncate(slot, 0)
        view, offset = memoryview(content), _HEAD.size
        while view:
            written = os.pwrite(slot, view, offset)
            view, offset = view[written:], offset + written
        os.fsync(slot)
        os.pwrite(slot, _HEAD.pack(count, hashlib.sha256(content).digest()), 0)
        os.fsync(slot)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        return False
    return True


def _read(slot: int) -> tuple[int, bytes] | None:
    """(count, content) of a whole file; None for an empty one, or one that was being written."""
    size = os.fstat(slot).st_size
    if size <= _HEAD.size:
        return None
    content = bytearray()
    while len(content) < size:
        piece = os.pread(slot, size - len(content), len(content))
        if not piece:
            return None
        content += piece
    count, digest = _HEAD.unpack_from(content)
    body = bytes(content[_HEAD.size :])
    return (count, body) if hashlib.sha256(body).digest() == digest else None
