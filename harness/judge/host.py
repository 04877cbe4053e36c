"""The judge's end of a worker: start it, talk to it, limit its time and output, end it."""

import dataclasses
import errno
import functools
import json
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

import numpy as np

from harness.errors import UsageError
from harness.judge import artifact, sandbox, wire
from harness.judge.memory_file import memory_file
from harness.judge.notes import Notes
from harness.judge.output import GRACE_S, Output
from harness.judge.profiles import Profile
from harness.judge.replies import (
    TOLD_STATUSES,
    Description,
    Stopped,
    Told,
    WorkerFault,
    collected,
    described,
    parsed,
    refuse_non_finite,
    told_fault,
)
from harness.judge.resources import Resources, innermost
from harness.judge.worker import Limits
from harness.registry import DecoderRef
from harness.source import source
from harness.types import Inputs, Recording, SessionInfo

START_S = 120.0


_live: "set[Worker]" = set()


def end_all() -> None:
    """End every worker of this process, whatever it is doing; whoever waits for one gets `Stopped`."""
    for worker in list(_live):
        worker.stopped = True
        worker.end()


class Worker:
    """One fresh worker process with one decoder; use it in a `with` block.

    before_stream: Called before anything is streamed, while the decoder has nothing to do.

    Raises:
        WorkerFault: From every method, when the decoder fails, hangs, floods or dies.
    """

    def __init__(
        self, ref: DecoderRef, settings: Mapping[str, Any], profile: Profile, *, fitting: bool = False
    ) -> None:
        self.isolation, self.stopped = sandbox.isolation(), False
        self.before_stream: Callable[[], object] = lambda: None
        self.limits = profile.limits
        gib = profile.limits.fit_memory_gib if fitting else profile.memory_gib
        limits = Limits(int(gib * 2**30), n_processes=sandbox.process_limit(self.isolation))
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, wire.MAX_REQUEST)
        command = sandbox.worker_command(
            theirs.fileno(),
            readable=[source(ref)],
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
            self.description = described(self.ask(wire.CONSTRUCT, request, limit_s=START_S))
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def learn(self, stage: str, parts: Mapping[str, Sequence[Recording]], notes: Notes | None = None) -> bytes:
        """Go through a stage of learning; return the artefact.

        Args:
            stage: `pretrain`, `fit` or `adapt`.
            parts: What `harness.judge.worker.STAGES` names for it.
            notes: Where it may note how far it is.
        """
        arrays: dict[str, np.ndarray] = {}
        sessions = {}
        for name, recordings in parts.items():
            more, sessions[name] = wire.recordings_to_arrays(recordings, name)
            arrays |= more
        content = artifact.pack(arrays, sessions)
        with memory_file("recordings", content) as data, memory_file("artefact") as kept:
            descriptors = [data.fileno(), kept.fileno(), *(notes.descriptors if notes else ())]
            self.ask(wire.LEARN, {"stage": stage}, descriptors, limit_s=self.limits.fit_seconds)
            return collected(kept.fileno(), self.limits.max_artifact_mib)

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
            return self._outputs(kept.fileno(), (len(inputs), len(session.outputs)))

    def _outputs(self, descriptor: int, wanted: tuple[int, int]) -> np.ndarray:
        """Outputs that a worker wrote all at once."""
        outputs = artifact.unpack(collected(descriptor, self.limits.max_artifact_mib)).get("outputs")
        if outputs is None or outputs.shape != wanted or outputs.dtype.kind != "f":
            raise WorkerFault("invalid-output", f"there is no {wanted} array of floats for an answer")
        return refuse_non_finite(outputs.astype(np.float32))

    def count(self, content: bytes, fitted_on: Sequence[SessionInfo], excerpt: Inputs, session: SessionInfo) -> Told:
        """Have an excerpt's operations counted with an artefact, and the outputs that go with the count."""
        arrays = {wire.LEARNED + name: values for name, values in artifact.unpack(content).items()}
        about = {"session": wire.session_to_dict(session), "fitted_on": [wire.session_to_dict(s) for s in fitted_on]}
        packed = artifact.pack(arrays | wire.inputs_to_arrays(excerpt), about)
        self.ask(wire.END, None, limit_s=self.limits.step_seconds)
        with memory_file("excerpt", packed) as data, memory_file("outputs") as kept:
            told = self.ask(wire.COUNT, None, [data.fileno(), kept.fileno()], limit_s=self.limits.count_seconds)
            outputs = self._outputs(kept.fileno(), (len(excerpt), len(session.outputs)))
        return Told(outputs, told if isinstance(told, dict) else {})

    def reset(self, session: SessionInfo | None = None, *, at_bin: int = 0) -> None:
        """Tell the decoder to forget: this session begins, or (without one) another segment of it does.

        Raises:
            WorkerFault: With the bin before which it failed.
        """
        try:
            if session is None:
                self.ask(wire.RESET, None, limit_s=self.limits.step_seconds)
            else:
                with memory_file("session", artifact.pack({}, {"session": wire.session_to_dict(session)})) as about:
                    self.ask(wire.RESET, None, [about.fileno()], limit_s=self.limits.step_seconds)
        except WorkerFault as fault:
            raise WorkerFault(fault.status, f"reset: {fault.reason}", at_bin) from None

    def ask(self, letter: bytes, request: Any, descriptors: Sequence[int] = (), *, limit_s: float) -> Any:
        """Send one request and wait for its answer."""
        self._limit(limit_s)
        try:
            socket.send_fds(self._channel, [wire.message(letter, wire.to_json(request))], list(descriptors))
            received = self._channel.recv(wire.MAX_REPLY)
        except OSError as error:
            raise self.fault(error, limit_s) from None
        if wire.letter_of(received) != wire.ANSWER:
            told = told_fault(received) if letter == wire.CONSTRUCT else {}
            if told.get("kind") == "UsageError":
                raise UsageError(told["error"].removeprefix("UsageError: "))
            raise self.fault(received, limit_s)
        return parsed(wire.body_of(received))

    @functools.cached_property
    def resources(self) -> Resources:
        """What the decoder's process takes, as the kernel tells the judge."""
        return Resources(innermost(self._process.pid))

    def streaming_channel(self) -> socket.socket:
        """The raw socket, for the loop."""
        self._limit(self.limits.step_seconds)
        return self._channel

    def fault(self, seen: bytes | OSError, limit_s: float, at_bin: int | None = None) -> WorkerFault:
        """Explain what came instead of an answer."""
        if self.stopped:
            raise Stopped("the run was stopped")
        if isinstance(seen, bytes) and wire.letter_of(seen) == wire.FAULT:
            told = told_fault(seen)
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
        # A kernel timeout keeps the socket blocking: Python's own timeout would add a poll to every bin. Zero is none.
        timeval = struct.pack("ll", *divmod(max(1, int(seconds * 1e6)), 1_000_000))
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
        sandbox.end(self._process)
        self._output.close()


def describe(ref: DecoderRef, settings: Mapping[str, Any], profile: Profile) -> Description:
    """Ask a decoder for its streams, kind and full hyper-parameters, in a worker."""
    with Worker(ref, settings, profile) as worker:
        return worker.description
