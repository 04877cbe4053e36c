"""Locks between processes: files that the kernel unlocks when their process ends, however it ends."""

import fcntl
import os
import tempfile
from pathlib import Path
from typing import Any

from filelock import FileLock

from harness.disk import in_words


class Lock(FileLock):
    """A file lock; on a disk that has none, words instead of a weaker lock that a killed process would leave behind."""

    def acquire(self, *args: Any, **kwargs: Any) -> Any:
        """As `FileLock`.

        Raises:
            NotWritten: If the lock cannot be made where it is wanted.
            Timeout: If another process holds it for longer than was asked for.
        """
        folder = Path(self.lock_file).parent
        # The library would answer a missing lock with one that is a mere file, or by waiting for ever.
        refuse_lockless(folder)
        with in_words(folder):
            return super().acquire(*args, **kwargs)


def refuse_lockless(folder: Path) -> None:
    """Lock a file without a name in this folder.

    Raises:
        NotWritten: If it cannot be written, or its disk has no locks.
    """
    with in_words(folder), tempfile.TemporaryFile(dir=folder) as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def own(path: Path) -> int:
    """A new file that its writer alone may write: its descriptor, locked until it is closed.

    What a killed process left under this name is removed; one that is being written is waited for.
    """
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            remove_unowned(path, wait=True)
            continue
        try:
            if _locked(descriptor, path, wait=True):
                return descriptor
        except OSError:
            path.unlink(missing_ok=True)
            raise


def remove_unowned(path: Path, *, wait: bool = False) -> bool:
    """Remove a file that no process owns, and say whether that was done."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    if not _locked(descriptor, path, wait=wait):
        return False
    try:
        path.unlink()
    finally:
        os.close(descriptor)
    return True


def _locked(descriptor: int, path: Path, *, wait: bool) -> bool:
    """Lock an open file; closes it unless it then still has this name."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        if os.path.samestat(os.fstat(descriptor), os.lstat(path)):
            return True
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return False
