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

FOLDER = Path("/tmp")
"""Of the machine's lock. Not where the environment says: runs with another TMPDIR would not wait for each other. Nor in
/run/user, which ends with a login while runs go on, or in the home folder, which several machines may share."""


class Turn:
    """A test pass under way. In its `with` block others may be too; in `alone()` nothing of theirs is at work.

    Who waits to be alone holds the door: nobody comes in past it, and those inside `give_way` between two pieces of
    work, so that it waits for a piece and not for all that is left of a pass.

    cores: That may be used.
    home: One of them that no other pass has claimed; all if there is none left.

    Raises:
        NotWritten: If the locks cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._is_alone = path, False

    def __enter__(self) -> "Turn":
        refuse_lockless(self.path.parent)
        self._room = self._opened(self.path)
        try:
            self._door = self._opened(self.path.with_suffix(".door"))
        except BaseException:
            os.close(self._room)
            raise
        self._come_in()
        self.cores = frozenset(os.sched_getaffinity(0))
        self.home = frozenset(islice(filter(self._claimed, sorted(self.cores)), 1)) or self.cores
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._room)
        os.close(self._door)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other pass is at work, and keep them waiting."""
        self._hold(self._room, fcntl.LOCK_UN)
        with self._at_the_door(fcntl.LOCK_EX):
            self._hold(self._room, fcntl.LOCK_EX)
        self._is_alone = True
        try:
            yield
        finally:
            self._is_alone = False
            self._hold(self._room, fcntl.LOCK_SH)

    def give_way(self) -> None:
        """Let those go first who wait to be alone; to be called when nothing is at work that could disturb them."""
        if not self._is_alone:
            self._hold(self._room, fcntl.LOCK_UN)
            self._come_in()

    def _come_in(self) -> None:
        """Be at work beside others, behind those who wait to be alone."""
        with self._at_the_door(fcntl.LOCK_SH):
            self._hold(self._room, fcntl.LOCK_SH)

    @contextmanager
    def _at_the_door(self, how: int) -> Iterator[None]:
        self._hold(self._door, how)
        try:
            yield
        finally:
            self._hold(self._door, fcntl.LOCK_UN)

    def _claimed(self, core: int) -> bool:
        """Claim a core, if nobody has; its claim is a lock on the byte of its number, whether there is one or not."""
        with suppress(OSError):
            fcntl.lockf(self._room, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, core)
            return True
        return False

    @staticmethod
    def _opened(path: Path) -> int:
        with in_words(path):
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def _hold(self, file: int, how: int) -> None:
        with in_words(self.path):
            fcntl.flock(file, how)


def machine() -> Turn:
    """A turn of this user on this machine, whichever run it belongs to."""
    return Turn(FOLDER / f"neural-decoder-harness-{os.geteuid()}.lock")
