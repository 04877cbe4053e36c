"""Finished work, kept by content: fits and cells. A key hashes all that decides the outcome.

A fit is one decoder with one seed fitted on one recording (or on all of them); a cell is one test pass of a fit. Both
are folders that appear whole: a killed run loses at most what was in flight.
"""

import io
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from harness.disk import in_words
from harness.results.environment import code_sha256, versions
from harness.results.records import canonical, sha256
from harness.results.store import PART

T = TypeVar("T")


def key(**parts: Any) -> str:
    """One key for JSON-able parts, the harness's own code and the versions of packages among them."""
    return sha256(canonical({"code": code_sha256(), "versions": versions(), **parts}))


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder that appears whole or not at all, in place of one that is there.

    The caller holds a lock on the folder's key: what a killed run left behind for it is cleared away.

    Raises:
        NotWritten: If the disk is full, or cannot be written.
    """
    new, old = (folder.with_name(f".{folder.name}.{what}{PART}") for what in ("new", "old"))
    with in_words(folder.parent):
        try:
            _remove(new, old)
            new.mkdir(parents=True)
            for name, content in files.items():
                with (new / name).open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
        finally:
            _remove(new, old)


def _remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def read_json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def arrays_to_npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """A compressed .npz with the same bytes for the same arrays."""
    out = io.BytesIO()
    np.savez_compressed(out, allow_pickle=False, **dict(sorted(arrays.items())))
    return out.getvalue()


def npz_to_arrays(content: bytes | Path) -> dict[str, np.ndarray]:
    """Undo `arrays_to_npz`; never unpickles."""
    with np.load(io.BytesIO(content) if isinstance(content, bytes) else content, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def merged(parts: Sequence[tuple[str, Mapping[str, T]]]) -> dict[str, T]:
    """Values of several sessions in one mapping: `session/name`."""
    return {f"{session}/{name}": values for session, arrays in parts for name, values in arrays.items()}
