"""The judge's end of a worker: start it, talk to it, limit its time and output, end it."""

import dataclasses
import errno
import json
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

import numpy as np

from harness.errors import DecoderError, HarnessError, UsageError
from harness.judge import artifact, sandbox, wire
from harness.judge.memory_file import memory_file
from harness.judge.output import GRACE_S, Output
from harness.judge.profiles import Profile
from harness.judge.worker import MESSAGE_CHARACTERS, Limits
from harness.registry import DecoderRef, source_root
from harness.types import Inputs, Recording, SessionInfo

TOLD_STATUSES = ("failed", "out-of-memory", "invalid-output")
START_S = 120.0


class WorkerFault(DecoderError):
    """A decoder failed in its worker. `status` is the record's; `at_bin` the test bin, if it was streaming."""

    def __init__(self, status: str, reason: str, at_bin: int | None = None) -> None:
        super().__init__(reason if at_bin is None else f"bin {at_bin}: {reason}")
        self.status, self.reason, self.at_bin = status, reason, at_bin


@dataclasses.dataclass(frozen=True)
class Description:
    """What a decoder says of itself, asked in a worker."""

    inputs: tuple[str, ...]
    causal: bool
    deterministic: bool
    parameters: Mapping[str, Any]


class Stopped(HarnessError):
    """A worker was ended from outside: nothing can be said of its decoder."""


_live: "set[Worker]" = set()


def end_all() -> None:
    """End every worker of this process, whatever it is doing; whoever waits for one gets `Stopped`."""
    for worker in list(_live):
        worker.stopped = True
        worker.end()


class Worker:
    """One fresh worker process with one decoder; use it in a `with` block.

    Raises:
        WorkerFault: From every method, when the decoder fails, hangs, floods or dies.
    """

    def __init__(
        self, ref: DecoderRef, settings: Mapping[str, Any], profile: Profile, *, fitting: bool = False
    ) -> None:
        self.isolation, self.stopped = sandbox.isolation(), False
        self.limits = profile.limits
        gib = profile.limits.fit_memory_gib if fitting else profile.memory_gib
        limits = Limits(int(gib * 2**30), n_processes=sandbox.process_limit(self.isolation))
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, wire.MAX_REQUEST)
        command = sandbox.worker_command(
            theirs.fileno(),
            readable=[source_root(ref)],
            limits=json.dumps(dataclasses.asdict(limits)),
            level=self.isolation,
        )
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=sandbox.worker_environment(profile.n_threads),
            pass_fds=[theirs.fileno()],
            cwd="/",
            start_new_session=True,
        )
        theirs.close()
        self._output = Output(self._process, profile.limits.max_output_kib * 1024)
        self._ref, self._settings = ref, settings
        _live.add(self)

    def __enter__(self) -> "Worker":
        try:
            request = {"ref": dataclasses.asdict(self._ref), "settings": dict(self._settings)}
            self.description = _described(self.ask(wire.CONSTRUCT, request, limit_s=START_S))
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> bytes:
        """Fit; return the artefact."""
        arrays, sessions = wire.recordings_to_arrays(train, "train")
        more, more_sessions = wire.recordings_to_arrays(validation, "validation")
        content = artifact.pack({**arrays, **more}, {"train": sessions, "validation": more_sessions})
        with memory_file("recordings", content) as data, memory_file("artefact") as kept:
            descriptors = [data.fileno(), kept.fileno()]
            self.ask(wire.FIT, None, descriptors, limit_s=self.limits.fit_seconds)
            return _collect(kept.fileno(), self.limits.max_artifact_mib)

    def restore(self, content: bytes, sessions: Sequence[SessionInfo]) -> None:
        """Hand over an artefact, and the sessions that it was fitted on."""
        described = artifact.pack({}, {"sessions": [wire.session_to_dict(s) for s in sessions]})
        with memory_file("artefact", content) as data, memory_file("sessions", described) as about:
            self.ask(wire.RESTORE, None, [data.fileno(), about.fileno()], limit_s=START_S)

    def predict(self, inputs: Inputs, session: SessionInfo) -> np.ndarray:
        """All outputs at once, from a decoder that looks ahead: (n_bins, n_outputs) float32, finite."""
        content = artifact.pack(wire.inputs_to_arrays(inputs), {"session": wire.session_to_dict(session)})
        with memory_file("inputs", content) as data, memory_file("outputs") as kept:
            self.ask(wire.PREDICT, None, [data.fileno(), kept.fileno()], limit_s=self.limits.fit_seconds)
            outputs = artifact.unpack(_collect(kept.fileno(), self.limits.max_artifact_mib)).get("outputs")
        wanted = (len(inputs), len(session.outputs))
        if outputs is None or outputs.shape != wanted or outputs.dtype.kind != "f":
            raise WorkerFault("invalid-output", f"predict gave no {wanted} array of floats")
        return refuse_non_finite(outputs.astype(np.float32))

    def begin(self, session: SessionInfo) -> None:
        """Name the session to be streamed, and reset."""
        with memory_file("session", artifact.pack({}, {"session": wire.session_to_dict(session)})) as about:
            self.ask(wire.RESET, None, [about.fileno()], limit_s=self.limits.step_seconds)

    def reset(self) -> None:
        """Tell the decoder that another segment of the session starts."""
        self.ask(wire.RESET, None, limit_s=self.limits.step_seconds)

    def ask(self, letter: bytes, request: Any, descriptors: Sequence[int] = (), *, limit_s: float) -> Any:
        """Send one request and wait for its answer."""
        self._limit(limit_s)
        try:
            socket.send_fds(self._channel, [wire.message(letter, wire.to_json(request))], list(descriptors))
            received = self._channel.recv(wire.MAX_REPLY)
        except OSError as error:
            raise self.fault(error, limit_s) from None
        if wire.letter_of(received) != wire.ANSWER:
            told = _told(received) if letter == wire.CONSTRUCT else {}
            if told.get("kind") == "UsageError":
                raise UsageError(told["error"].removeprefix("UsageError: "))
            raise self.fault(received, limit_s)
        return _parsed(wire.body_of(received))

    def streaming_channel(self) -> socket.socket:
        """The raw socket, for the loop."""
        self._limit(self.limits.step_seconds)
        return self._channel

    def fault(self, seen: bytes | OSError, limit_s: float, at_bin: int | None = None) -> WorkerFault:
        """Explain what came instead of an answer."""
        if self.stopped:
            raise Stopped("the run was stopped")
        if isinstance(seen, bytes) and wire.letter_of(seen) == wire.FAULT:
            told = _told(seen)
            status = told.get("status")
            known = status if status in TOLD_STATUSES else "invalid-output"
            return WorkerFault(known, f"{told.get('error', 'no reason given')} (at {told.get('where', '?')})", at_bin)
        if isinstance(seen, OSError) and seen.errno == errno.EMSGSIZE:
            raise UsageError("a bin is larger than a message between processes may be; choose a smaller bin_s")
        if self._output.flooded:
            limit = self.limits.max_output_kib
            return WorkerFault("failed", f"printed more than {limit} KiB; print less", at_bin)
        if isinstance(seen, BlockingIOError):
            return WorkerFault("timed-out", f"no answer within {limit_s:g} s", at_bin)
        if isinstance(seen, bytes) and seen:
            return WorkerFault("invalid-output", f"{len(seen)} bytes came that are no answer to this bin", at_bin)
        return self._obituary(at_bin)

    def _obituary(self, at_bin: int | None) -> WorkerFault:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_S)
        code = self._process.poll()
        said = self._output.tail()
        if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
            return WorkerFault("out-of-memory", "killed (SIGKILL); lack of memory is the usual cause", at_bin)
        how = "hung up" if code is None else f"left with exit code {code}"
        return WorkerFault("failed", f"the worker {how}" + (f"; it last printed: {said}" if said else ""), at_bin)

    def _limit(self, seconds: float) -> None:
        # A kernel timeout keeps the socket blocking: Python's own timeout would add a poll to every bin.
        whole = int(seconds)
        timeval = struct.pack("ll", whole, int((seconds - whole) * 1e6))
        self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)

    def end(self) -> None:
        """Kill the process and all that it started, once; an answer still awaited fails."""
        if self not in _live:
            return  # Its number may be another process's by now.
        _live.discard(self)
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        self._channel.close()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._output.close()


def _parsed(body: bytes) -> Any:
    """A worker's JSON, which foreign code may have written."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise WorkerFault("invalid-output", f"the worker's reply of {len(body)} bytes is not readable") from None


def _told(received: bytes) -> dict[str, str]:
    """What a worker says of its fault: plain short texts, whatever was sent."""
    content = _parsed(wire.body_of(received)) if received else {}
    items = content.items() if isinstance(content, dict) else []
    return {str(name): _printable(str(text)[:MESSAGE_CHARACTERS]) for name, text in items}


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def refuse_non_finite(outputs: np.ndarray) -> np.ndarray:
    """The outputs, (n_bins, n_outputs), if all are finite."""
    bad = np.flatnonzero(~np.isfinite(outputs).all(axis=1))
    if bad.size:
        k = int(bad[0])
        raise WorkerFault("invalid-output", f"the answer was {outputs[k].tolist()}; only finite numbers are scored", k)
    return outputs


def _described(told: Any) -> Description:
    """What a decoder said of itself, if it is what the contract asks for."""
    try:
        found = Description(tuple(told["inputs"]), told["causal"], told["deterministic"], dict(told["parameters"]))
        json.dumps(told, allow_nan=False)
    except (TypeError, KeyError, ValueError):
        raise WorkerFault("failed", "its fields must be finite JSON values: numbers, texts, lists or null") from None
    if isinstance(told["inputs"], str) or not all(isinstance(name, str) for name in found.inputs):
        raise WorkerFault("failed", f"inputs must be a tuple of stream names, not {told['inputs']!r}")
    if not (isinstance(found.causal, bool) and isinstance(found.deterministic, bool)):
        raise WorkerFault("failed", "causal and deterministic must be True or False")
    return found


def describe(ref: DecoderRef, settings: Mapping[str, Any], profile: Profile) -> Description:
    """Ask a decoder for its streams, kind and full hyper-parameters, in a worker."""
    with Worker(ref, settings, profile) as worker:
        return worker.description


def _collect(descriptor: int, max_mib: float) -> bytes:
    """The artefact that a worker wrote, checked for size and readability."""
    size = os.fstat(descriptor).st_size
    if size > max_mib * 2**20:
        raise WorkerFault("failed", f"the artefact has {size / 2**20:.1f} MiB; {max_mib:g} MiB are allowed")
    content = os.pread(descriptor, size, 0)
    try:
        artifact.unpack(content)
    except DecoderError as error:
        raise WorkerFault("failed", str(error)) from None
    return content
