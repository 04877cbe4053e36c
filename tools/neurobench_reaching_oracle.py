"""What NeuroBench 2.3 makes of small recordings: its samples, labels and parts, with its benchmark's settings.

    PYTHONPATH=. oracle/bin/python tools/neurobench_reaching_oracle.py tests/golden/neurobench-reaching-2.3.json

It runs in an environment of its own; `tools/neurobench_oracle.py` says how to make one. The recordings are those of
`tests.mat_files`, in the layout of O'Doherty's files, so no data are needed.
"""

import hashlib
import json
import sys
import tempfile
from contextlib import redirect_stdout
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from tests.mat_files import Recording, recordings

SETTINGS = {
    "num_steps": 1,
    "bin_width": 0.004,
    "train_ratio": 0.5,
    "biological_delay": 0,
    "remove_segments_inactive": False,
    "split_num": 1,
    "download": False,
}
"""Those of the benchmark's own scripts, which are not the class's defaults."""

ROWS = (0, 1, 2, 3, 57, -2, -1)
"""Rows whose labels are kept as numbers; of the rest, a hash."""


def digest(values: np.ndarray, dtype: str) -> str:
    """Hash of an array's values in C order, in one type and byte order."""
    return hashlib.sha256(np.ascontiguousarray(values, dtype=np.dtype(dtype).newbyteorder("<")).tobytes()).hexdigest()


def content(recording: Recording) -> str:
    """Hash of what a file holds: the numbers below are void if it differs."""
    cells = [np.concatenate([cell, [-1.0]]) for channel in recording.spikes_s for cell in channel]
    parts = (recording.times_s, recording.cursor_mm.ravel(), recording.target_mm.ravel(), *cells)
    return digest(np.concatenate(parts), "f8")


def predictions(labels: np.ndarray) -> np.ndarray:
    """(n, 2) float32 answers of no decoder: 0.75 of the label of the row before, for R2 to have something to say."""
    return np.float32(0.75) * np.roll(labels, 1, axis=0)


def measure(name: str, recording: Recording, folder: Path) -> dict[str, Any]:
    """NeuroBench's dataset of one recording, read as its loader reads it: one item after the other."""
    from neurobench.datasets import PrimateReaching
    from neurobench.metrics.workload import R2
    from torch import from_numpy

    recording.write(folder / f"{name}.mat")
    with redirect_stdout(StringIO()):
        dataset = PrimateReaching(str(folder), f"{name}.mat", **SETTINGS)
    n_rows = len(recording.times_s)
    items = [dataset[i] for i in range(n_rows)]
    samples = np.stack([sample.numpy()[0] for sample, _ in items])
    labels = np.stack([label.numpy() for _, label in items])
    test = labels[np.array(dataset.ind_test)]
    metric = R2()
    metric.reset()
    found = metric(None, from_numpy(predictions(test)), (None, from_numpy(test)))
    return {
        "content": content(recording),
        "n_edges": len(dataset.samples[0]),
        "reaches_begin": dataset.time_segments[:, 0].tolist(),
        "samples": {"shape": list(samples.shape), "sum": int(samples.sum()), "int8": digest(samples, "i1")},
        "first_ones": np.argwhere(samples)[:12].tolist(),
        "labels": {"float32": digest(labels, "f4"), "rows": {str(k): labels[k].tolist() for k in ROWS}},
        "parts": {
            part: {"n": len(rows), "first": int(rows[0]), "last": int(rows[-1]), "int64": digest(np.array(rows), "i8")}
            for part, rows in (
                ("train", dataset.ind_train),
                ("validation", dataset.ind_val),
                ("test", dataset.ind_test),
            )
        },
        "r2": found,
    }


def main() -> None:
    """Show NeuroBench all recordings, write the file."""
    with tempfile.TemporaryDirectory() as folder:
        found = {name: measure(name, one, Path(folder)) for name, one in recordings().items()}
    versions = {name: version(name) for name in ("neurobench", "torch", "numpy", "h5py")}
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(one)}" for name, one in found.items())
    head = f'{{\n "versions": {json.dumps(versions)},\n "settings": {json.dumps(SETTINGS)},\n "recordings": {{\n'
    Path(sys.argv[1]).write_text(f"{head}{rows}\n }}\n}}\n")


if __name__ == "__main__":
    main()
