"""A new package from one of the examples that come with the harness: the same files under another name."""

import importlib.resources
import re
from pathlib import Path
from typing import Literal

from harness.errors import UsageError
from harness.registry import known
from harness.results.names import mistaken_for

NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
LONGEST = 40
LEFT_OUT = ("__pycache__", ".pytest_cache", "dist", "build")


def write_package(name: str, folder: Path, *, kind: Literal["ridge", "torch"]) -> Path:
    """Write a package and return its folder.

    Args:
        name: Of the decoder: lower case, digits and single hyphens.
        folder: Where to; not there yet, or empty.
        kind: Which example.

    Raises:
        UsageError: If the name is taken or none, or the folder is not empty.
    """
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise UsageError(
            f"{name!r} is no name for a decoder; write lower-case letters and digits in words with hyphens between "
            f"them, at most {LONGEST} characters, such as my-ridge"
        )
    if taken := name if name in known() else mistaken_for(name, known()):
        raise UsageError(f"{name!r} is the name of an installed decoder, or looks like {taken!r}; choose another one")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there and not empty; name a new folder: --folder")
    source = _examples() / f"example-{kind}"
    for path in sorted(source.rglob("*")):
        inside = path.relative_to(source)
        if path.is_file() and not any(part in LEFT_OUT or part.endswith(".egg-info") for part in inside.parts):
            target = folder / _renamed(inside.as_posix(), name, kind)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_renamed(path.read_text(), name, kind))
    return folder


def _examples() -> Path:
    """The examples: as installed, or as checked out."""
    root = Path(str(importlib.resources.files("harness")))
    installed = root / "_examples"
    return installed if installed.is_dir() else root.parent / "submissions"


def _renamed(text: str, name: str, kind: str) -> str:
    words = name.split("-")
    for old, new in (
        (f"example-{kind}", name),
        (f"example_{kind}", "_".join(words)),
        (f"Example{kind.title()}", "".join(word.title() for word in words)),
        (f"Example {kind}", " ".join(words).capitalize()),
    ):
        text = text.replace(old, new)
    return text
