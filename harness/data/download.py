"""One door to every recording: fetched, local or simulated, a session becomes a file."""

from collections.abc import Sequence
from pathlib import Path, PurePath

from harness.data.cache import Cache, check_file
from harness.data.convert import converted_path, excluded
from harness.data.fetch import fetch, is_cached, missing, missing_files
from harness.data.hosts import Access, reachable
from harness.data.pins import read_pin
from harness.data.progress import Watcher
from harness.data.simulated import simulated_path, simulated_paths, simulated_place
from harness.data.suites import File, Session, Simulated
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
    simulated = [s for s in sessions if isinstance(s.source, Simulated)]
    found = local | fetched | simulated_paths(simulated, cache, watcher=watcher)
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
