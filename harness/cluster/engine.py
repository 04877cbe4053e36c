"""The engine that has its work done by the workers of a Dask cluster."""

import contextlib
from collections.abc import Callable, Generator, Mapping, Sequence
from types import TracebackType
from typing import Any

import distributed

from harness.checkpoint import Progress
from harness.cluster.errand import keep
from harness.cluster.posting import LOST, Deserted, Posting
from harness.cluster.serve import PROGRESS, forget, stop
from harness.engine.jobs import Finished, J, Trouble, trouble_of
from harness.errors import UsageError

PATIENCE_S = 60.0
MOST_RECONNECTS = 5
CLOSE_S = 10.0


class Cluster:
    """A scheduler's workers. This machine's store is the only one that counts; see decision 0121.

    scheduler: Address of a scheduler that is running, or a `distributed` cluster, which is closed in the end.
    patience_s: How long to wait for a scheduler that does not answer.
    workers_s: How long to wait while there is no worker.
    """

    is_local = False

    def __init__(
        self, scheduler: Any, *, name: str = "", patience_s: float = PATIENCE_S, workers_s: float = PATIENCE_S
    ) -> None:
        self.name, self.patience_s, self.workers_s = name or str(scheduler), patience_s, workers_s
        self._scheduler, self.told = scheduler, dict[str, Progress]()
        self._client: Any = self._connected()
        self._done: list[str] = []

    @property
    def n_workers(self) -> int:
        """How many workers there are now."""
        return len(self._client.nthreads())

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tell(forget, self._done)
        self._close()
        if not isinstance(self._scheduler, str):
            # A job that has ended meanwhile cannot be cancelled, and Dask takes that for a mistake of ours.
            with contextlib.suppress(AssertionError, RuntimeError, *LOST):
                self._scheduler.close()

    def run(self, jobs: Sequence[J], *, alone: bool = False) -> Generator[Finished[J], None, None]:
        """See `Engine.run`. A connection that is lost is made again and what is missing is sent again."""
        todo = {job.key: job for job in jobs}
        n_lost = 0
        while todo:
            left: Any = list(todo.values())  # learning or test passes; an engine need not know
            posting = Posting(self._client, left, alone=alone, patience_s=self.workers_s)
            try:
                for job, reply in posting.replies():
                    trouble = reply if isinstance(reply, Trouble) else self._kept(job, reply)
                    yield Finished(todo.pop(job.key), trouble)
            except LOST as error:
                n_lost += 1
                why = self._again(n_lost, error)
                if why:
                    yield from (Finished(job, Trouble(why)) for job in todo.values())
                    return
            except Deserted as error:
                why = f"{self.name}: {error}"
                yield from (Finished(job, Trouble(why)) for job in todo.values())
                return
            except BaseException:
                self._tell(stop, posting.ids)
                raise

    def _kept(self, job: Any, done: Any) -> Trouble | None:
        if done.trouble:
            return Trouble(done.trouble.text, done.trouble.exit_code, done.trouble.details)
        try:
            keep(job, done)
        except Exception as error:
            return trouble_of(error, job)
        self._done.append(job.key)
        return None

    def _again(self, n_lost: int, error: BaseException) -> str:
        """Connect again; or why not."""
        times = f"for the {n_lost}th time " if n_lost > 1 else ""
        lost = f"the connection to scheduler {self.name} was lost {times}({type(error).__name__})"
        self._close()
        if n_lost > MOST_RECONNECTS:
            return f"{lost}; look at its log"
        try:
            self._client = self._connected()
        except UsageError as again:
            return f"{lost}; {again}"
        return ""

    def _tell(self, what: Callable[[Sequence[str]], None], ids: Sequence[str]) -> None:
        """Have all workers do something quick; one that is gone need not."""
        if self._client and ids:
            with contextlib.suppress(*LOST):
                self._client.run(what, ids, on_error="ignore")

    def _connected(self) -> Any:
        try:
            client = distributed.Client(self._scheduler, timeout=self.patience_s, set_as_default=False)
            client.subscribe_topic(PROGRESS, self._hear)
            return client
        except (OSError, TimeoutError, ValueError) as error:
            raise UsageError(
                f"no Dask scheduler answers at {self.name} within {self.patience_s:g} s ({error}); start one with "
                f"`dask scheduler`, and workers with `dask worker ADDRESS`"
            ) from None

    def _hear(self, event: tuple[float, Mapping[str, Any]]) -> None:
        """How far some job is; on a scheduler that others use too, perhaps one of theirs."""
        said = event[1]
        self.told[said["key"]] = Progress(said["done"], said["total"], said["loss"])

    def _close(self) -> None:
        if self._client:
            with contextlib.suppress(*LOST):
                self._client.close(timeout=CLOSE_S)
        self._client = None
