"""Data sets that come as several files per session: once they are in the cache, one NWB file is made of them.

The new file goes by all that decides what is in it: the digests of the files and the version of the conversion. Another
data set needs a source in `sources.py`, its list of digests, and a row in `_conversion`.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.data import eegmmidb
from harness.data.cache import Cache, check_file
from harness.data.pins import pins_of
from harness.data.progress import Watcher
from harness.data.suites import Physionet, Session
from harness.errors import Excluded, MissingData, UsageError

FOLDER = "converted"
REASON_SUFFIX = ".excluded"
DAMAGED = "it was damaged after it came: remove it with `harness data verify --repair`, then get it anew"


def converted_id(source: Physionet) -> str:
    """Hash of all that decides what a converted file holds."""
    version, _ = _conversion(source)
    files = {path: pin.key for path, pin in zip(source.paths, pins_of(source), strict=True)}
    made_of = {"dataset": source.dataset, "version": source.version, "conversion": version, "files": files}
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def converted_place(source: Physionet, cache: Cache) -> Path:
    """Where the converted file is, or will be."""
    return cache.root / FOLDER / f"{converted_id(source)}.nwb"


def why_excluded(session: Session, cache: Cache) -> str:
    """Which rule keeps a session out, as far as its files were looked at already; empty if none does."""
    if not isinstance(session.source, Physionet):
        return ""
    reason = converted_place(session.source, cache).with_suffix(REASON_SUFFIX)
    return reason.read_text() if reason.is_file() else ""


def excluded(sessions: Sequence[Session], cache: Cache) -> dict[str, str]:
    """The sessions that a rule keeps out: session id -> reason."""
    return {s.id: why for s in sessions if (why := why_excluded(s, cache))}


def is_converted(session: Session, cache: Cache) -> bool:
    """Whether nothing is left to be done for a session of several files: it is converted, or excluded."""
    if not isinstance(session.source, Physionet):
        return False
    return converted_place(session.source, cache).is_file() or bool(why_excluded(session, cache))


def converted_path(session: Session, cache: Cache, *, watcher: Watcher | None = None) -> Path | None:
    """The converted file of a session whose files are all in the cache; the first process that wants it makes it.

    Returns:
        The file; None if a rule excludes the session.

    Raises:
        MissingData: If a file is not in the cache.
        BadData: If a file cannot be read.
        UsageError: If the file must be made and the cache cannot be written to.
    """
    source = session.source
    if not isinstance(source, Physionet):
        raise UsageError(f"session {session.id!r} is not converted: its host is {source.host!r}")
    place = converted_place(source, cache)
    if not is_converted(session, cache):
        with cache.lock(f"{FOLDER}-{place.stem}"):
            if not is_converted(session, cache):
                _make(session.id, source, cache, watcher=watcher or Watcher())
    return place if place.is_file() else None


def _make(name: str, source: Physionet, cache: Cache, *, watcher: Watcher) -> None:
    """Write the file, or why there is none, under another name and rename it; the caller holds the lock."""
    place = converted_place(source, cache)
    cache.folder(FOLDER)
    for left in cache.folder("parts").glob(f"*{place.stem}*.nwb"):
        left.unlink()  # of a process that was killed
    part = cache.folder("parts") / f"{FOLDER}-{place.stem}.nwb"
    label = f"{name}: converting to NWB"
    watcher.started(label, size=None)
    try:
        _, convert = _conversion(source)
        convert(_files(name, source, cache), part)
        cache.place(part, place)
    except Excluded as reason:
        part.write_text(str(reason))
        cache.place(part, place.with_suffix(REASON_SUFFIX))
    finally:
        watcher.finished(label)


def _files(name: str, source: Physionet, cache: Cache) -> list[Path]:
    """The files in the cache, hashed once more: what is made of them is trusted by their digests."""
    found = []
    for pin in pins_of(source):
        path = cache.find_pin(pin)
        if path is None:
            raise MissingData(f"session {name!r}: {pin.name} is not in the cache {cache.root}; fetch it")
        check_file(path, pin, advice=DAMAGED)
        found.append(path)
    return found


def _conversion(source: Physionet) -> tuple[int, Callable[[Sequence[Path], Path], None]]:
    """Version of a data set's conversion, and what makes one file of several."""

    def from_edf(files: Sequence[Path], to: Path) -> None:
        eegmmidb.convert(files, to, subject=source.subject, runs=source.runs)

    known = {"eegmmidb": (eegmmidb.VERSION, from_edf)}
    return known[source.dataset]
