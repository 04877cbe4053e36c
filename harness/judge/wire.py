"""What judge and worker say to each other: message formats and nothing else.

Messages go over a Unix seqpacket socket, which keeps their borders. The first 16 bytes are a header: one letter, seven
zeros, and an eight-byte token; a bin's answer must carry the token of that bin, so nothing can be answered early.
Whatever is large (recordings, artefacts) is safetensors in anonymous memory whose descriptor travels with a message.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.types import Inputs, Recording, SessionInfo, StreamInfo

HEADER = 16
CONSTRUCT, LEARN, RESTORE, PREDICT, COUNT = b"C", b"F", b"L", b"P", b"O"
RESET, BIN, END, ANSWER, FAULT = b"R", b"B", b"X", b"A", b"E"
NO_TOKEN = bytes(8)
LEARNED = "learned."
MAX_REQUEST = 1 << 20
MAX_REPLY = 1 << 16


def message(letter: bytes, body: bytes = b"", token: bytes = NO_TOKEN) -> bytes:
    """One message: header and body."""
    return letter + bytes(7) + token + body


def letter_of(received: bytes) -> bytes:
    return received[:1]


def answers(received: bytes, token: bytes) -> bool:
    """Whether a message is the answer to the bin that was sent with this token."""
    return received[8:HEADER] == token and received[:1] == ANSWER


def body_of(received: bytes) -> bytes:
    return received[HEADER:]


def to_json(content: Any) -> bytes:
    return json.dumps(content).encode()


def session_to_dict(session: SessionInfo) -> dict[str, Any]:
    """A session as JSON knows it."""
    return dataclasses.asdict(session)


def session_from_dict(content: Mapping[str, Any]) -> SessionInfo:
    """Undo `session_to_dict`."""
    streams = {
        name: StreamInfo(**{**info, "channels": tuple(info["channels"])}) for name, info in content["streams"].items()
    }
    return SessionInfo(**{**content, "streams": streams, "outputs": tuple(content["outputs"])})


def recordings_to_arrays(recordings: Sequence[Recording], prefix: str) -> tuple[dict[str, np.ndarray], list[Any]]:
    """Flatten recordings into named arrays, and their sessions into JSON."""
    arrays: dict[str, np.ndarray] = {}
    for i, r in enumerate(recordings):
        parts = inputs_to_arrays(r.inputs) | {"targets": r.targets, "scored": r.scored}
        parts |= {f"privileged.{name}": values for name, values in r.privileged.items()}
        arrays |= {f"{prefix}.{i}.{name}": values for name, values in parts.items()}
    return arrays, [session_to_dict(r.session) for r in recordings]


def recordings_from_arrays(arrays: Mapping[str, np.ndarray], sessions: Sequence[Any], prefix: str) -> list[Recording]:
    """Undo `recordings_to_arrays`."""
    return [_recording(arrays, session_from_dict(s), f"{prefix}.{i}.") for i, s in enumerate(sessions)]


def _recording(arrays: Mapping[str, np.ndarray], session: SessionInfo, prefix: str) -> Recording:
    own = {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}
    kind = "privileged."
    privileged = {name.removeprefix(kind): values for name, values in own.items() if name.startswith(kind)}
    inputs = inputs_from_arrays(own, session.bin_s)
    return Recording(session, inputs, own["targets"], own["scored"], privileged)


def inputs_to_arrays(inputs: Inputs) -> dict[str, np.ndarray]:
    """Inputs alone, for a decoder that wants them all at once."""
    return {"starts": inputs.starts} | {f"streams.{name}": values for name, values in inputs.streams.items()}


def inputs_from_arrays(arrays: Mapping[str, np.ndarray], bin_s: float) -> Inputs:
    """Undo `inputs_to_arrays`."""
    streams = {name.removeprefix("streams."): v for name, v in arrays.items() if name.startswith("streams.")}
    return Inputs(streams, arrays["starts"], bin_s)


def flat_bins(inputs: Inputs, session: SessionInfo) -> list[np.ndarray]:
    """The streams in the session's order, little-endian float32: not copied where they are that already."""
    return [np.asarray(inputs.streams[name], dtype="<f4") for name in session.streams]


def row_of(streams: Sequence[np.ndarray], k: int) -> bytes:
    """Bin k as it travels: the values of one stream after the other."""
    return b"".join([stream[k].tobytes() for stream in streams])


def bin_layout(session: SessionInfo) -> list[tuple[str, slice, tuple[int, ...]]]:
    """Where each stream lies in a row of `row_of`: (name, values, shape)."""
    layout, start = [], 0
    for name, info in session.streams.items():
        stop = start + int(np.prod(info.shape))
        layout.append((name, slice(start, stop), info.shape))
        start = stop
    return layout
