"""One table in one file: an Arrow stream of one record batch, and behind it where each column lies.

Arrow's readers, Hugging Face's too, stop at the end of the stream. Mapping the columns needs NumPy alone: importing
pyarrow takes longer than all else.
"""

import io
import json
import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from harness.data.room import MEMORY, Memory
from harness.data.table import batch_of

LENGTH_BYTES = 8
SMALL_BYTES = 4_000_000
BLOCK_BYTES = 16_000_000


def write(path: Path, columns: Mapping[str, np.ndarray], about: Mapping[str, Any], *, room: Memory = MEMORY) -> str:
    """Write (n, ...) columns, which are in `room`, and what is known of them; returns the xxh3 digest of the file."""
    import pyarrow as pa

    batch = batch_of(columns)
    with path.open("wb") as file:
        sink = _Digested(file, room)
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        file.flush()
        places = _places(path)
        told = {name: [places[name], values.dtype.str, values.shape] for name, values in columns.items()}
        tail = json.dumps({"columns": told, "about": about}).encode()
        sink.write(tail + len(tail).to_bytes(LENGTH_BYTES, "little"))
    return sink.digest


def mapped(path: Path) -> tuple[dict[str, np.ndarray], Any]:
    """Columns and what is known of them. The columns cannot be written to; flags are unpacked into copies.

    A small file is read: each mapped one keeps a file open, and a process may have a thousand.

    Raises:
        ValueError, LookupError, TypeError: If the file is no such table.
    """
    with path.open("rb") as file:
        small = os.fstat(file.fileno()).st_size <= SMALL_BYTES
        content = file.read() if small else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    end = len(content) - LENGTH_BYTES
    told = json.loads(content[end - int.from_bytes(content[end:], "little") : end])
    return {name: _column(content, *where) for name, where in told["columns"].items()}, told["about"]


def _column(content: mmap.mmap | bytes, offset: int, dtype: str, shape: list[int]) -> np.ndarray:
    n = int(np.prod(shape))
    if np.dtype(dtype) == bool:
        bits = np.frombuffer(content, np.uint8, (n + 7) // 8, offset)
        return np.unpackbits(bits, count=n, bitorder="little").astype(bool).reshape(shape)
    return np.frombuffer(content, dtype, n, offset).reshape(shape)


def _places(path: Path) -> dict[str, int]:
    """Where the values of each column begin in a stream file, in bytes."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as file:
        start = file.read_buffer().address
        file.seek(0)
        batch = pa.ipc.open_stream(file).read_next_batch()
        return {name: batch.column(i).buffers()[-1].address - start for i, name in enumerate(batch.schema.names)}


class _Digested(io.RawIOBase):
    """Writes on to a file, and hashes what goes through."""

    def __init__(self, file: IO[bytes], room: Memory) -> None:
        import xxhash

        super().__init__()
        self._file, self._room, self._digest = file, room, xxhash.xxh3_128()

    @property
    def digest(self) -> str:
        return str(self._digest.hexdigest())

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        view = memoryview(content).cast("B")
        for start in range(0, len(view), BLOCK_BYTES):
            block = view[start : start + BLOCK_BYTES]
            self._digest.update(block)
            self._file.write(block)
            self._room.let_go()
        return len(view)
