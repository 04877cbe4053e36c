"""What a recording is, by content: the hash that goes into records and into the keys of finished work."""

import functools
from pathlib import Path

from harness.data.cache import file_digests
from harness.data.convert import converted_id
from harness.data.generators import spec_sha256
from harness.data.suites import Dandi, File, Physionet, Session, Simulated, Zenodo


def content_id(session: Session, path: Path) -> str:
    """The hash that identifies a recording's content.

    A pinned file has its pinned digest, which was checked when it came into the cache; a converted one the hash of its
    files' pinned digests and the conversion's version; a simulated one the hash of the generator's code and parameters;
    any other file is hashed here, once for each of its states.
    """
    source = session.source
    if isinstance(source, Physionet):
        return converted_id(source)
    if isinstance(source, Simulated):
        return spec_sha256(source)
    pinned = source.sha256 if isinstance(source, Dandi | Zenodo | File) else None
    if pinned is None and isinstance(source, Zenodo) and source.md5:
        return f"md5:{source.md5}"
    return pinned or hashed(path)


def hashed(path: Path) -> str:
    """The SHA-256 of a file, found once for each of its states."""
    state = path.stat()
    return _hashed_once(path, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=1024)
def _hashed_once(path: Path, size: int, mtime_ns: int) -> str:
    return file_digests(path, ("sha256",))["sha256"]
