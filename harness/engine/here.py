"""The engine without processes of its own: jobs are done one after the other in this one."""

from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from harness.checkpoint import Progress
from harness.engine.jobs import Finished, J, attempt
from harness.judge.host import end_all


class Here:
    """This process. A job waits for its decoder's worker in a thread, so that Ctrl-C is heard at once."""

    is_local = True
    told: Mapping[str, Progress] = {}

    def __enter__(self) -> "Here":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            end_all()

    def run(self, jobs: Sequence[J], *, alone: bool = False) -> Generator[Finished[J], None, None]:
        """See `Engine.run`."""
        if alone:  # A latency is not measured beside a thread that waits.
            yield from (Finished(job, attempt(job)) for job in jobs)
            return
        with ThreadPoolExecutor(1) as pool:
            try:
                for job in jobs:
                    yield Finished(job, pool.submit(attempt, job).result())
            except BaseException:
                end_all()
                raise
