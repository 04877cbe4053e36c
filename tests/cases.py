"""Parameters of tests."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def long_but(usual: Collection[Any], cases: Iterable[Any]) -> list[Any]:
    """Cases of which all take long but the usual ones."""
    return [one if one in usual else pytest.param(*_row(one), marks=pytest.mark.long) for one in cases]


def _row(case: Any) -> tuple[Any, ...]:
    return case if isinstance(case, tuple) else (case,)
