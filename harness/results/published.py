"""The results folder that is published: a store of records, predictions, artefacts, cards and receipts, and its chain.

<suite>/<decoder>/<version>/<id>.json, <id>.npz, <id>.safetensors, <id>.files.json, <id>.receipts/<receipt>.json and
card.yaml; chain.jsonl names all of them with their hashes, in the order in which they came, and nothing in it is ever
changed. Decision 0110.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import Field, ValidationError

from harness.disk import in_words
from harness.errors import BadData, UsageError
from harness.locks import Lock, remove_unowned
from harness.results import names
from harness.results.reading import MOST_BYTES
from harness.results.records import Part, Record, canonical, sha256
from harness.results.store import PART, Store, file_sha256, folder_name, write_whole

CHAIN, LOCK = "chain.jsonl", "chain.jsonl.lock"
Kind = Literal["record", "receipt"]


class Link(Part):
    """One line of the chain.

    number: From 0.
    kind, id: What came.
    files: Path below the folder -> SHA-256, of every file that came with it.
    previous: SHA-256 of the line before; empty in the first.
    """

    number: int = Field(ge=0)
    kind: Kind
    id: str
    files: dict[str, str]
    previous: str


@dataclass(frozen=True)
class Published(Store):
    """A store with the layout of what is published."""

    def folder(self, record: Record) -> Path:
        """Where all files of a record are.

        Raises:
            BadData: If a name in the record may not be published.
        """
        suite = names.refuse_name(record.suite, names.SUITE, "suite")
        decoder = names.refuse_name(record.decoder.name, names.DECODER, "decoder")
        version = names.refuse_name(record.decoder.version, names.VERSION, "version")
        return self.root / folder_name(suite) / decoder / version

    def record_path(self, record: Record) -> Path:
        return self.folder(record) / f"{names.refuse_name(record.id, names.DIGEST, 'id')}.json"

    def paths(self) -> list[Path]:
        return [self.root / name for name in sorted(self.states())]

    def states(self) -> dict[str, tuple[int, int]]:
        found = {}
        for path in self.root.glob("*/*/*/*.json"):
            if names.DIGEST.fullmatch(path.stem):
                with contextlib.suppress(OSError):
                    stat = path.lstat()
                    found[path.relative_to(self.root).as_posix()] = (stat.st_mtime_ns, stat.st_size)
        return found

    def clear_parts(self) -> None:
        for part in self.root.rglob(f".*{PART}"):
            remove_unowned(part)

    def predictions(self, record: Record) -> Path:
        return self.record_path(record).with_suffix(".npz")

    def artifact(self, record: Record) -> Path:
        return self.record_path(record).with_suffix(".safetensors")

    def receipts(self, record: Record) -> Path:
        return self.record_path(record).with_suffix(".receipts")

    def outside(self, record: Record) -> Path:
        """What says where files are that were too large to be kept here."""
        return self.record_path(record).with_suffix(".files.json")

    def card(self, record: Record) -> Path:
        return self.folder(record) / "card.yaml"

    def add(self, kind: Kind, identifier: str, files: Mapping[Path, bytes]) -> None:
        """Write files, then their line of the chain; files that are there already must be the same.

        The document that has the id comes last: whoever can read a record finds its files.

        Raises:
            UsageError: If one of them is there with other content.
            NotWritten: If the folder is full, or cannot be written.
        """
        with in_words(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
        with Lock(self.root / LOCK):
            self.clear_parts()
            lines = chain_lines(self.root)
            if any(link.id == identifier for link in map(_link, lines)):
                return
            for path, content in files.items():
                if path.is_symlink() or (path.exists() and path.read_bytes() != content):
                    raise UsageError(
                        f"{path} is there with other content, and what is published is never changed; "
                        f"give the decoder a new version"
                    )
            for path in sorted(files, key=lambda path: path.name == f"{identifier}.json"):
                if not path.exists():
                    write_whole(path, files[path])
            hashes = {path.relative_to(self.root).as_posix(): sha256(content) for path, content in files.items()}
            previous = sha256(lines[-1]) if lines else ""
            link = Link(number=len(lines), kind=kind, id=identifier, files=hashes, previous=previous)
            write_whole(self.root / CHAIN, b"".join(line + b"\n" for line in [*lines, canonical(link.model_dump())]))


def open_store(root: Path) -> Store:
    """The store in a folder, of whichever of the two layouts it has."""
    return Published(root) if (root / CHAIN).is_file() else Store(root)


def chain_lines(root: Path) -> list[bytes]:
    """The lines of a folder's chain; none if it has no chain.

    Raises:
        BadData: If the file is too large, or cannot be read.
    """
    path = root / CHAIN
    if not path.exists():
        return []
    if path.stat().st_size > MOST_BYTES:
        raise BadData(f"{path} has {path.stat().st_size:,} bytes, at most {MOST_BYTES:,} are read")
    return path.read_bytes().splitlines()


def problems(root: Path, *, begins_with: list[bytes] | None = None) -> list[str]:
    """What is wrong with a published folder, each in a sentence: nothing if it is whole.

    Args:
        root: The folder.
        begins_with: The lines of an earlier state, which must still be there as they were.
    """
    lines = chain_lines(root)
    found = []
    for i, line in enumerate(begins_with or []):
        if i >= len(lines) or lines[i] != line:
            found.append(f"line {i} of {CHAIN} is not what it was; a chain is only added to")
            break
    listed: dict[str, str] = {}
    previous = ""
    for i, line in enumerate(lines):
        try:
            link = _link(line)
        except BadData as error:
            found.append(f"line {i} of {CHAIN}: {error}")
        else:
            if link.number != i or link.previous != previous or canonical(link.model_dump()) != line:
                found.append(
                    f"line {i} of {CHAIN} does not follow the line before: one was edited, removed or put elsewhere"
                )
            for name, digest in link.files.items():
                if listed.setdefault(name, digest) != digest:
                    found.append(f"{_shown(name)} is in {CHAIN} with two hashes")
        previous = sha256(line)
    found += [f"{_shown(name)} {why}" for name, digest in listed.items() if (why := _why_not(root, name, digest))]
    return found + [f"{_shown(name)} is in no line of {CHAIN}" for name in _names_below(root) if name not in listed]


def _link(line: bytes) -> Link:
    try:
        return Link.model_validate_json(line)
    except (ValidationError, RecursionError):
        raise BadData("it is no line of a chain") from None


def _why_not(root: Path, name: str, digest: str) -> str:
    """Why a listed file is not what the chain says; empty if it is."""
    if not is_inside(name):
        return "leads out of the folder"
    path = root / name
    if any(part.is_symlink() for part in (path, *path.parents) if root in part.parents):
        return "is a symbolic link, or lies behind one"
    try:
        same = file_sha256(path) == digest
    except OSError:
        return "is missing"
    return "" if same else "was edited: its hash is not the one in the chain"


def is_inside(name: str) -> bool:
    """Whether a path is relative, and stays below the folder that it is relative to."""
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and "\\" not in name and "\0" not in name


def _names_below(root: Path) -> Iterator[str]:
    """All files of the folder that have to be in the chain; links are named and not followed."""
    for folder, folders, files in os.walk(root):
        linked = [name for name in folders if (Path(folder) / name).is_symlink()]
        for name in sorted([*files, *linked]):
            path = (Path(folder) / name).relative_to(root).as_posix()
            if path not in (CHAIN, LOCK, "README.md") and not path.startswith("index.sqlite"):
                yield path


def _shown(name: str) -> str:
    return ascii(name)[1:-1]


def outside_note(files: Mapping[str, Mapping[str, Any]]) -> bytes:
    """The text of `<id>.files.json`: name -> sha256, bytes and address of what is kept elsewhere."""
    return json.dumps(files, indent=1, sort_keys=True).encode() + b"\n"
