"""A session's file becomes its parts: read, align, split."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.data.align import Aligned, align
from harness.data.causality import alignment_looks_ahead
from harness.data.contents import Contents
from harness.data.nwb import Wanted, read_contents
from harness.data.protocol import CUE, SPIKES, ClassesAt, Task
from harness.data.room import MEMORY, Memory
from harness.data.split import Parts, columns_of, find_leaks, split
from harness.data.suites import Session, Suite
from harness.errors import BadData


@dataclass(frozen=True)
class Whole:
    """A session in bins, not yet cut into parts.

    trials: Column -> (n_trials, ...) values, as `Contents` has them: those that the split reads.
    """

    aligned: Aligned
    trials: Mapping[str, np.ndarray]


def prepare(
    suite: Suite, session: Session, path: Path, *, streams: Sequence[str] | None = None, fold: int = 0
) -> Parts:
    """Read a session of a suite and cut it into train, validation and test.

    Args:
        suite: Says what is decoded, and how sessions are laid out and split.
        session: One of its sessions.
        path: The session's file.
        streams: The inputs to make, of those that the task gives; all by default.
        fold: Which of the session's tests, where its split has several.

    Raises:
        MissingData: If there is no such file.
        BadData: If the file is damaged, lacks something, leaves a part without a scored bin, or its parts are not
            apart.
    """
    return cut(suite, session, read(suite, session, path, streams=streams), fold=fold)


def read(
    suite: Suite, session: Session, path: Path, *, streams: Sequence[str] | None = None, room: Memory = MEMORY
) -> Whole:
    """Read a session and put it into bins, the streams of signals into `room`; else as `prepare`."""
    task = task_of(suite, streams)
    contents = _contents(suite, session, path, task)
    aligned = align(contents, session, task=task, layout=suite.layouts[session.layout], room=room)
    columns = columns_of(suite.splits[session.split])
    return Whole(aligned, {name: values for name, values in contents.trials.items() if name in columns})


def task_of(suite: Suite, streams: Sequence[str] | None) -> Task:
    """The suite's task with these inputs; with all of them by default."""
    return suite.task if streams is None else suite.task.only(streams)


def cut(suite: Suite, session: Session, whole: Whole, *, fold: int = 0) -> Parts:
    """Cut a session into train, validation and test; arguments and errors as in `prepare`."""
    rule = suite.splits[session.split]
    parts = split(whole.aligned, whole.trials, rule, fold=fold)
    leaks = find_leaks(parts, gap_s=rule.gap_s)
    if leaks:
        raise BadData(
            f"session {session.id!r}: its parts are not apart: {'; '.join(leaks)}; correct the suite's split, or leave "
            f"the session out and report it"
        )
    return parts


def look_ahead(suite: Suite, session: Session, path: Path) -> str:
    """What of a session's bins would change with what its file says of later times; empty if nothing does.

    The file is read again and cut into bins four times; arguments and errors as in `prepare`.
    """
    cut = functools.partial(align, session=session, task=suite.task, layout=suite.layouts[session.layout])
    return alignment_looks_ahead(cut, _contents(suite, session, path, suite.task), rng=np.random.default_rng(0))


def _contents(suite: Suite, session: Session, path: Path, task: Task) -> Contents:
    read = [task.signals[name].signal for name in task.streams if name not in (SPIKES, CUE)]
    at = suite.layouts[session.layout].targets.get(task.target)
    told = at.columns if isinstance(at, ClassesAt) else ()
    wanted = Wanted(
        spikes=SPIKES in task.streams,
        signals=tuple(dict.fromkeys((*read, *task.within))),
        trial_columns=tuple(dict.fromkeys((*columns_of(suite.splits[session.split]), *told))),
    )
    return read_contents(path, suite.layouts[session.layout], task.target, wanted)
