"""Files kept by what is in them: blobs/<algorithm>/<first two digits>/<digest>.

A blob is whole and right, or absent: bytes are collected in parts/, checked, synced and renamed. Locks in locks/ make
processes that want the same file do the work once. Reading takes no lock and writes nothing, but for a link where a
file is kept under a weaker digest than the one that is asked for.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from filelock import Timeout

from harness.data.pins import HEX_DIGITS, Pin, pin_of
from harness.data.suites import Source
from harness.errors import BadData, UsageError
from harness.locks import Lock

FOLDER_VARIABLE = "NEURAL_DECODER_DATA"
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Blob:
    """A cached file and the digest that it is kept under."""

    path: Path
    algorithm: str
    digest: str

    def intact(self, *, progressed: Callable[[int], None] | None = None) -> bool:
        """Hash the file again; `progressed` hears the bytes read so far."""
        digests = file_digests(self.path, (self.algorithm,), progressed=progressed)
        return digests[self.algorithm] == self.digest


@dataclass(frozen=True)
class Cache:
    """A folder of downloaded and simulated recordings."""

    root: Path

    def blob(self, algorithm: str, digest: str) -> Path:
        return self.root / "blobs" / algorithm / digest[:2] / digest

    def find(self, source: Source) -> Path | None:
        """The cached file of a pinned remote source; None for one that is not cached, or has no digest."""
        pin = pin_of(source)
        return self.find_pin(pin) if pin else None

    def find_pin(self, pin: Pin) -> Path | None:
        """The cached file of a pin. One of the wrong size or digest counts as absent, so that it is fetched anew."""
        paths = [p for key in pin.digests.items() if _may_be(p := self.blob(*key), pin)]
        if not paths or paths[0] == self.blob(*pin.key):
            return paths[0] if paths else None
        return self._promoted(paths[0], pin)

    def _promoted(self, weaker: Path, pin: Pin) -> Path | None:
        """A file that was taken in by a weaker digest, checked against all, and then linked under the strongest."""
        try:
            check_file(weaker, pin)
        except BadData:
            return None
        path = self.blob(*pin.key)
        try:
            with self.lock(f"link-{'-'.join(pin.key)}"):
                if not _may_be(path, pin):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.unlink(missing_ok=True)
                    path.hardlink_to(weaker)
        except (OSError, UsageError):
            return weaker  # a disk that takes no link: it is checked at each use
        return path

    def blobs(self) -> Iterator[Blob]:
        """All cached downloads, in digest order."""
        for algorithm in HEX_DIGITS:
            for path in sorted((self.root / "blobs" / algorithm).glob("??/*")):
                yield Blob(path, algorithm, path.name)

    def part(self, pin: Pin) -> Path:
        """Where the bytes of a pin are collected before they are checked."""
        return self.folder("parts") / f"{'-'.join(pin.key)}.part"

    def folder(self, name: str) -> Path:
        """A folder below the root, made when needed.

        Raises:
            UsageError: If it cannot be written to.
        """
        path = self.root / name
        try:
            path.mkdir(parents=True, exist_ok=True)
            if not os.access(path, os.W_OK):
                raise PermissionError("it is read-only")
        except OSError as error:
            raise UsageError(
                f"the data folder {self.root} cannot be written to ({error.strerror or error}), which is needed for "
                f"a recording that it does not hold; let {FOLDER_VARIABLE} name a folder that you may write"
            ) from None
        return path

    @contextmanager
    def lock(self, name: str, *, stop: Event | None = None) -> Iterator[None]:
        """Hold the right to write one file. A dead process holds no lock.

        Raises:
            CancelledError: If `stop` is set while another process holds it.
        """
        lock = Lock(self.folder("locks") / f"{name}.lock")
        while True:
            try:
                lock.acquire(timeout=0.2)
                break
            except Timeout:
                if stop and stop.is_set():
                    raise CancelledError from None
        try:
            yield
        finally:
            lock.release()

    def accept(self, part: Path, pin: Pin) -> Path:
        """Take a complete file in if it is what the pin says; the caller holds the lock.

        Raises:
            BadData: If size or digest differ. The file is then removed, lest it be resumed.
        """
        try:
            check_file(part, pin)
        except BadData:
            part.unlink()
            raise
        return self.place(part, self.blob(*pin.key))

    def place(self, part: Path, path: Path) -> Path:
        """Give a finished file its name, in one step that a crash cannot halve."""
        path.parent.mkdir(parents=True, exist_ok=True)
        _sync(part)
        part.replace(path)
        path.chmod(0o444)
        _sync(path.parent)
        return path


def default_cache() -> Cache:
    """The folder that the environment names, or one in the user's cache."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return Cache(Path(folder) if folder else Path.home() / ".cache" / "neural-decoder-harness")


def file_digests(
    path: Path, algorithms: tuple[str, ...], *, progressed: Callable[[int], None] | None = None
) -> dict[str, str]:
    """Hash a file with several algorithms in one pass; `progressed` hears the bytes read so far."""
    hashes = {a: hashlib.new(a, usedforsecurity=False) for a in algorithms}
    n_bytes = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            for h in hashes.values():
                h.update(chunk)
            n_bytes += len(chunk)
            if progressed:
                progressed(n_bytes)
    return {a: h.hexdigest() for a, h in hashes.items()}


FETCH_AGAIN = (
    "fetch it again, and if that repeats, its host has another version: pin that one, as a new version of the suite"
)


def check_file(path: Path, pin: Pin, *, advice: str = FETCH_AGAIN) -> None:
    """Compare a file with its pin; `advice` ends the message.

    Raises:
        BadData: If size or any digest differ.
    """
    size = path.stat().st_size
    if pin.size not in (None, size):
        raise BadData(f"{pin.name} was refused: {size} bytes where {pin.size} are pinned; {advice}")
    for algorithm, digest in file_digests(path, tuple(pin.digests)).items():
        if digest != pin.digests[algorithm]:
            raise BadData(
                f"{pin.name} was refused: its {algorithm} is {digest}, pinned is {pin.digests[algorithm]}; {advice}"
            )


def readable_size(n_bytes: int | None) -> str:
    """Decimal units, as archives state sizes: 1.2 kB, 150.5 MB."""
    if n_bytes is None:
        return "unknown"
    size = float(n_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.95:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _may_be(path: Path, pin: Pin) -> bool:
    return path.is_file() and pin.size in (None, path.stat().st_size)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
