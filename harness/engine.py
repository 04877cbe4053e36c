"""Where work runs. So far: threads of this process, each waiting for a worker process of its own."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")


def run(jobs: Iterable[Callable[[], T]], *, n_workers: int, stop: Callable[[], None]) -> Iterator[T]:
    """Run jobs, `n_workers` at a time, and yield their results as they finish.

    A job that raises ends the run: what a decoder does wrong is a result, only the harness itself raises. `stop` is
    then called, and on Ctrl-C, to make jobs under way return at once.
    """
    todo = iter(jobs)
    with ThreadPoolExecutor(n_workers) as pool:
        running: set[Future[T]] = set()
        try:
            while True:
                while len(running) < n_workers and (job := next(todo, None)) is not None:
                    running.add(pool.submit(job))
                if not running:
                    return
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
        except BaseException:
            stop()
            raise
