"""Where the large arrays of a session are put while it is prepared: in memory, or in files that are mapped."""

import mmap
import os
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np


class Memory:
    """In memory."""

    def empty(self, shape: tuple[int, ...]) -> np.ndarray:
        """A float32 array of any content."""
        return np.empty(shape, np.float32)

    def let_go(self) -> None:
        """Said after each block: what was written need not stay at hand."""


class Scratch(Memory):
    """In nameless files of a folder, which are gone with the arrays: a session may be larger than memory.

    Up to `small_bytes`, and where the disk has no room, an array is in memory.
    """

    def __init__(self, folder: Path, *, small_bytes: int = 16_000_000) -> None:
        self._folder, self.small_bytes = folder, small_bytes
        self._maps: list[mmap.mmap] = []

    def empty(self, shape: tuple[int, ...]) -> np.ndarray:
        n_bytes = 4 * int(np.prod(shape))
        if n_bytes <= self.small_bytes:
            return super().empty(shape)
        try:
            with TemporaryFile(dir=self._folder) as file:
                # Reserved now: a disk that is full later would kill the process at some write to the map.
                os.posix_fallocate(file.fileno(), 0, n_bytes)
                content = mmap.mmap(file.fileno(), n_bytes)
        except OSError:
            return super().empty(shape)
        self._maps.append(content)
        return np.frombuffer(content, np.float32).reshape(shape)

    def let_go(self) -> None:
        """The pages stay with the system, which writes them to the disk when it needs the memory."""
        for content in self._maps:
            content.madvise(mmap.MADV_DONTNEED)


MEMORY = Memory()
