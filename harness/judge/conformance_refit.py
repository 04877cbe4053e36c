"""A second fit in a process of its own, beside the first: `python -m harness.judge.conformance_refit FOLDER`.

The folder holds request.json; outputs.safetensors is written there. Two fits of a network one after the other would
take most of the time of `harness check`, and a fresh process asks more of "same seed, same answers" than this one.
"""

import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.judge.conformance_process import outputs_of, write_outputs
from harness.registry import DecoderRef

TIME_LIMIT_S = 300


def outputs_of_second_fit(ref: DecoderRef, settings: Mapping[str, Any]) -> np.ndarray:
    """Fit with the same seed on the same data in a new process; answers to the test part: (n_bins, n_outputs) float32.

    Raises:
        DecoderError: If the process fails, with the last line that it wrote.
    """
    request = {"ref": dataclasses.asdict(ref), "settings": dict(settings)}
    return outputs_of(__name__, {"request.json": json.dumps(request).encode()}, limit_s=TIME_LIMIT_S)


def main(folder: Path) -> None:
    """Fit, answer, write."""
    from harness.judge.conformance_case import Case

    request = json.loads((folder / "request.json").read_text())
    case = Case(DecoderRef(**request["ref"]), request["settings"])
    write_outputs(folder, case.respond(case.fit().decoder, case.inputs))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
