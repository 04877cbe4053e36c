"""What came of one rule of the audit."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One rule's outcome; `max_difference`, where outputs are compared, in units of their size."""

    ok: bool
    why: str
    max_difference: float | None = None


def worst(findings: Sequence[Finding]) -> Finding:
    """The first that fails, else the one with the largest difference; fine if there is none."""
    failed = [f for f in findings if not f.ok]
    ranked = failed or sorted(findings, key=lambda f: -(f.max_difference or 0.0))
    return ranked[0] if ranked else Finding(True, "the recording is too short")
