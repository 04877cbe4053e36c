"""A session's file becomes its parts: read, align, split."""

import functools
from pathlib import Path

import numpy as np

from harness.data.align import align
from harness.data.causality import alignment_looks_ahead
from harness.data.contents import Contents
from harness.data.nwb import read_contents
from harness.data.split import Parts, columns_of, find_leaks, split
from harness.data.suites import Session, Suite
from harness.errors import BadData


def prepare(suite: Suite, session: Session, path: Path) -> Parts:
    """Read a session of a suite and cut it into train, validation and test.

    Args:
        suite: Says what is decoded, and how sessions are laid out and split.
        session: One of its sessions.
        path: The session's file.

    Raises:
        MissingData: If there is no such file.
        BadData: If the file is damaged, lacks something, leaves a part without a scored bin, or its parts are not
            apart.
    """
    layout, rule = suite.layouts[session.layout], suite.splits[session.split]
    contents = _contents(suite, session, path)
    aligned = align(contents, session, task=suite.task, layout=layout)
    parts = split(aligned, contents.trials, rule)
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
    return alignment_looks_ahead(cut, _contents(suite, session, path), rng=np.random.default_rng(0))


def _contents(suite: Suite, session: Session, path: Path) -> Contents:
    columns = columns_of(suite.splits[session.split])
    return read_contents(path, suite.layouts[session.layout], suite.task.target, trial_columns=columns)
