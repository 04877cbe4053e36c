"""Names from outside that become folders, rows of a table and parts of an address."""

import re
from collections.abc import Iterable

from harness.errors import BadData

DECODER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.)){0,59}")
VERSION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9+!_-]|\.(?!\.)){0,39}")
SUITE = re.compile(r"[a-z0-9][a-z0-9-]{0,59}(?:/[a-z0-9][a-z0-9-]{0,59})?@[0-9]{1,4}")
DIGEST = re.compile(r"[0-9a-f]{64}")
ALIKE = str.maketrans({"0": "o", "1": "l", "i": "l", "|": "l", "5": "s", "_": "", "-": "", ".": ""})
"""What a reader of a table takes for one another."""


def refuse_name(text: str, rule: re.Pattern[str], what: str) -> str:
    """Return a name that keeps a rule.

    Args:
        text: Such as a record states it.
        rule: One of this module's.
        what: For the message.

    Raises:
        BadData: If it does not; only ASCII does, so no letter of another alphabet can stand for one of these.
    """
    if not rule.fullmatch(text):
        raise BadData(
            f"{what} {text[:80]!a} is no name that can be published; allowed are ASCII letters and digits, and "
            f"within the name . _ and -: rename it and run again"
        )
    return text


def mistaken_for(name: str, others: Iterable[str]) -> str:
    """One of the other names that a reader would take this one for; empty if there is none."""
    return next((other for other in sorted(others) if other != name and _seen(other) == _seen(name)), "")


def _seen(name: str) -> str:
    return name.lower().translate(ALIKE)
