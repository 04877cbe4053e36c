"""Files that are already here into the cache, by what is in them."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from harness.data.cache import Cache, file_digests
from harness.data.pins import HEX_DIGITS, Pin
from harness.errors import MissingData


def files_below(paths: Sequence[Path]) -> Iterator[Path]:
    """The files named, and all files in the folders named.

    Raises:
        MissingData: If a path does not exist.
    """
    for path in paths:
        if not path.exists():
            raise MissingData(f"{path} does not exist; name a file or a folder that does")
        yield from sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else (path,)


def add_file(
    path: Path, pins: Sequence[Pin], cache: Cache, *, progressed: Callable[[int], None] | None = None
) -> list[Pin]:
    """Copy a file into the cache if its hash is pinned.

    Returns:
        The pins that it fits; none if its hash is pinned nowhere.
    """
    digests = file_digests(path, tuple(HEX_DIGITS), progressed=progressed)
    size = path.stat().st_size
    found = [p for p in pins if p.size in (None, size) and p.digests.items() <= digests.items()]
    for pin in {p.key: p for p in found}.values():
        with cache.lock("-".join(pin.key)):
            if cache.find_pin(pin) is None:
                _copy(path, cache.part(pin))
                cache.accept(cache.part(pin), pin)
    return found


def _copy(path: Path, part: Path) -> None:
    try:
        shutil.copyfile(path, part)
    except OSError:
        part.unlink(missing_ok=True)
        raise
