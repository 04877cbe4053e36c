"""The engine of several worker processes on this machine."""

from collections import Counter, deque
from collections.abc import Generator, Mapping, Sequence
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any

from harness.checkpoint import Progress
from harness.engine.here import Here
from harness.engine.jobs import Engine, Finished, J, Trouble, trouble_of
from harness.engine.seat import Died, Seat

MOST_TRIES = 3
"""Of a job whose process dies; what raises is not tried again, for it would raise again."""


class Processes:
    """Seats, started when there is work for them and kept for the next jobs."""

    is_local = True
    told: Mapping[str, Progress] = {}

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers
        self._idle: list[Seat] = []
        self._busy: dict[Seat, Any] = {}

    def __enter__(self) -> "Processes":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def run(self, jobs: Sequence[J], *, alone: bool = False) -> Generator[Finished[J], None, None]:
        """See `Engine.run`."""
        todo, tries = deque(jobs), Counter[str]()
        try:
            while todo or self._busy:
                while todo and len(self._busy) < self.n_workers:  # test passes take turns themselves
                    yield from self._begin(todo.popleft())
                for seat in self._over():
                    job = self._busy.pop(seat)
                    try:
                        trouble = seat.outcome()
                        self._idle.append(seat)
                    except Died as death:
                        tries[job.key] += 1
                        if tries[job.key] < MOST_TRIES:
                            todo.append(job)
                            continue
                        trouble = _fatal(death)
                    yield Finished(job, trouble)
        except BaseException:
            self._end()
            raise

    def _begin(self, job: J) -> Generator[Finished[J], None, None]:
        """Hand a job to a seat, or say why it can be handed to none."""
        seat = self._free()
        try:
            seat.begin(job)
            self._busy[seat] = job
        except Exception as error:  # it cannot be pickled
            self._idle.append(seat)
            yield Finished(job, trouble_of(error, job))

    def _free(self) -> Seat:
        """An idle seat whose process has not been killed meanwhile, or a new one."""
        while self._idle:
            seat = self._idle.pop()
            if seat.process.poll() is None:
                return seat
            seat.end()
        return Seat()

    def _over(self) -> list[Seat]:
        """Seats that have an outcome, or are gone; waits for one."""
        ready = set(wait([seat.pipe for seat in self._busy]))
        return [seat for seat in self._busy if seat.pipe in ready]

    def _end(self) -> None:
        seats, self._idle = [*self._idle, *self._busy], []
        self._busy.clear()
        for seat in seats:
            seat.stop()
        for seat in seats:
            seat.end()


def _fatal(death: Died) -> Trouble:
    return Trouble(f"its worker process {death}, in each of {MOST_TRIES} tries")


def local(n_workers: int) -> Engine:
    """This process for one worker, else as many processes."""
    return Processes(n_workers) if n_workers > 1 else Here()
