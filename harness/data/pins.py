"""What a file must be: its size and digests, read from suites and manifests.

A pin is the only reason to trust bytes that came over a network. A row without a digest has no pin, and stays out.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.data.suites import Dandi, Session, Source, Zenodo, known_suites, load_suite
from harness.errors import BadData, UsageError

HEX_DIGITS = {"sha256": 64, "md5": 32}
"""Digests that count, the strongest first, and their length."""


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


def pinned(session: Session) -> Pin:
    """The pin of a remote session.

    Raises:
        BadData: If its row states no digest.
    """
    pin = pin_of(session.source)
    if pin is None:
        raise BadData(
            f"session {session.id!r} has neither sha256 nor md5, so nobody could tell a wrong file from the right "
            f"one; it stays out until someone with the file pins a digest in the suite; name other sessions"
        )
    return pin


def pins_in_suite(name: str) -> list[Pin]:
    """All pins of a suite, shipped or in a YAML file; each named by its session."""
    sessions = (s for s in load_suite(name).sessions if isinstance(s.source, Dandi | Zenodo))
    found = (read_pin(s.id, s.source.model_dump()) for s in sessions)
    return [pin for pin in found if pin]


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
    """The pins of all shipped suites, and of further manifests (.json) or suites (.yaml)."""
    pins = [pin for name in known_suites() for pin in pins_in_suite(name)]
    for path in manifests:
        pins += pins_in_manifest(path) if path.suffix == ".json" else pins_in_suite(str(path))
    return pins


def _objects(content: Any) -> Iterator[dict[str, Any]]:
    if isinstance(content, dict):
        yield content
    inner = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    for value in inner:
        yield from _objects(value)
