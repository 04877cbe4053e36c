"""What an engine is given and what it gives back."""

import traceback
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from harness.checkpoint import Progress
from harness.disk import ONLY_WRITING, not_written
from harness.errors import HarnessError, NotWritten
from harness.judge.replies import Stopped


class Job(Protocol):
    """Work that leaves a folder which appears whole, so that doing it twice is harmless; it can be pickled.

    key: Of all that decides the outcome.
    """

    key: str

    @property
    def name(self) -> str:
        """What it is, for people."""

    @property
    def folder(self) -> Path:
        """What it leaves."""

    def do(self) -> object:
        """Do it, unless that was done."""


J = TypeVar("J", bound=Job)
K = TypeVar("K", bound=Job, covariant=True)


@dataclass(frozen=True)
class Trouble:
    """Why a job could not be done. What a decoder does wrong is none: that is a result.

    details: The traceback, for who asks.
    """

    text: str
    exit_code: int = HarnessError.exit_code
    details: str = ""


@dataclass(frozen=True)
class Finished(Generic[K]):
    """A job that is over; `trouble` if it was not done."""

    job: K
    trouble: Trouble | None = None


class Engine(AbstractContextManager["Engine"], Protocol):
    """Runs jobs until none is left; leaving the block ends whatever is still running.

    is_local: Whether the jobs run on this machine, so that it has to serve their profile.
    """

    is_local: bool

    @property
    def told(self) -> Mapping[str, Progress]:
        """Key -> how far a job is whose notes lie elsewhere."""

    def run(self, jobs: Sequence[J], *, alone: bool = False) -> Generator[Finished[J], None, None]:
        """Do all jobs and yield each as it is over; one that is in trouble stops no other.

        Args:
            jobs: None of which needs what another of them leaves.
            alone: They are timed: a machine of a cluster gets one at a time; here they take turns, and no thread waits.
        """


def attempt(job: Job) -> Trouble | None:
    """Do a job; what goes wrong is told, not raised, unless the run was stopped."""
    try:
        job.do()
    except Stopped:
        raise
    except Exception as error:
        return trouble_of(error, job)
    return None


def trouble_of(error: Exception, job: Job) -> Trouble:
    """An error in words."""
    details = "".join(traceback.format_exception(error))
    if isinstance(error, HarnessError):
        return Trouble(str(error), error.exit_code, details)
    if isinstance(error, OSError) and error.errno in ONLY_WRITING:
        refused = not_written(error, error.filename or job.folder)
        return Trouble(str(refused), NotWritten.exit_code, details)
    return Trouble(f"{type(error).__name__}: {error}", details=details)
