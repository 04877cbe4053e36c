"""A session's file becomes its parts: read, align, split."""

from pathlib import Path

from harness.data.align import align
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
    contents = read_contents(path, layout, suite.task.target, trial_columns=columns_of(rule))
    aligned = align(contents, session, task=suite.task, layout=layout)
    parts = split(aligned, contents.trials, rule)
    leaks = find_leaks(parts, gap_s=rule.gap_s)
    if leaks:
        raise BadData(
            f"session {session.id!r}: its parts are not apart: {'; '.join(leaks)}; correct the suite's split, or leave "
            f"the session out and report it"
        )
    return parts
