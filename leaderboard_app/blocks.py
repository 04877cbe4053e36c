"""Where in time one decoder is better than another, on one recording: pure functions, no Streamlit."""

from itertools import pairwise

import numpy as np
import pandas as pd

from harness.results.shown import Shown
from harness.score.metrics import metric
from harness.score.stats import PROTOCOL


def gains(name: str, truth: Shown, a: np.ndarray, b: np.ndarray, *, block_s: float = PROTOCOL.block_s) -> pd.DataFrame:
    """By how much `b` would be better if it had answered as `a` did, in each block of time by itself.

    Of R2 and of balanced accuracy these gains add up to the score of `a` minus that of `b`, for both are sums over
    bins divided by what the truth alone fixes. Of other metrics they need not.

    Args:
        name: Which metric.
        truth: The test part.
        a, b: (n_bins, n_outputs) answers, for the bins of `truth`.
        block_s: Length of a block; one ends early where the recording begins anew, and at its end.

    Returns:
        (from_s, until_s, gain) for each block with a scored bin, in order of time; more is better for `a`, whichever
        way the metric counts.
    """
    scored = np.flatnonzero(truth.scored)
    y = truth.targets[scored]
    scale = metric(name)
    terms_a, terms_b = (scale.terms(y, answers[scored]) for answers in (a, b))
    begins = _begins(truth.starts, max(1, round(block_s / truth.about.bin_s)))
    firsts = np.searchsorted(scored, begins)
    kept = np.diff(firsts, append=len(scored)) > 0
    steps = np.add.reduceat(terms_a - terms_b, firsts[kept], axis=0)
    whole = terms_b.sum(axis=0)
    found = scale.value(whole + steps) - scale.value(whole)
    ends = np.append(begins[1:], len(truth))
    edges = {"from_s": begins[kept] * truth.about.bin_s, "until_s": ends[kept] * truth.about.bin_s}
    return pd.DataFrame({**edges, "gain": found if scale.higher_is_better else -found})


def _begins(starts: np.ndarray, n_block: int) -> np.ndarray:
    """First bins of blocks of so many bins, counted anew in each stretch of a recording."""
    edges = np.unique([0, *np.flatnonzero(starts), len(starts)])
    return np.concatenate([np.arange(i, j, n_block) for i, j in pairwise(edges)])


def who_gains(table: pd.DataFrame, a: str, b: str) -> str:
    """In how many blocks each is ahead, in a sentence."""
    ahead, behind = int((table["gain"] > 0).sum()), int((table["gain"] < 0).sum())
    even = len(table) - ahead - behind
    rest = f", neither in {even}" if even else ""
    return f"Of {len(table)} blocks of {PROTOCOL.block_s:g} s, {a} is ahead in {ahead} and {b} in {behind}{rest}."
