"""What a file must be: its size and digests, read from suites, manifests and the lists of whole data sets.

A pin is the only reason to trust bytes that came over a network. A row without a digest has no pin, and stays out.
"""

import functools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from harness.data.suites import Dandi, Physionet, Session, Source, Zenodo, known_suites, load_suite, shipped
from harness.errors import BadData, UsageError

HEX_DIGITS = {"sha256": 64, "md5": 32}
"""Digests that count, the strongest first, and their length."""
LIST_SUFFIX = ".sha256"


@dataclass(frozen=True)
class Pin:
    """What a file must be.

    name: How messages call the file.
    digests: Algorithm -> lower-case hexadecimal digest, the strongest first; never empty.
    size: Bytes, or None where no source states them.
    """

    name: str
    digests: Mapping[str, str]
    size: int | None = None

    @property
    def key(self) -> tuple[str, str]:
        """(algorithm, digest) under which the cache keeps the file."""
        return next(iter(self.digests.items()))


def read_pin(name: str, row: Mapping[str, Any]) -> Pin | None:
    """Read the digests and size of one row; None where it states no digest.

    Raises:
        UsageError: If a digest is not made of as many hexadecimal digits as its algorithm gives.
    """
    digests = {a: str(row[a]).lower() for a in HEX_DIGITS if row.get(a)}
    for algorithm, digest in digests.items():
        if not re.fullmatch(f"[0-9a-f]{{{HEX_DIGITS[algorithm]}}}", digest):
            raise UsageError(
                f"{name}: {digest!r} is no {algorithm}, which has {HEX_DIGITS[algorithm]} hexadecimal digits; "
                f"correct the suite or manifest"
            )
    return Pin(name, digests, row.get("size")) if digests else None


def pin_of(source: Source) -> Pin | None:
    """The pin of a remote source; None for one without a digest, and for local and simulated ones."""
    return read_pin(source.path, source.model_dump()) if isinstance(source, Dandi | Zenodo) else None


def pins_of(source: Source) -> tuple[Pin, ...]:
    """The pins of all files that a remote source is made of, in their order; none where `pin_of` gives None.

    Raises:
        BadData: If the list of a data set's digests does not have one of them.
    """
    if not isinstance(source, Physionet):
        pin = pin_of(source)
        return (pin,) if pin else ()
    path = shipped("pins") / f"{source.dataset}-{source.version}{LIST_SUFFIX}"
    known = pins_in_list(path)
    if absent := [name for name in source.paths if name not in known]:
        raise BadData(f"{absent[0]} is not among the {len(known)} files that {path} pins; name another subject or run")
    return tuple(known[name] for name in source.paths)


def pinned(session: Session) -> tuple[Pin, ...]:
    """The pins of a remote session's files.

    Raises:
        BadData: If its row states no digest.
    """
    pins = pins_of(session.source)
    if not pins:
        raise BadData(
            f"session {session.id!r} has neither sha256 nor md5, so nobody could tell a wrong file from the right "
            f"one; it stays out until someone with the file pins a digest in the suite; name other sessions"
        )
    return pins


def pins_in_suite(name: str) -> list[Pin]:
    """All pins of a suite, shipped or in a YAML file; each named by its session, or by its place in a data set."""
    sessions = load_suite(name).sessions
    single = (read_pin(s.id, s.source.model_dump()) for s in sessions if isinstance(s.source, Dandi | Zenodo))
    several = (pin for s in sessions if isinstance(s.source, Physionet) for pin in pins_of(s.source))
    return list({(p.name, p.key): p for p in (*filter(None, single), *several)}.values())


@functools.cache
def pins_in_list(path: Path) -> dict[str, Pin]:
    """A list of a data set's digests, as `sha256sum` writes it: path in the data set -> pin, named `data set/file`.

    Raises:
        UsageError: If there is no such file, or a line of it is no digest and path.
    """
    if not path.is_file():
        raise UsageError(f"{path} does not exist; name an existing list of digests")
    dataset = path.name.partition("-")[0]
    pins = {}
    for i, line in enumerate(path.read_text().splitlines()):
        digest, _, name = line.partition("  ")
        pin = read_pin(f"{dataset}/{PurePosixPath(name).stem}", {"sha256": digest})
        if pin is None or not name:
            raise UsageError(f"{path}, line {i + 1}: {line[:80]!r} is no sha256, two spaces and a path; correct it")
        pins[name] = pin
    return pins


def pins_in_manifest(path: Path) -> list[Pin]:
    """All pins of a JSON manifest: every object in it, at any depth, that states a sha256 or md5.

    Raises:
        UsageError: If the file is no JSON, or pins nothing.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no readable JSON manifest: {error}; name an existing .json file") from None
    found = (read_pin(str(row.get("id") or row.get("path") or path.name), row) for row in _objects(content))
    pins = [pin for pin in found if pin]
    if not pins:
        raise UsageError(f"{path} pins nothing: no object in it has a sha256 or md5; name another manifest")
    return pins


def known_pins(manifests: list[Path]) -> list[Pin]:
    """The pins of all shipped suites and data sets, and of further manifests (.json), lists (.sha256) or suites."""
    pins = [pin for name in known_suites() for pin in pins_in_suite(name)]
    for path in (*sorted(shipped("pins").glob(f"*{LIST_SUFFIX}")), *manifests):
        if path.suffix == LIST_SUFFIX:
            pins += pins_in_list(path).values()
        else:
            pins += pins_in_manifest(path) if path.suffix == ".json" else pins_in_suite(str(path))
    return pins


def _objects(content: Any) -> Iterator[dict[str, Any]]:
    if isinstance(content, dict):
        yield content
    inner = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    for value in inner:
        yield from _objects(value)
