"""All learning, in rounds, and then the test passes: each piece of work that is not in the store yet, on an engine."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from typing import Protocol

from harness.checkpoint import Progress
from harness.engine.jobs import Engine, Trouble
from harness.engine.processes import local
from harness.errors import HarnessError
from harness.judge.notes import progress_in
from harness.learning import Learning
from harness.lessons import stages_of
from harness.plan import Plan
from harness.results.records import Record
from harness.work import Test

LOOK_S = 1.0
"""Between two looks at how far learning is."""
MOST_NAMED = 10


class Watch(Protocol):
    """Is told of progress; `under_way` says what is being learned, and how far it is."""

    def total(self, n_jobs: int) -> None: ...
    def done(self, what: str) -> None: ...
    def under_way(self, what: str, progress: Progress) -> None: ...


class Unfinished(HarnessError, RuntimeError):
    """Some work could not be done; all else was, and is kept.

    missing: Key of the work -> what it is, and why it is missing.
    records: Of the runs that are whole.
    """

    def __init__(self, missing: Mapping[str, tuple[str, Trouble]], records: Sequence[Record] = ()) -> None:
        self.missing, self.records = missing, records
        causes = [(name, trouble) for name, trouble in missing.values() if trouble.text]
        by_text: dict[str, list[str]] = {}
        for name, trouble in causes:
            by_text.setdefault(trouble.text, []).append(name)
        waiting = len(missing) - len(causes)
        super().__init__(
            f"{len(causes)} pieces of work could not be done"
            + (f", and {waiting} that need them were not tried" if waiting else "")
            + "; all else is finished and kept, and the same command tries just these again.\n  "
            + "\n  ".join(f"{_named(names)}: {text}" for text, names in by_text.items())
        )
        codes = {trouble.exit_code for _, trouble in causes}
        self.exit_code = codes.pop() if len(codes) == 1 else HarnessError.exit_code
        for _, trouble in causes[:MOST_NAMED]:
            self.add_note(trouble.details)


def _named(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return "; ".join(names[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


WAITING = Trouble("")
"""Of work that needs what is missing."""


def run_tests(plan: Plan, tests: Sequence[Test], watch: Watch, engine: Engine | None = None) -> None:
    """Do test passes and all learning that they need, as far as it is not in the plan's store.

    Args:
        plan: That they belong to.
        tests: As `evaluate.tests_of` gives them.
        watch: Is told of progress.
        engine: Where to; by default as many processes of this machine as the plan says, ended afterwards.

    Raises:
        Unfinished: If some of it could not be done, after all else is.
    """
    stages = stages_of([stage for test in tests for stage in test.needs])
    watch.total(sum(map(len, stages)) + len(tests))
    missing: dict[str, tuple[str, Trouble]] = {}
    with nullcontext(engine) if engine else local(plan.n_workers) as chosen:
        for stage in stages:
            with _looking_at(stage, watch, chosen.told):
                _do(stage, chosen, watch, missing)
        _do(tests, chosen, watch, missing)
    if missing:
        raise Unfinished(missing)


def _do(
    jobs: Sequence[Learning] | Sequence[Test],
    engine: Engine,
    watch: Watch,
    missing: dict[str, tuple[str, Trouble]],
) -> None:
    """Do those jobs that are due and have all that they need; add to `missing` what is not done."""
    due: list[Learning | Test] = []
    for job in jobs:
        if any(one.key in missing for one in job.needs):
            missing[job.key] = job.name, WAITING
        elif job.is_due():
            due.append(job)
        else:
            job.tidy()
            watch.done(job.name)
    with closing(engine.run(due, alone=any(isinstance(job, Test) for job in due))) as finished:
        for one in finished:
            if one.trouble:
                missing[one.job.key] = one.job.name, one.trouble
            watch.done(one.job.name)


@contextmanager
def _looking_at(stages: Sequence[Learning], watch: Watch, told: Mapping[str, Progress]) -> Iterator[None]:
    """Tell from time to time how far those stages are that note it, here or elsewhere."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_S):
            for one in stages:
                if found := progress_in(one.notes) or told.get(one.key):
                    watch.under_way(one.name, found)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
