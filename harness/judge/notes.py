"""The judge's side of a checkpoint: files that a stage of learning writes into, and that are gone once it is done."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from harness.checkpoint import Progress, read_progress

SLOTS, PROGRESS = ("first", "second"), "progress"


class Notes:
    """A folder of notes, open while a worker learns; the worker gets descriptors and never a path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.descriptors: list[int] = []

    def __enter__(self) -> "Notes":
        self.folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        for name in (*SLOTS, PROGRESS):
            self.descriptors.append(os.open(self.folder / name, flags, 0o600))
        os.ftruncate(self.descriptors[-1], 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        nothing = not any(os.fstat(slot).st_size for slot in self.descriptors[: len(SLOTS)])
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = []
        if nothing:
            self.remove()

    def remove(self) -> None:
        """The stage is done; what it noted on the way is of no use any more."""
        shutil.rmtree(self.folder, ignore_errors=True)


def progress_in(folder: Path) -> Progress | None:
    """How far the stage is whose notes are in this folder; None if nobody knows."""
    with suppress(OSError):
        descriptor = os.open(folder / PROGRESS, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            return read_progress(descriptor)
        finally:
            os.close(descriptor)
    return None
