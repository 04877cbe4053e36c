"""Sessions served by the loopback archive, and how the tests fetch them."""

from pathlib import Path

import numpy as np

from harness.data.cache import Cache
from harness.data.download import Access, fetch
from harness.data.pins import pin_of
from harness.data.progress import Watcher
from harness.data.suites import Session
from harness.data.transfer import Patience
from tests.archive_server import Archive, Manners, session

CONTENT = np.random.default_rng(0).bytes(400_000)
PATIENCE = Patience(attempts=3, wait_s=0.01, timeout_s=1.0)


def get(archive: Archive, cache: Cache, *sessions: Session, watcher: Watcher | None = None) -> dict[str, Path]:
    return fetch(sessions, cache, access=Access(archive.api, PATIENCE), watcher=watcher)


def mat(archive: Archive, manners: Manners | None = None, **changes: object) -> Session:
    """A session behind plain HTTP, served with some manners."""
    if manners:
        archive.manners["one.mat"] = manners
    return session("one", archive.zenodo("one.mat", CONTENT, **changes))


def leave_part(cache: Cache, wanted: Session, content: bytes) -> Path:
    """What a run that was killed leaves behind."""
    part = cache.part(pin_of(wanted.source))
    part.write_bytes(content)
    return part
