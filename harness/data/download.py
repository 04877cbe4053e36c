"""One door to every recording: fetched, local or simulated, a session becomes a file."""

import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePath

from harness.data.cache import Cache, check_file
from harness.data.convert import converted_path, excluded
from harness.data.fetch import fetch, is_cached, missing, missing_files
from harness.data.hosts import Access, reachable
from harness.data.pins import read_pin
from harness.data.progress import Watcher
from harness.data.suites import File, Session, Simulated
from harness.disk import in_words
from harness.errors import MissingData, UsageError

__all__ = [
    "Access",
    "converted_path",
    "excluded",
    "fetch",
    "is_cached",
    "local_path",
    "locate",
    "missing",
    "missing_files",
    "reachable",
    "simulated_path",
    "simulated_place",
]


def locate(
    sessions: Sequence[Session],
    cache: Cache,
    *,
    data_root: Path | None = None,
    access: Access | None = None,
    watcher: Watcher | None = None,
) -> dict[str, Path]:
    """The file of every session; what is not cached is fetched, what is simulated is written once.

    A session that a rule excludes is left out, and `excluded` says why.

    Args:
        sessions: Any mixture of hosts.
        cache: Where fetched and simulated files are kept.
        data_root: Folder that the paths of local files are relative to.
        access: How archives are asked.
        watcher: Who hears of the progress.

    Returns:
        Session id -> file, in the order of `sessions`.

    Raises:
        MissingData: If a file is neither there nor to be had.
        BadData: If a file is not what the suite pins.
        UsageError: If a local file is wanted without `data_root`, or from outside of it.
    """
    local = {s.id: local_path(s, data_root) for s in sessions if isinstance(s.source, File)}
    remote = [s for s in sessions if not isinstance(s.source, File | Simulated)]
    fetched = fetch(remote, cache, access=access, watcher=watcher)
    simulated = {s.id: simulated_path(s, cache, watcher=watcher) for s in sessions if isinstance(s.source, Simulated)}
    found = local | fetched | simulated
    return {s.id: found[s.id] for s in sessions if s.id in found}


def local_path(session: Session, data_root: Path | None) -> Path:
    """The file of a session on this machine.

    A link inside `data_root` may lead elsewhere: its owner made it. A path in a suite may not.
    """
    source = session.source
    if not isinstance(source, File):
        raise UsageError(f"session {session.id!r} is no local file: its host is {source.host!r}")
    if data_root is None:
        raise UsageError(f"session {session.id!r} is the local file {source.path!r}; say with --data-root where it is")
    if PurePath(source.path).is_absolute() or ".." in PurePath(source.path).parts:
        raise UsageError(
            f"session {session.id!r}: {source.path!r} leads out of the data root; "
            f"give a path below it, without '..', in the suite"
        )
    path = data_root / source.path
    if not path.is_file():
        raise MissingData(
            f"session {session.id!r} has no file {path}; put it there, or name the right folder with --data-root"
            f"{_how_to_make(session.id, source, path.parent)}"
        )
    pin = read_pin(str(path), source.model_dump())
    if pin:
        advice = "it is another file or was changed: put the right one there, or correct its sha256 in the suite"
        check_file(path, pin, advice=advice)
    return path


def _how_to_make(name: str, source: File, folder: Path) -> str:
    """How a file is made from raw ones, and what is not known of those; empty for a file that is not made."""
    if source.made_from is None:
        return ""
    lacking = source.made_from.unknown
    return (
        f". It is made from raw files by `harness data prepare {name} --raw FOLDER --out {folder}`"
        f"{f'; not known of them yet: {lacking}' if lacking else ''}"
    )


def simulated_path(session: Session, cache: Cache, *, watcher: Watcher | None = None) -> Path:
    """The file of a simulated session, written by the first process that wants it."""
    path = simulated_place(session, cache)
    if not path.exists():
        with cache.lock(f"simulated-{path.stem}"):
            _write_once(session, path, cache, watcher=watcher or Watcher())
    return path


def simulated_place(session: Session, cache: Cache) -> Path:
    """Where the file of a simulated session is, or will be: it goes by all that decides what is in it."""
    from harness.data.generators import spec_sha256

    source = session.source
    if not isinstance(source, Simulated):
        raise UsageError(f"session {session.id!r} is not simulated: its host is {source.host!r}")
    spec = f"{spec_sha256(source)}/{session.subject}/{session.id}"
    return cache.root / "simulated" / f"{hashlib.sha256(spec.encode()).hexdigest()}.nwb"


def _write_once(session: Session, path: Path, cache: Cache, *, watcher: Watcher) -> None:
    """Write a simulated session under another name and rename it; the caller holds the lock."""
    from harness.data.generators import write_session

    if path.exists() or not isinstance(session.source, Simulated):
        return
    part = cache.folder("simulated") / f"{path.stem}.part.nwb"
    with in_words(part.parent):
        for left_over in [part, *part.parent.glob(f".{part.stem}.*")]:
            left_over.unlink(missing_ok=True)
        watcher.started(session.id, size=None)
        write_session(part, session.source, session_id=session.id, subject=session.subject)
        cache.place(part, path)
    watcher.finished(session.id)
