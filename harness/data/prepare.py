"""A session's file becomes its parts: read, align, split."""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.data.align import align
from harness.data.causality import alignment_looks_ahead
from harness.data.contents import Contents
from harness.data.nwb import Wanted, read_contents
from harness.data.protocol import CUE, SPIKES, ClassesAt, Task
from harness.data.split import Parts, columns_of, find_leaks, split
from harness.data.suites import Session, Suite
from harness.errors import BadData


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
    layout, rule = suite.layouts[session.layout], suite.splits[session.split]
    task = suite.task if streams is None else suite.task.only(streams)
    contents = _contents(suite, session, path, task)
    aligned = align(contents, session, task=task, layout=layout)
    parts = split(aligned, contents.trials, rule, fold=fold)
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
