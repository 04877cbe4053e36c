"""Bins as a table: one row per bin, arrays of any shape as columns of fixed size, no value copied on the way."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from harness.types import Recording

if TYPE_CHECKING:
    import pyarrow as pa

INPUTS, PRIVILEGED = "inputs.", "privileged."


def columns_of(recording: Recording) -> dict[str, np.ndarray]:
    """What is known of each bin: column -> (n_bins, ...); streams go by `inputs.<name>` or `privileged.<name>`."""
    return {
        "start": recording.inputs.starts,
        "scored": recording.scored,
        "targets": recording.targets,
        **{f"{INPUTS}{name}": values for name, values in recording.inputs.streams.items()},
        **{f"{PRIVILEGED}{name}": values for name, values in recording.privileged.items()},
    }


def with_prefix(columns: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The columns whose names begin so, without the prefix."""
    return {name.removeprefix(prefix): values for name, values in columns.items() if name.startswith(prefix)}


def batch_of(columns: Mapping[str, np.ndarray]) -> "pa.RecordBatch":
    """Arrays of (n, ...) as one record batch; a row of (a, b) values is a list of a lists of b."""
    import pyarrow as pa

    return pa.record_batch({name: _arrow(values) for name, values in columns.items()})


def _arrow(values: np.ndarray) -> "pa.Array":
    import pyarrow as pa

    found = pa.array(np.ascontiguousarray(values).reshape(-1))
    for length in reversed(values.shape[1:]):
        found = pa.FixedSizeListArray.from_arrays(found, length)
    return found
