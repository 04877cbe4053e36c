"""Simulated sessions: each is written once, by the first process that wants it; of many, some by helpers."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.data.cache import Cache
from harness.data.progress import Watcher
from harness.data.suites import Session, Simulated
from harness.disk import in_words
from harness.errors import UsageError

WORTH_A_HELPER = 4
"""Sessions: a process of its own takes as long to begin as to write one or two."""


def simulated_paths(sessions: Sequence[Session], cache: Cache, *, watcher: Watcher | None = None) -> dict[str, Path]:
    """The files of simulated sessions, by id; what is missing is written on several cores."""
    with _helped([s for s in sessions if not simulated_place(s, cache).exists()], cache):
        return {s.id: simulated_path(s, cache, watcher=watcher) for s in sessions}


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


@contextmanager
def _helped(missing: Sequence[Session], cache: Cache) -> Iterator[None]:
    """While the block writes sessions from the first on, helpers do from elsewhere on; each one that is met is there.

    Nothing depends on helpers: what they leave out, for whatever reason, the block comes to, and says why it cannot.
    """
    n_helpers = min(len(os.sched_getaffinity(0)) - 1, len(missing) // WORTH_A_HELPER)
    helpers: list[subprocess.Popen[bytes]] = []
    try:
        with suppress(OSError):
            for i in range(1, n_helpers + 1):
                helpers.append(_helper(missing, len(missing) * i // (n_helpers + 1), cache))
        yield
    finally:
        for helper in helpers:
            helper.terminate()
            helper.wait()


def _helper(missing: Sequence[Session], first: int, cache: Cache) -> "subprocess.Popen[bytes]":
    """A process that writes all sessions, begun with the one at `first`, until its parent is gone or all are there."""
    sessions = [s.model_dump(mode="json") for s in (*missing[first:], *missing[:first])]
    command = [sys.executable, "-m", __name__, str(cache.root.absolute()), str(os.getpid())]
    quiet = subprocess.DEVNULL
    with tempfile.TemporaryFile() as described:
        described.write(json.dumps(sessions).encode())
        described.seek(0)
        return subprocess.Popen(command, stdin=described, stdout=quiet, stderr=quiet)


def main(root: Path, parent: int) -> None:
    """Entry point of a helper; the sessions come from standard input."""
    for described in json.load(sys.stdin):
        if os.getppid() != parent:
            return
        simulated_path(Session.model_validate(described), Cache(root))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
