"""What decides a prepared session: its recording, what the suite says of it, and the code that prepares."""

import functools
import hashlib
import json
import platform
import re
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import harness
from harness.data.identity import content_id
from harness.data.prepare import task_of
from harness.data.split import columns_of
from harness.data.suites import Session, Suite

LIBRARIES = ("h5py", "numpy", "scipy")
"""Packages that read, bin and filter."""
HOUSE = Path(harness.__file__).parent
FIRST = tuple(HOUSE / "data" / f"{name}.py" for name in ("prepare", "table", "arrow_file", "array_json"))
"""What gives a session in bins, and what writes and maps it."""
_IMPORT = re.compile(r"^\s*(?:from +(harness[\w.]*) +import +(.*)|import +(harness[\w.]*))", re.MULTILINE)


def key_parts(suite: Suite, session: Session, path: Path, *, streams: Sequence[str] | None = None) -> dict[str, Any]:
    """All that decides what `harness.data.prepare.read` gives, as JSON knows it; arguments as there."""
    return {
        "data": content_id(session, path),
        "size": path.stat().st_size,
        "session": [session.id, session.subject, session.layout],
        "task": task_of(suite, streams).model_dump(mode="json"),
        "layout": suite.layouts[session.layout].model_dump(mode="json"),
        "trial_columns": list(columns_of(suite.splits[session.split])),
        **preparation(),
    }


def key_of(parts: dict[str, Any]) -> str:
    """The hash of these parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@functools.cache
def preparation() -> dict[str, Any]:
    """What prepares: hash of its source, versions, architecture."""
    return {
        "code": _sha256(code_files()),
        "libraries": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
        "machine": platform.machine(),
    }


def code_files() -> tuple[Path, ...]:
    """The first files and every file of the harness that one of them imports, or that such a file does."""
    found: set[Path] = set()
    todo = [*FIRST]
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            todo += _imported(path.read_text())
    return tuple(sorted(found))


def _imported(source: str) -> Iterator[Path]:
    """The harness's files that a file names in its import lines: modules, and names that are modules themselves."""
    for module, names, alone in _IMPORT.findall(source):
        for name in (module or alone, *(f"{module}.{name}" for name in re.findall(r"\w+", names))):
            file = HOUSE.parent.joinpath(*name.split(".")).with_suffix(".py")
            if file.is_file():
                yield file


def _sha256(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(HOUSE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
