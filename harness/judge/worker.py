"""The worker: a fresh process that holds one decoder and does what the judge says, one message after the other.

It lowers its own limits before any foreign code is imported. It knows no path of data and gets test bins one at a time.
"""

import contextlib
import ctypes
import dataclasses
import json
import mmap
import os
import resource
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.checkpoint import Checkpoint
from harness.decoder import Decoder
from harness.errors import HarnessError
from harness.judge import artifact, seccomp, wire
from harness.registry import DecoderRef, construct
from harness.types import SessionInfo

MESSAGE_CHARACTERS = 2000
OUT_OF_MEMORY = ("not enough memory", "can't allocate memory", "out of memory")
PR_SET_PDEATHSIG = 1
STAGES: Mapping[str, tuple[str, ...]] = {
    "pretrain": ("recordings",),
    "fit": ("train", "validation"),
    "adapt": ("recording",),
}
"""Stages of learning, in order, and the recordings that each is given."""
MOST_DESCRIPTORS = 5
MOST_PARENTS = 8


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a worker may take; None is no limit. Time is limited by the judge."""

    memory_bytes: int
    n_processes: int | None = None
    file_bytes: int = 1 << 30
    n_descriptors: int = 256


class WrongAnswer(HarnessError, ValueError):
    """`step` returned something that is no answer."""


def main() -> None:
    """Entry point of the worker process: descriptor, import path and limits are its arguments."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    _lower_limits(Limits(**json.loads(sys.argv[3])))
    if not seccomp.why_unavailable():
        seccomp.install()
    serve(socket.socket(fileno=int(sys.argv[1])))


def serve(channel: socket.socket) -> None:
    """Answer messages until the judge hangs up; a fault is reported and ends the worker."""
    try:
        _Desk(channel).work()
    except BaseException as error:
        kind = _kind(error)
        text = f"{type(error).__name__}: {error}"[:MESSAGE_CHARACTERS]
        told = {"status": kind, "error": text, "kind": type(error).__name__, "where": _where(error)}
        channel.send(wire.message(wire.FAULT, wire.to_json(told)))
        raise SystemExit(1) from None


class _Desk:
    """One decoder and the socket it is asked through."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.decoder: Decoder | None = None
        self.layout: list[tuple[str, slice, tuple[int, ...]]] = []
        self.n_outputs = 0

    def work(self) -> None:
        handlers = {wire.CONSTRUCT: self.construct, wire.LEARN: self.learn, wire.RESTORE: self.restore}
        handlers |= {wire.PREDICT: self.predict, wire.COUNT: self.count, wire.RESET: self.reset, wire.END: self.rest}
        while True:
            received, descriptors, _, _ = socket.recv_fds(self.channel, wire.MAX_REQUEST, MOST_DESCRIPTORS)
            if not received:
                return
            handlers[wire.letter_of(received)](json.loads(wire.body_of(received)), descriptors)
            if wire.letter_of(received) == wire.RESET and not self.stream():
                return

    def answer(self, content: Any = None) -> None:
        self.channel.send(wire.message(wire.ANSWER, wire.to_json(content)))

    def construct(self, request: dict[str, Any], _: Sequence[int]) -> None:
        self.ref, self.settings = DecoderRef(**request["ref"]), request["settings"]
        decoder = construct(self.ref, self.settings)
        self.decoder = decoder
        self.answer(_about(decoder) | {"parents": [_about(parent) for parent in parents_of(decoder)]})

    def learn(self, request: dict[str, Any], descriptors: Sequence[int]) -> None:
        """Go through one stage with the recordings behind the first descriptor; write the artefact to the second.

        Further descriptors are those of a checkpoint: its slots and its progress.
        """
        decoder, stage = self._constructed(), request["stage"]
        if noted := descriptors[2:]:
            decoder.checkpoint = Checkpoint(noted[:-1], noted[-1])  # type: ignore[misc]
        content = _read(descriptors[0])
        arrays, sessions = artifact.unpack(content), artifact.meta(content)
        parts = [wire.recordings_from_arrays(arrays, sessions[name], name) for name in STAGES[stage]]
        if stage == "adapt":
            decoder.adapt(parts[0][0])
        else:
            getattr(decoder, stage)(*parts)
        content = artifact.pack(decoder.state(), bits=_bits(decoder, parts[0][0].session))
        _write(descriptors[1], content)
        self.answer(len(content))

    def restore(self, _: dict[str, Any], descriptors: Sequence[int]) -> None:
        """Restore the artefact behind the first descriptor; behind the second are the sessions it was fitted on."""
        sessions = [wire.session_from_dict(s) for s in artifact.meta(_read(descriptors[1]))["sessions"]]
        self._constructed().restore(artifact.unpack(_read(descriptors[0])), sessions)
        self.answer()

    def predict(self, _: dict[str, Any], descriptors: Sequence[int]) -> None:
        """Decode the stream behind the first descriptor at once; write the outputs to the second."""
        content = _read(descriptors[0])
        session = wire.session_from_dict(artifact.meta(content)["session"])
        inputs = wire.inputs_from_arrays(artifact.unpack(content), session.bin_s)
        outputs = np.asarray(self._constructed().predict(inputs, session), np.float32)
        wanted = (len(inputs), len(session.outputs))
        if outputs.shape != wanted:
            raise WrongAnswer(f"predict returned shape {outputs.shape}; {wanted} is asked for")
        _write(descriptors[1], artifact.pack({"outputs": outputs}))
        self.answer()

    def count(self, _: dict[str, Any], descriptors: Sequence[int]) -> None:
        """Count the operations of another decoder of the same kind on an excerpt; write its outputs to the second."""
        from harness.judge.count.excerpt import Subject, count, declaration, to_json

        content = _read(descriptors[0])
        arrays, about = artifact.unpack(content), artifact.meta(content)
        learned = {k.removeprefix(wire.LEARNED): v for k, v in arrays.items() if k.startswith(wire.LEARNED)}
        session = wire.session_from_dict(about["session"])
        fitted_on = [wire.session_from_dict(s) for s in about["fitted_on"]]
        counted = count(
            Subject(self.ref, self.settings, learned, fitted_on),
            wire.inputs_from_arrays(arrays, session.bin_s),
            session,
        )
        _write(descriptors[1], artifact.pack({"outputs": counted.outputs}))
        self.answer(to_json(counted) | declaration(self._constructed(), session))

    def reset(self, _: dict[str, Any], descriptors: Sequence[int]) -> None:
        """Begin to stream the session behind the descriptor."""
        session = wire.session_from_dict(artifact.meta(_read(descriptors[0]))["session"])
        self.session, self.layout, self.n_outputs = session, wire.bin_layout(session), len(session.outputs)
        self._reset(session)

    def rest(self, _: dict[str, Any] | None = None, __: Sequence[int] = ()) -> None:
        """No more bins for now."""
        self.answer()

    def _reset(self, session: SessionInfo) -> None:
        self._constructed().reset(session)
        self.answer()

    def stream(self) -> bool:
        """Answer bins until the judge says that there are no more; false when it hung up."""
        receive, send, step = self.channel.recv, self.channel.send, self._constructed().step
        layout, shape = self.layout, (self.n_outputs,)
        # Small enough that no bin costs a fresh mapping of memory, large enough for a reset.
        size = max(wire.MAX_REPLY, wire.HEADER + 4 * layout[-1][1].stop)
        while True:
            received = receive(size)
            letter = received[:1]
            if letter == wire.BIN:
                values = np.frombuffer(received, "<f4", offset=wire.HEADER)
                # A copy, so that the decoder owns what it is given and may keep or change it.
                given = {name: values[where].reshape(dims).copy() for name, where, dims in layout}
                outputs = np.asarray(step(given), "<f4")
                if outputs.shape != shape:
                    raise WrongAnswer(f"step returned shape {outputs.shape}; {shape} is asked for")
                send(wire.ANSWER + bytes(7) + received[8 : wire.HEADER] + outputs.tobytes())
            elif letter == wire.RESET:
                self._reset(self.session)
            elif letter == wire.END:
                self.rest()
                return True
            else:
                return False

    def _constructed(self) -> Decoder:
        if self.decoder is None:
            raise WrongAnswer("the judge asked for a decoder before it named one")
        return self.decoder


def parents_of(decoder: Decoder) -> list[Decoder]:
    """The decoders whose pretraining comes before this one's, the nearest first."""
    found: list[Decoder] = []
    parent = decoder.pretrained_by()
    while parent is not None:
        if not isinstance(parent, Decoder) or len(found) == MOST_PARENTS:
            raise WrongAnswer(f"pretrained_by() leads to {parent!r:.80}; at most {MOST_PARENTS} decoders are allowed")
        found.append(parent)
        parent = parent.pretrained_by()
    return found


def stages_of(kind: type[Decoder]) -> list[str]:
    """The stages of learning that a class has written."""
    return [stage for stage in STAGES if getattr(kind, stage) is not getattr(Decoder, stage)]


def _about(decoder: Decoder) -> dict[str, Any]:
    """What a decoder says of itself."""
    kind = type(decoder)
    return {
        "where": f"{kind.__module__}:{kind.__qualname__}",
        "inputs": kind.inputs,
        "causal": kind.causal,
        "deterministic": kind.deterministic,
        "stages": stages_of(kind),
        "delay": dataclasses.asdict(decoder.delay()),
        "parameters": decoder.parameters(),
    }


def _bits(decoder: Decoder, session: SessionInfo) -> Mapping[str, int]:
    """The widths that a decoder declares; none if it declares nothing or fails, which is told where it is counted."""
    try:
        return {str(name): int(n_bits) for name, n_bits in decoder.cost(session).bits.items()}
    except Exception:
        return {}


def _read(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content[:]


def _write(descriptor: int, content: bytes) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _lower_limits(limits: Limits) -> None:
    wanted = {
        resource.RLIMIT_AS: limits.memory_bytes,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NOFILE: limits.n_descriptors,
        resource.RLIMIT_CORE: 0,
    }
    if limits.n_processes is not None:
        wanted[resource.RLIMIT_NPROC] = limits.n_processes
    for kind, value in wanted.items():
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def _kind(error: BaseException) -> str:
    if isinstance(error, MemoryError) or any(text in str(error) for text in OUT_OF_MEMORY):
        return "out-of-memory"
    return "invalid-output" if isinstance(error, WrongAnswer) else "failed"


def _where(error: BaseException) -> str:
    """File name and line of the innermost frame."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
