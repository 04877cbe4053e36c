"""The room that prepared sessions take: which there are, whether they are whole, which go when it becomes too much."""

import functools
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.data.cache import CHUNK_BYTES, Cache
from harness.errors import UsageError

FOLDER = "prepared"
SUFFIX = ".arrow"
LIMIT_VARIABLE = "NEURAL_DECODER_PREPARED_GB"
LIMIT_GB = 20.0
SPARE_BYTES = 500_000_000
"""Left free on the disk."""
LEFTOVER_S = 86_400.0
"""What a process has not finished writing after a day, it never will."""


@dataclass(frozen=True)
class Prepared:
    """One kept session; `used_s` is when, in seconds of the file system's clock."""

    path: Path
    n_bytes: int
    used_s: float


def entries(cache: Cache, key: str) -> list[Path]:
    """The files of a key: one, or none."""
    return sorted((cache.root / FOLDER).glob(f"{key}-*{SUFFIX}"))


def all_prepared(cache: Cache) -> Iterator[Prepared]:
    """Every kept session, in name order."""
    for path in sorted((cache.root / FOLDER).glob(f"*{SUFFIX}")):
        try:
            state = path.stat()
        except FileNotFoundError:
            continue
        yield Prepared(path, state.st_size, state.st_atime)


def limit_bytes() -> int:
    """How much all of them may take.

    Raises:
        UsageError: If the environment does not give a number.
    """
    given = os.environ.get(LIMIT_VARIABLE, str(LIMIT_GB))
    try:
        limit = float(given) * 1e9
        return max(0, int(limit))
    except (ValueError, OverflowError):
        raise UsageError(
            f"{LIMIT_VARIABLE} is {given!r}, where a number of gigabytes belongs, such as {LIMIT_GB:g}; 0 keeps nothing"
        ) from None


def make_room(cache: Cache, n_bytes: int) -> bool:
    """Remove what was not used for longest, until `n_bytes` more are within the limit.

    Returns:
        Whether they are, and the disk has room for them.
    """
    limit = limit_bytes()
    if n_bytes > limit:
        return False
    there = sorted(all_prepared(cache), key=lambda one: one.used_s)
    total = sum(one.n_bytes for one in there)
    for one in there:
        if total + n_bytes <= limit:
            break
        one.path.unlink(missing_ok=True)
        total -= one.n_bytes
    for left in cache.folder("parts").glob(f"{FOLDER}-*"):
        if time.time() - left.stat().st_mtime > LEFTOVER_S:
            left.unlink(missing_ok=True)
    return shutil.disk_usage(cache.root).free >= n_bytes + SPARE_BYTES


def clear(cache: Cache) -> list[Prepared]:
    """Remove all of them; those that were."""
    found = list(all_prepared(cache))
    for one in found:
        one.path.unlink(missing_ok=True)
    return found


def intact(path: Path) -> bool:
    """Whether a file's content is what its name says; it is read once in a process, and again if it has changed."""
    state = path.stat()
    return _digest(path, state.st_ino, state.st_size, state.st_mtime_ns) == path.stem.rpartition("-")[2]


@functools.lru_cache(maxsize=4096)
def _digest(path: Path, *_state: int) -> str:
    import xxhash

    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
