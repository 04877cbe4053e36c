"""What to say, and to hold on to, where a disk says no: it is full, may not be written, or has no file locks."""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from harness.errors import NotWritten

ROOM = "make room on that disk, then run the same command again: what is finished is kept"
ANOTHER = "name a folder that you may write"
LOCKS = "two runs at once could spoil each other's work on a disk without file locks; use a folder on one that has them"
WHAT_TO_DO: Mapping[int | None, str] = {
    errno.ENOSPC: ROOM,
    errno.EDQUOT: ROOM,
    errno.EROFS: ANOTHER,
    errno.EACCES: ANOTHER,
    errno.EPERM: ANOTHER,
    errno.EIO: "the disk fails; use a folder on another one",
    errno.ENOLCK: LOCKS,
    errno.ENOSYS: LOCKS,
    errno.EOPNOTSUPP: LOCKS,
}
"""Error number -> advice. Others are faults of ours, and keep their traceback."""
ONLY_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Of these, those that nothing but writing can meet, wherever it was."""


def not_written(error: OSError, place: Path | str) -> NotWritten | None:
    """A disk's refusal in words; None if the error is no such refusal, or is in words already."""
    if isinstance(error, NotWritten) or error.errno not in WHAT_TO_DO:
        return None
    return NotWritten(f"{place} cannot be written: {os.strerror(error.errno or 0)}; {WHAT_TO_DO[error.errno]}")


@contextmanager
def in_words(place: Path) -> Iterator[None]:
    """Turn a disk's refusal into words that name a folder or file.

    Raises:
        NotWritten: If it is full, may not be written, fails, or has no locks.
    """
    try:
        yield
    except OSError as error:
        if words := not_written(error, place):
            raise words from error
        raise
