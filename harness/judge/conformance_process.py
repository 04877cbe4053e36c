"""How `harness check` asks a fresh process: files in, `python -m MODULE FOLDER`, outputs out. No pickle."""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from harness.errors import DecoderError
from harness.judge import artifact

OUTPUTS = "outputs.safetensors"


def outputs_of(module: str, files: Mapping[str, bytes], *, limit_s: float) -> np.ndarray:
    """Run a module in a new process on a folder with these files; what it writes: (n_bins, n_outputs) float32.

    Raises:
        DecoderError: If the process fails, with the last line that it wrote.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        command = [sys.executable, "-m", module, name]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=limit_s)
        if ended.returncode:
            raise DecoderError((ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1])
        return artifact.unpack((folder / OUTPUTS).read_bytes())["outputs"]


def write_outputs(folder: Path, outputs: np.ndarray) -> None:
    """The other side: leave the outputs where `outputs_of` looks for them."""
    (folder / OUTPUTS).write_bytes(artifact.pack({"outputs": np.asarray(outputs, np.float32)}))
