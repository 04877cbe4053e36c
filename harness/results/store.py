"""Where records, predictions and artefacts are kept; JSON files are the truth.

records/<suite>/<decoder>/<id>.json, predictions/<id>.npz, artifacts/<id>.safetensors; recordings/ holds what pages draw
answers beside, labels among it, and is no part of what is published. Finished work that a later run
can use again lies in fits/, cells/, runs/ and descriptions/; index.sqlite and locks/ can be thrown away. Every file
appears whole or not at all: it is written under another name, synced and renamed.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.results.reading import read_record
from harness.results.records import Record


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that a reader, or a crash, finds complete or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def file_sha256(path: Path) -> str:
    """Digest of a file's content, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_store(root: Path) -> None:
    """Make the folder, unless it is there.

    Raises:
        UsageError: If nothing can be written to it.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=root).close()
    except OSError as error:
        raise UsageError(
            f"results cannot be written to {root}: {error.strerror}; name another folder: --store"
        ) from None


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
