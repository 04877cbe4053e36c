"""Intervals of a score: a bootstrap over test time by moving blocks, or over trials, and then over sessions.

Neighbouring bins are alike, so bins cannot be resampled one by one; blocks of consecutive bins can (Künsch 1989,
doi:10.1214/aos/1176347265). A draw needs only the sums of its blocks' terms, which are differences of one cumulative
sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.errors import UsageError
from harness.score.metrics import Metric


@dataclass(frozen=True)
class Timeline:
    """Where the bins of a test stream lie in time.

    starts: (n_bins,) bool; no block reaches across a true bin from before it. None: one unbroken stretch.
    scored: (n_bins,) bool; other bins take up time but add nothing. None: all.
    """

    bin_s: float
    starts: np.ndarray | None = None
    scored: np.ndarray | None = None


@dataclass(frozen=True)
class Bootstrap:
    """How to resample; the defaults are version 1 of the protocol."""

    block_s: float = 10.0
    n_draws: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class Interval:
    """A percentile interval; NaN if no draw is defined."""

    low: float
    high: float


@dataclass(frozen=True)
class Blocks:
    """Drawn blocks as half-open stretches of bins: start and stop, each (n_draws, n_blocks) int64."""

    start: np.ndarray
    stop: np.ndarray


PROTOCOL = Bootstrap()


def draws(
    metric: Metric,
    y_true: np.ndarray,
    y_pred: np.ndarray,
    *,
    time: Timeline,
    bootstrap: Bootstrap = PROTOCOL,
) -> np.ndarray:
    """Scores of resampled test streams.

    Two decoders on the same timeline get the same blocks: the difference of their draws is paired.

    Args:
        metric: What to score.
        y_true: (n_bins, n_outputs); finite where scored.
        y_pred: (n_bins, n_outputs); finite where scored.
        time: Where the bins lie.
        bootstrap: Block length, number of draws, seed.

    Returns:
        (n_draws,) float64, NaN where a draw has no defined score.

    Raises:
        UsageError: If lengths differ, or a scored value is not finite.
    """
    n_bins = len(y_true)
    scored = np.ones(n_bins, bool) if time.scored is None else np.asarray(time.scored, bool)
    starts = np.zeros(n_bins, bool) if time.starts is None else np.asarray(time.starts, bool)
    if not len(scored) == len(starts) == len(y_pred) == n_bins:
        raise UsageError(
            f"{n_bins} targets, {len(y_pred)} predictions, {len(scored)} scored flags and {len(starts)} starts; "
            f"give one of each per bin of the test stream"
        )
    terms = metric.terms(y_true[scored], y_pred[scored])
    cumulative = np.zeros((n_bins + 1, *terms.shape[1:]))
    cumulative[1:][scored] = terms
    np.cumsum(cumulative, axis=0, out=cumulative)
    return metric.value(_block_sums(cumulative, draw_blocks(starts, time.bin_s, bootstrap)))


def trial_draws(
    metric: Metric, y_true: np.ndarray, y_pred: np.ndarray, *, bootstrap: Bootstrap = PROTOCOL
) -> np.ndarray:
    """Scores of resampled trials, of which each is one scored bin; the same trials for every decoder.

    Args:
        metric: What to score.
        y_true: (n_trials, n_outputs), finite.
        y_pred: (n_trials, n_outputs), finite.
        bootstrap: Number of draws, seed.

    Returns:
        (n_draws,) float64, NaN where a draw has no defined score.
    """
    terms = metric.terms(y_true, y_pred)
    chosen = np.random.default_rng(bootstrap.seed).integers(0, len(terms), (bootstrap.n_draws, len(terms)))
    return metric.value(terms[chosen].sum(axis=1))


def draw_blocks(starts: np.ndarray, bin_s: float, bootstrap: Bootstrap = PROTOCOL) -> Blocks:
    """Draw blocks that lie within a segment until, in all, they are as long as the stream.

    A segment shorter than a block is a block of its own. Segments are drawn in proportion to the number of blocks
    that fill them, so that every segment weighs as much as it is long; the last block of a draw is cut to the
    remainder.

    Within a segment not all time weighs the same: fewer blocks reach its ends, so these are drawn less often. The
    protocol fixes moving blocks all the same. With few blocks (a test part of 48 s holds five) the draws vary too
    little, and the interval covers less often than its level says.

    Args:
        starts: (n_bins,) bool; true where a segment begins.
        bin_s: Bin width.
        bootstrap: Block length, number of draws, seed.
    """
    rng = np.random.default_rng(bootstrap.seed)
    edges = np.unique(np.concatenate([[0], np.flatnonzero(starts), [len(starts)]]))
    begin, length = edges[:-1], np.diff(edges)
    block = np.minimum(length, max(1, round(bootstrap.block_s / bin_s)))
    weight = length / block
    n_blocks = int(np.ceil(weight.sum() - 1e-9))
    i_segment = rng.choice(len(begin), (bootstrap.n_draws, n_blocks), p=weight / weight.sum())
    start = begin[i_segment] + rng.integers(0, (length - block + 1)[i_segment])
    drawn = block[i_segment]
    remainder = weight.sum() - (n_blocks - 1)
    drawn[:, -1] = np.maximum(1, np.round(drawn[:, -1] * remainder))
    return Blocks(start, start + drawn)


def interval(values: np.ndarray, *, level: float = 0.95) -> Interval:
    """Percentile interval of bootstrap draws; undefined draws are left out."""
    defined = values[~np.isnan(values)]
    if not defined.size:
        return Interval(float("nan"), float("nan"))
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def over_sessions(session_draws: Sequence[np.ndarray], *, rng: np.random.Generator) -> Interval:
    """Interval of the mean over sessions: resample sessions, and within each of those one of its draws.

    Args:
        session_draws: One (n_draws,) array of `draws` per session.
        rng: Source of randomness.

    Raises:
        UsageError: If there is no session, or their numbers of draws differ.
    """
    sizes = {len(d) for d in session_draws}
    if len(sizes) != 1 or 0 in sizes:
        raise UsageError(
            f"{len(session_draws)} sessions with {sorted(sizes)} draws; give at least one session, all with the "
            f"same number of draws"
        )
    table = np.stack(session_draws)
    n_sessions, n_draws = table.shape
    shape = (n_draws, n_sessions)
    means = table[rng.integers(0, n_sessions, shape), rng.integers(0, n_draws, shape)].mean(axis=1)
    return interval(means)


def _block_sums(cumulative: np.ndarray, blocks: Blocks) -> np.ndarray:
    """(n_bins + 1, ...) cumulative terms -> (n_draws, ...): block after block, so that memory does not grow."""
    sums = np.zeros((len(blocks.start), *cumulative.shape[1:]))
    for start, stop in zip(blocks.start.T, blocks.stop.T, strict=True):
        sums += cumulative[stop] - cumulative[start]
    return sums
