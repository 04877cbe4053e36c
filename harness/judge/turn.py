"""Taking turns on a machine: test passes are prepared and audited beside each other, and timed one at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from types import TracebackType

from harness.disk import in_words
from harness.locks import refuse_lockless


class Turn:
    """A test pass under way. In its `with` block others may be too; in `alone()` nothing of theirs is at work.

    cores: That may be used.
    home: One of them that no other pass has claimed; all if there is none left.

    Raises:
        NotWritten: If the lock cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> "Turn":
        refuse_lockless(self.path.parent)
        with in_words(self.path):
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._hold(fcntl.LOCK_SH)
        self.cores = frozenset(os.sched_getaffinity(0))
        self.home = frozenset(islice(filter(self._claimed, sorted(self.cores)), 1)) or self.cores
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other pass is at work, and keep them waiting."""
        self._hold(fcntl.LOCK_EX)
        try:
            yield
        finally:
            self._hold(fcntl.LOCK_SH)

    def _claimed(self, core: int) -> bool:
        """Claim a core, if nobody has; its claim is a lock on the byte of its number, whether there is one or not."""
        with suppress(OSError):
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, core)
            return True
        return False

    def _hold(self, how: int) -> None:
        # The kernel lets go before it waits for the other kind: of two that want to be alone, one is.
        with in_words(self.path):
            fcntl.flock(self._file, how)


def machine() -> Turn:
    """A turn of this user on this machine, whichever run it belongs to."""
    # Not where the environment says: runs with another TMPDIR would not wait for each other. Nor in /run/user, which
    # ends with a login while runs go on, or in the home folder, which several machines may share.
    return Turn(Path("/tmp") / f"neural-decoder-harness-{os.geteuid()}.lock")
