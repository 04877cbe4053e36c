"""A seat: a process of this machine that does jobs, one at a time, until the one who started it hangs up or dies."""

import contextlib
import ctypes
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
from multiprocessing.connection import Connection
from types import FrameType, TracebackType

from harness.engine.jobs import Job, Trouble, attempt
from harness.judge.host import end_all
from harness.judge.worker import PR_SET_PDEATHSIG

BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from harness.engine.seat import main; main()"
STDERR = 2
END_S = 10.0


class Died(Exception):
    """The process of a seat is gone, and with it what it was doing; the text says how it ended."""


class Seat:
    """One worker process.

    A fresh interpreter, not a fork: threads and locks of this process are not in it. It has a session of its own, so
    that Ctrl-C on a terminal reaches only the one who decides what to end.
    """

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        arguments = [json.dumps(sys.path), str(theirs.fileno()), str(os.getpid())]
        self.process = subprocess.Popen(
            [sys.executable, "-c", BOOT, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=STDERR,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        self.pipe = Connection(ours.detach())

    def __enter__(self) -> "Seat":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def begin(self, job: Job) -> None:
        """Hand a job over; a process that is gone is noticed by `outcome`."""
        content = pickle.dumps(job)
        with contextlib.suppress(OSError):
            self.pipe.send_bytes(content)

    def over(self, within_s: float) -> bool:
        """Whether there is an outcome, or nothing to wait for, within some time."""
        return self.pipe.poll(within_s)

    def outcome(self) -> Trouble | None:
        """Wait for what came of the job.

        Raises:
            Died: If the process ended instead.
        """
        try:
            told: Trouble | None = pickle.loads(self.pipe.recv_bytes())
        except (EOFError, OSError):
            self.end()
            raise Died(_how(self.process.returncode)) from None
        return told

    def stop(self) -> None:
        """Ask the process to end its decoder's workers and itself; does not wait."""
        if self.process.poll() is None:
            self.process.terminate()

    def end(self) -> None:
        """Nothing of the process is left afterwards; what it was doing is lost."""
        self.stop()
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.pipe.close()


def _how(code: int) -> str:
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL); lack of memory is the usual cause"
    return f"was ended by signal {-code}" if code < 0 else f"left with exit code {code}"


def main() -> None:
    """Entry point of the process: import path, descriptor and the parent's number are its arguments."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[3]):
        return
    signal.signal(signal.SIGTERM, _stop)
    with Connection(int(sys.argv[2])) as pipe, contextlib.suppress(EOFError, ConnectionError):
        while True:
            pipe.send_bytes(pickle.dumps(_done(pipe.recv_bytes())))


def _done(content: bytes) -> Trouble | None:
    try:
        job: Job = pickle.loads(content)
    except Exception as error:
        return Trouble(f"a worker process cannot read its job: {type(error).__name__}: {error}")
    return attempt(job)


def _stop(_: int, __: FrameType | None) -> None:
    end_all()
    raise SystemExit(128 + signal.SIGTERM)
