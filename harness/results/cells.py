"""Finished work, kept by content: fits and cells. A key hashes all that decides the outcome.

A fit is one decoder with one seed fitted on one recording (or on all of them); a cell is one test pass of a fit. Both
are folders that appear whole: a killed run loses at most what was in flight.
"""

import functools
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import harness
from harness.results.records import canonical

RULES = ("data", "judge", "score")


@functools.cache
def code_sha256() -> str:
    """Hash of the harness's own source that decides a number: data, judge, score and the contract."""
    root = Path(harness.__file__).parent
    files = [path for folder in RULES for path in sorted((root / folder).rglob("*.py"))]
    digest = hashlib.sha256()
    for path in [*files, root / "types.py", root / "decoder.py"]:
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def key(**parts: Any) -> str:
    """One key for JSON-able parts, the harness's own code among them."""
    return hashlib.sha256(canonical({"code": code_sha256(), **parts})).hexdigest()


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder that appears whole or not at all, in place of one that is there.

    The caller holds a lock on the folder's key: what a killed run left behind for it is cleared away.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left_over in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(left_over, ignore_errors=True)
    new = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        for name, content in files.items():
            with (new / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        new.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


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


def merged(parts: Sequence[tuple[str, Mapping[str, np.ndarray]]]) -> dict[str, np.ndarray]:
    """Arrays of several sessions in one mapping: `session/name`."""
    return {f"{session}/{name}": values for session, arrays in parts for name, values in arrays.items()}
