"""The other side of the check `state_survives_a_fresh_process`: `python -m harness.judge.conformance_restore FOLDER`.

The folder holds request.json, state.safetensors and inputs.safetensors; outputs.safetensors is written there.
"""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np

from harness.decoder import Decoder
from harness.judge import artifact, wire
from harness.judge.conformance_process import outputs_of, write_outputs
from harness.registry import DecoderRef, construct
from harness.types import Inputs, SessionInfo

TIME_LIMIT_S = 60


@dataclasses.dataclass(frozen=True)
class Request:
    """Which decoder to restore from which artefact, and what to show it."""

    ref: DecoderRef
    decoder: Decoder
    content: bytes
    session: SessionInfo
    inputs: Inputs


def outputs_of_fresh_process(request: Request) -> np.ndarray:
    """Restore a decoder in a new process from its artefact alone, and let it answer: (n_bins, n_outputs) float32.

    Raises:
        DecoderError: If the process fails, with the last line that it wrote.
    """
    described = {
        "ref": dataclasses.asdict(request.ref),
        "parameters": request.decoder.parameters(),
        "session": wire.session_to_dict(request.session),
    }
    files = {
        "request.json": json.dumps(described).encode(),
        "state.safetensors": request.content,
        "inputs.safetensors": artifact.pack(wire.inputs_to_arrays(request.inputs)),
    }
    return outputs_of(__name__, files, limit_s=TIME_LIMIT_S)


def main(folder: Path) -> None:
    """Restore, answer, write."""
    described = json.loads((folder / "request.json").read_text())
    session = wire.session_from_dict(described["session"])
    inputs = wire.inputs_from_arrays(artifact.unpack((folder / "inputs.safetensors").read_bytes()), session.bin_s)
    decoder = construct(DecoderRef(**described["ref"]), described["parameters"])
    decoder.restore(artifact.unpack((folder / "state.safetensors").read_bytes()), [session])
    # The contract's own predict is `reset` and `step`, whatever faster one the decoder has.
    answer = Decoder.predict if decoder.causal else type(decoder).predict
    write_outputs(folder, answer(decoder, inputs, session))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
