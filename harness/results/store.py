"""Where records, predictions and artefacts are kept; JSON files are the truth.

records/<suite>/<decoder>/<id>.json, predictions/<id>.npz, artifacts/<id>.safetensors; recordings/ holds what pages draw
answers beside, labels among it, and is no part of what is published. Finished work that a later run
can use again lies in fits/, cells/, runs/ and descriptions/; index.sqlite and locks/ can be thrown away. Every file
appears whole or not at all: it is written under another name, synced and renamed. Decision 0123.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from harness.disk import in_words
from harness.locks import Lock, own, refuse_lockless, remove_unowned
from harness.results.reading import read_record
from harness.results.records import Record

PART = ".part"
"""How the name of a file ends that is being written; it begins with a dot."""
FILES_IN = (
    *("records/*/*", "predictions", "artifacts", "recordings/*", "receipts/*"),
    *("runs", "descriptions", "preparations"),
)
FOLDERS_IN = ("fits/*", "cells/*")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that a reader, or a crash, finds complete or absent.

    Raises:
        NotWritten: If its folder is full, or cannot be written.
    """
    part = path.with_name(f".{path.name}{PART}")
    with in_words(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(own(part), "wb") as file:
            try:
                os.fchmod(file.fileno(), 0o644)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                part.replace(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise


def file_sha256(path: Path) -> str:
    """Digest of a file's content, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_store(root: Path) -> None:
    """Make the folder, unless it is there, and clear away what killed runs left half written.

    Raises:
        NotWritten: If nothing can be written to it, or its disk has no file locks.
    """
    with in_words(root):
        root.mkdir(parents=True, exist_ok=True)
    refuse_lockless(root)
    Store(root).clear_parts()


def folder_name(name: str) -> str:
    """A suite's or decoder's name as one folder name: a slash becomes two underscores."""
    return name.replace("/", "__")


@dataclass(frozen=True)
class Store:
    """A results folder."""

    root: Path

    def record_path(self, record: Record) -> Path:
        return (
            self.root / "records" / folder_name(record.suite) / folder_name(record.decoder.name) / f"{record.id}.json"
        )

    def save(self, record: Record) -> Path:
        """Write a sealed record once; the same record again changes nothing."""
        path = self.record_path(record)
        if not path.exists():
            write_whole(path, record.model_dump_json(by_alias=True, indent=1).encode())
        return path

    def paths(self) -> list[Path]:
        """All record files, in name order."""
        return sorted((self.root / "records").glob("*/*/*.json"))

    def states(self) -> dict[str, tuple[int, int]]:
        """Name below the store -> change time in ns and size of every record file; quick for tens of thousands."""
        found = {}
        for suite in _folders(self.root / "records"):
            for decoder in _folders(suite.path):
                for name, stat in _json_files(decoder.path):
                    found[f"records/{suite.name}/{decoder.name}/{name}"] = (stat.st_mtime_ns, stat.st_size)
        return found

    def records(self) -> Iterator[Record]:
        """All whole and unedited records; others raise when read by `read_record`."""
        for path in self.paths():
            yield read_record(path)

    def cell(self, key: str) -> Path:
        """Folder of one finished cell."""
        return self.root / "cells" / key[:2] / key

    def lock(self, key: str) -> Lock:
        """One process at a time works on what this key stands for."""
        folder = self.root / "locks"
        with in_words(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return Lock(folder / f"{key[:3]}.lock")

    def clear_parts(self) -> None:
        """Remove what killed runs left half written; what a run is writing now stays."""
        for part in self._parts(FILES_IN):
            remove_unowned(part)
        for folder in self._parts(FOLDERS_IN):
            with contextlib.suppress(Timeout), self.lock(folder.name.lstrip(".")).acquire(timeout=0):
                shutil.rmtree(folder, ignore_errors=True)

    def _parts(self, folders: tuple[str, ...]) -> list[Path]:
        return [path for below in folders for path in self.root.glob(f"{below}/.*{PART}")]

    def predictions(self, record: Record) -> Path:
        return self.root / "predictions" / f"{record.id}.npz"

    def artifact(self, record: Record) -> Path:
        return self.root / "artifacts" / f"{record.id}.safetensors"

    def receipts(self, record: Record) -> Path:
        """Folder of what came of running a record again."""
        return self.root / "receipts" / record.id


def _folders(path: "Path | str") -> "list[os.DirEntry[str]]":
    try:
        return [entry for entry in os.scandir(path) if entry.is_dir()]
    except OSError:
        return []


def _json_files(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """Names and states of a folder's JSON files; of a link to nowhere the link's own, so that it can be named."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.endswith(".json"):
                try:
                    yield entry.name, entry.stat()
                except OSError:
                    with contextlib.suppress(OSError):
                        yield entry.name, entry.stat(follow_symlinks=False)
