"""The judge's end of a worker: start it, talk to it, limit its time and output, end it."""

import dataclasses
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

import numpy as np

from harness.errors import DecoderError, UsageError
from harness.judge import artifact, sandbox, wire
from harness.judge.profiles import Profile
from harness.judge.worker import Limits
from harness.registry import DecoderRef, source_root
from harness.types import Inputs, Recording, SessionInfo

GRACE_S = 2.0
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


class Worker:
    """One fresh worker process with one decoder; use it in a `with` block.

    Raises:
        WorkerFault: From every method, when the decoder fails, hangs, floods or dies.
    """

    def __init__(
        self, ref: DecoderRef, settings: Mapping[str, Any], profile: Profile, *, fitting: bool = False
    ) -> None:
        self.isolation = sandbox.isolation()
        self._profile = profile
        gib = profile.limits.fit_memory_gib if fitting else profile.memory_gib
        limits = Limits(memory_bytes=int(gib * 2**30))
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
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
        self._output = _Output(self._process, profile.limits.max_output_kib * 1024)
        self._ref, self._settings = ref, settings

    def __enter__(self) -> "Worker":
        try:
            request = {"ref": dataclasses.asdict(self._ref), "settings": dict(self._settings)}
            d = self.ask(wire.CONSTRUCT, request, limit_s=START_S)
            self.description = Description(tuple(d["inputs"]), d["causal"], d["deterministic"], d["parameters"])
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> bytes:
        """Fit; return the artefact."""
        arrays, sessions = wire.recordings_to_arrays(train, "train")
        more, more_sessions = wire.recordings_to_arrays(validation, "validation")
        request = {"train": sessions, "validation": more_sessions}
        with _memory("recordings", artifact.pack({**arrays, **more})) as data, _memory("artefact") as kept:
            self.ask(wire.FIT, request, [data.fileno(), kept.fileno()], limit_s=self._profile.limits.fit_seconds)
            return _collect(kept.fileno(), self._profile.limits.max_artifact_mib)

    def restore(self, content: bytes, sessions: Sequence[SessionInfo]) -> None:
        """Hand over an artefact."""
        request = {"sessions": [wire.session_to_dict(s) for s in sessions]}
        with _memory("artefact", content) as data:
            self.ask(wire.RESTORE, request, [data.fileno()], limit_s=START_S)

    def predict(self, inputs: Inputs, session: SessionInfo) -> np.ndarray:
        """All outputs at once, from a decoder that looks ahead: (n_bins, n_outputs) float32, finite."""
        content = artifact.pack(wire.inputs_to_arrays(inputs))
        limits = self._profile.limits
        with _memory("inputs", content) as data, _memory("outputs") as kept:
            descriptors = [data.fileno(), kept.fileno()]
            self.ask(wire.PREDICT, wire.session_to_dict(session), descriptors, limit_s=limits.fit_seconds)
            outputs = artifact.unpack(_collect(kept.fileno(), limits.max_artifact_mib))["outputs"]
        return refuse_non_finite(outputs)

    def reset(self, session: SessionInfo) -> None:
        """Tell the decoder that a segment starts."""
        self.ask(wire.RESET, wire.session_to_dict(session), limit_s=self._profile.limits.step_seconds)

    def ask(self, letter: bytes, request: Any, descriptors: Sequence[int] = (), *, limit_s: float) -> Any:
        """Send one request and wait for its answer."""
        self._limit(limit_s)
        try:
            socket.send_fds(self._channel, [wire.message(letter, wire.to_json(request))], list(descriptors))
            received = self._channel.recv(wire.MAX_REPLY)
        except OSError as error:
            raise self.fault(error, limit_s) from None
        if wire.letter_of(received) != wire.ANSWER:
            raise self.fault(received, limit_s)
        return json.loads(wire.body_of(received))

    def streaming_channel(self) -> socket.socket:
        """The raw socket, for the loop."""
        self._limit(self._profile.limits.step_seconds)
        return self._channel

    def fault(self, seen: bytes | OSError, limit_s: float, at_bin: int | None = None) -> WorkerFault:
        """Explain what came instead of an answer."""
        if isinstance(seen, bytes) and wire.letter_of(seen) == wire.FAULT:
            told = json.loads(wire.body_of(seen))
            if told["kind"] == "UsageError":
                raise UsageError(told["error"].removeprefix("UsageError: "))
            return WorkerFault(told["status"], f"{told['error']} (at {told['where']})", at_bin)
        if self._output.flooded:
            limit = self._profile.limits.max_output_kib
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
            return WorkerFault("out-of-memory", "killed, most likely for lack of memory", at_bin)
        how = "hung up" if code is None else f"left with exit code {code}"
        return WorkerFault("failed", f"the worker {how}" + (f"; it last printed: {said}" if said else ""), at_bin)

    def _limit(self, seconds: float) -> None:
        # A kernel timeout keeps the socket blocking: Python's own timeout would add a poll to every bin.
        whole = int(seconds)
        timeval = struct.pack("ll", whole, int((seconds - whole) * 1e6))
        self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)

    def _end(self) -> None:
        self._channel.close()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._output.close()


class _Output:
    """Reads what a worker prints, keeps the end of it, and kills a worker that floods."""

    KEPT = 500

    def __init__(self, process: subprocess.Popen[bytes], limit: int) -> None:
        assert process.stdout is not None
        self.flooded = False
        self._process, self._limit, self._pipe, self._kept = process, limit, process.stdout, b""
        self._thread = threading.Thread(target=self._drain, daemon=True)
        self._thread.start()

    def _drain(self) -> None:
        n_read = 0
        while chunk := os.read(self._pipe.fileno(), 65536):
            n_read += len(chunk)
            self._kept = (self._kept + chunk)[-self.KEPT :]
            if n_read > self._limit and not self.flooded:
                self.flooded = True
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def tail(self) -> str:
        self._thread.join(GRACE_S)
        return self._kept.decode(errors="replace").strip()

    def close(self) -> None:
        self._thread.join(GRACE_S)
        if not self._thread.is_alive():
            self._pipe.close()


def refuse_non_finite(outputs: np.ndarray) -> np.ndarray:
    """The outputs, (n_bins, n_outputs), if all are finite."""
    bad = np.flatnonzero(~np.isfinite(outputs).all(axis=1))
    if bad.size:
        k = int(bad[0])
        raise WorkerFault("invalid-output", f"the answer was {outputs[k].tolist()}; only finite numbers are scored", k)
    return outputs


def _memory(name: str, content: bytes | None = None) -> Any:
    """An anonymous file: sealed when it has content, empty and writable otherwise."""
    descriptor = os.memfd_create(name, os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    file = os.fdopen(descriptor, "wb+")
    if content is not None:
        file.write(content)
        file.flush()
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return file


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


def describe(ref: DecoderRef, settings: Mapping[str, Any], profile: Profile) -> Description:
    """Ask a decoder for its streams, kind and full hyper-parameters, in a worker."""
    with Worker(ref, settings, profile) as worker:
        return worker.description
