"""Whether two prepared sessions are the same, bit for bit."""

import numpy as np
import pyarrow as pa

from harness import Recording
from harness.data.split import Parts
from harness.data.split_rules import PARTS


def arrays(recording: Recording) -> dict[str, np.ndarray]:
    streams = {f"inputs {name}": values for name, values in recording.inputs.streams.items()}
    privileged = {f"privileged {name}": values for name, values in recording.privileged.items()}
    known = {"starts": recording.inputs.starts, "targets": recording.targets, "scored": recording.scored}
    return {**known, **streams, **privileged}


def same(one: Parts, other: Parts) -> bool:
    """Every array of every part in every bit, of the same type and shape, and all that a decoder is told."""
    if one.clock_hz != other.clock_hz or not all(np.array_equal(one.ticks[p], other.ticks[p]) for p in PARTS):
        return False
    for part in PARTS:
        a, b = arrays(one[part]), arrays(other[part])
        told = one[part].session == other[part].session and one[part].inputs.bin_s == other[part].inputs.bin_s
        if not told or list(a) != list(b):
            return False
        if any(x.dtype != b[k].dtype or x.shape != b[k].shape or x.tobytes() != b[k].tobytes() for k, x in a.items()):
            return False
    return True


def arrays_of(batch: pa.RecordBatch) -> dict[str, np.ndarray]:
    """Column -> (n, ...) of an Arrow table, as Arrow itself reads it."""
    return {name: _numpy(batch.column(i)) for i, name in enumerate(batch.schema.names)}


def _numpy(column: pa.Array) -> np.ndarray:
    shape = [len(column)]
    while pa.types.is_fixed_size_list(column.type):
        shape.append(column.type.list_size)
        column = column.flatten()
    return np.asarray(column.to_numpy(zero_copy_only=False)).reshape(shape)
