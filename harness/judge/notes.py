"""The judge's side of a checkpoint: files that a stage of learning writes into, and that are gone once it is done."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from harness.checkpoint import PROGRESS_BYTES, Progress, read_progress
from harness.disk import in_words

SLOTS, PROGRESS, SPENT = ("first", "second"), "progress", "spent"


class Notes:
    """A folder of notes, open while a worker learns; the worker gets descriptors and never a path.

    earlier_s: What interrupted attempts have spent, so that training that is resumed is not counted as short.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.earlier_s = folder, 0.0
        self.descriptors: list[int] = []

    def __enter__(self) -> "Notes":
        with in_words(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self.earlier_s = self._spent_s()
            for name in (*SLOTS, PROGRESS):
                self.descriptors.append(_opened(self.folder / name))
            os.ftruncate(self.descriptors[-1], 0)
            (self.folder / SPENT).write_text(repr(self.earlier_s))
        return self

    def total_s(self, attempt_s: float) -> float:
        """Seconds of this attempt, which is over, and of those before it; kept for the next."""
        total_s = self.earlier_s + attempt_s
        with in_words(self.folder):
            (self.folder / SPENT).write_text(repr(total_s))
        return total_s

    def _spent_s(self) -> float:
        """What was kept; of an attempt whose judge was killed, from its beginning to its last note."""
        spent = self.folder / SPENT
        try:
            noted_s = max((self.folder / name).stat().st_mtime for name in (*SLOTS, PROGRESS))
            return float(spent.read_text()) + max(0.0, noted_s - spent.stat().st_mtime)
        except (OSError, ValueError):
            return 0.0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        nothing = not any(os.fstat(slot).st_size for slot in self.descriptors[: len(SLOTS)])
        if os.fstat(self.descriptors[-1]).st_size > PROGRESS_BYTES:
            os.ftruncate(self.descriptors[-1], 0)
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = []
        if nothing:
            self.remove()

    def remove(self) -> None:
        """The stage is done; what it noted on the way is of no use any more."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _opened(path: Path) -> int:
    """A descriptor of a file; of a new one, if a worker, whose file it may be, has closed it to everybody."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o600)
    except PermissionError:
        path.unlink()
        return os.open(path, flags, 0o600)


def progress_in(folder: Path) -> Progress | None:
    """How far the stage is whose notes are in this folder; None if nobody knows."""
    with suppress(OSError):
        descriptor = os.open(folder / PROGRESS, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            return read_progress(descriptor)
        finally:
            os.close(descriptor)
    return None
