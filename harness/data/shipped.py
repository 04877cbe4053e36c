"""Where the suites and profiles that come with the harness are, and what the head of a suite's file says.

A listing reads these lines alone: checking the nine hundred sessions of all suites would take longer than everything
else that it does.
"""

import importlib.resources
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

SUFFIX = ".yaml"
_LINE = re.compile(r"^(name|version|title): *(.*?) *$", re.MULTILINE)
_INPUTS = re.compile(r"^(?:task: \{| +)inputs: \[([^\]]*)\]", re.MULTILINE)
_TIERS = re.compile(r'[ {]"?tiers"?: *\[([^\]]*)\]')


@dataclass(frozen=True)
class Heading:
    """What a listing shows of a suite: its label and title, tier -> number of sessions, what its decoders read."""

    label: str
    title: str
    tiers: dict[str, int]
    inputs: tuple[str, ...]


def shipped(folder: str) -> Path:
    """A folder of `datasets/` as installed (`harness/_datasets`) or as checked out."""
    root = Path(str(importlib.resources.files("harness")))
    installed = root / "_datasets" / folder
    return installed if installed.is_dir() else root.parent / "datasets" / folder


def known_suites() -> dict[str, Path]:
    """The shipped suites: name -> file."""
    return {p.stem: p for p in sorted(shipped("suites").glob(f"*{SUFFIX}"))}


def heading(path: Path) -> Heading:
    """Read the heading of a shipped suite; these have name, version, title and each session's tiers on one line."""
    text = path.read_text()
    head = dict(_LINE.findall(text))
    tiers = Counter(name.strip(' "') for names in _TIERS.findall(text) for name in names.split(","))
    inputs = _INPUTS.search(text)
    read = tuple(name.strip() for name in inputs[1].split(",")) if inputs else ()
    return Heading(f"{head['name']}@{head['version']}", head["title"].strip('"'), dict(tiers), read)
