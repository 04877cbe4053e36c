"""What a number was made with: Python, packages, the harness's own source, the machine."""

import functools
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import harness
from harness.judge.hardware import fingerprint
from harness.results.records import sha256

PACKAGES = ("h5py", "numpy", "pynwb", "safetensors", "scikit-learn", "scipy", "torch")
RULES = ("data", "judge", "score")
"""Folders of the harness whose code decides a number."""


@functools.cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


@functools.cache
def code_sha256() -> str:
    """Hash of the harness's own source that decides a number: data, judge, score, scoring and the contract."""
    root = Path(harness.__file__).parent
    files = [path for folder in RULES for path in sorted((root / folder).rglob("*.py"))]
    files += [root / "results" / "scored.py", root / "types.py", root / "decoder.py", root / "registry.py"]
    content = b"".join(p.relative_to(root).as_posix().encode() + b"\0" + p.read_bytes() + b"\0" for p in files)
    return sha256(content)


def environment() -> dict[str, Any]:
    """All of it, as a record states it."""
    packages = dict(versions())
    return {
        "python": packages.pop("python"),
        "packages": packages,
        "harness": version("neural-decoder-harness"),
        "harness_source_sha256": code_sha256(),
        **fingerprint(),
    }
