"""A second fit in a process of its own, beside the first: `python -m harness.judge.conformance_refit FOLDER`.

The folder holds request.json; outputs.safetensors is written there. Two fits of a network one after the other would
take most of the time of `harness check`, and a fresh process asks more of "same seed, same answers" than this one.
"""

import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import DecoderError
from harness.judge import artifact
from harness.registry import DecoderRef

TIME_LIMIT_S = 300


def outputs_of_second_fit(ref: DecoderRef, settings: Mapping[str, Any]) -> np.ndarray:
    """Fit with the same seed on the same data in a new process; answers to the test part: (n_bins, n_outputs) float32.

    Raises:
        DecoderError: If the process fails, with the last line that it wrote.
    """
    with tempfile.TemporaryDirectory() as name:
        request = {"ref": dataclasses.asdict(ref), "settings": dict(settings)}
        (Path(name) / "request.json").write_text(json.dumps(request))
        command = [sys.executable, "-m", __name__, name]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT_S)
        if ended.returncode:
            raise DecoderError((ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1])
        return artifact.unpack((Path(name) / "outputs.safetensors").read_bytes())["outputs"]


def main(folder: Path) -> None:
    """Fit, answer, write."""
    from harness.judge.conformance_case import Case

    request = json.loads((folder / "request.json").read_text())
    case = Case(DecoderRef(**request["ref"]), request["settings"])
    outputs = case.respond(case.fit().decoder, case.inputs).astype(np.float32)
    (folder / "outputs.safetensors").write_bytes(artifact.pack({"outputs": outputs}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
