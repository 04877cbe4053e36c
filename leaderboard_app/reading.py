"""Reading a store for the page: whole records, and the files that are none."""

from dataclasses import dataclass
from pathlib import Path

from harness.errors import BadData
from harness.results.records import Record
from harness.results.store import Store, read_record


@dataclass(frozen=True)
class BadFile:
    """A file in the store that is no record, or was edited."""

    file: str
    problem: str


@dataclass(frozen=True)
class Reading:
    """What a store held when it was read."""

    records: tuple[Record, ...]
    bad_files: tuple[BadFile, ...]


Fingerprint = tuple[tuple[str, int, int], ...]
"""Name, change time in ns and size in bytes of every record file: the same as long as the store is."""


def fingerprint(root: Path) -> Fingerprint:
    """Tell cheaply whether a store has changed."""
    return tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in Store(root).paths())


def read_store(root: Path) -> Reading:
    """Read all records; a broken file is named and costs the others nothing."""
    records: list[Record] = []
    bad_files: list[BadFile] = []
    for path in Store(root).paths():
        try:
            records.append(read_record(path))
        except BadData as error:
            bad_files.append(BadFile(str(path.relative_to(root)), str(error).replace(f"{root}/", "")))
    return Reading(tuple(records), tuple(bad_files))
