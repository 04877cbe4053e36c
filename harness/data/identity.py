"""What a recording is, by content: the hash that goes into records and into the keys of finished work."""

import hashlib
from pathlib import Path

from harness.data.simulate import spec_sha256
from harness.data.suites import Dandi, File, Session, Simulated, Zenodo

CHUNK = 1 << 20


def content_id(session: Session, path: Path) -> str:
    """The hash that identifies a recording's content.

    A pinned file has its pinned digest, which was checked when it came into the cache; a simulated one the hash of
    the generator's version and parameters; any other file is hashed here.
    """
    source = session.source
    if isinstance(source, Simulated):
        return spec_sha256(source.parameters)
    pinned = source.sha256 if isinstance(source, Dandi | Zenodo | File) else None
    if pinned is None and isinstance(source, Zenodo) and source.md5:
        return f"md5:{source.md5}"
    return pinned or file_sha256(path)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read piece by piece."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
