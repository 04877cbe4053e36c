"""The bootstrap against a slow loop over indices, and its coverage on noise of known truth."""

import numpy as np
import pytest
import scipy.signal

from harness.errors import UsageError
from harness.score import metrics
from harness.score.stats import Bootstrap, Timeline, draw_blocks, draws, interval, over_sessions

SMALL = Bootstrap(block_s=1.0, n_draws=40, seed=3)


def stream(n_bins: int, seed: int = 0, *, memory: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
    """A smooth target and a prediction with smooth error; both AR(1), so R2 is known: 1 - 0.5**2."""
    rng = np.random.default_rng(seed)
    innovation = rng.normal(size=(n_bins, 4))
    innovation[1:] *= np.sqrt(1 - memory**2)
    noise = scipy.signal.lfilter([1.0], [1.0, -memory], innovation, axis=0)
    return noise[:, :2], noise[:, :2] + 0.5 * noise[:, 2:]


def starts_at(n_bins: int, *edges: int) -> np.ndarray:
    starts = np.zeros(n_bins, bool)
    starts[list(edges)] = True
    return starts


@pytest.mark.parametrize("name", [m.name for m in metrics.REGRESSION])
@pytest.mark.parametrize("edges", [(), (0, 130, 137), tuple(range(0, 400, 6))])
def test_draws_equal_a_slow_loop_that_scores_the_resampled_bins(name, edges):
    y, p = stream(400)
    scored = np.arange(400) % 7 != 3
    starts = starts_at(400, *edges)
    blocks = draw_blocks(starts, 0.1, SMALL)
    slow = []
    for start, stop in zip(blocks.start, blocks.stop, strict=True):
        bins = np.concatenate([np.arange(a, b) for a, b in zip(start, stop, strict=True)])
        slow.append(metrics.metric(name)(y[bins][scored[bins]], p[bins][scored[bins]]))
    fast = draws(metrics.metric(name), y, p, time=Timeline(0.1, starts, scored), bootstrap=SMALL)
    np.testing.assert_allclose(fast, slow, rtol=1e-10)


def test_the_default_is_version_1_of_the_protocol():
    blocks = draw_blocks(starts_at(3000), 0.02)
    assert blocks.start.shape == (1000, 6)
    assert np.unique(blocks.stop - blocks.start).tolist() == [500]
    assert (blocks.start == draw_blocks(starts_at(3000), 0.02, Bootstrap(10.0, 1000, 0)).start).all()


@pytest.mark.parametrize("edges", [(0, 130, 137), (50,), tuple(range(0, 400, 6))])
def test_no_block_crosses_a_break_of_the_recording(edges):
    starts = starts_at(400, *edges)
    segment = np.cumsum(starts)
    blocks = draw_blocks(starts, 0.1, SMALL)
    assert (segment[blocks.start] == segment[blocks.stop - 1]).all()


@pytest.mark.parametrize("n_bins, edges", [(400, ()), (405, ()), (404, (100, 200)), (7, ())])
def test_a_draw_is_as_long_as_the_stream(n_bins, edges):
    blocks = draw_blocks(starts_at(n_bins, *edges), 0.1, SMALL)
    lengths = (blocks.stop - blocks.start).sum(axis=1)
    assert np.abs(lengths - n_bins).max() <= 1


def test_short_and_long_segments_weigh_the_same_per_bin():
    starts = starts_at(1000, 0, *range(500, 1000, 5))
    blocks = draw_blocks(starts, 0.1, Bootstrap(block_s=1.0, n_draws=500, seed=0))
    length = blocks.stop - blocks.start
    in_short = length[blocks.start >= 500].sum() / length.sum()
    assert in_short == pytest.approx(0.5, abs=0.01)


def test_unscored_bins_may_hold_nan_and_change_nothing():
    y, p = stream(400)
    scored = np.arange(400) >= 50
    expected = draws(metrics.metric("r2"), y, p, time=Timeline(0.1, scored=scored), bootstrap=SMALL)
    y[~scored], p[~scored] = np.nan, np.inf
    again = draws(metrics.metric("r2"), y, p, time=Timeline(0.1, scored=scored), bootstrap=SMALL)
    np.testing.assert_array_equal(again, expected)


def test_a_draw_without_a_scored_bin_is_undefined_and_left_out_of_the_interval():
    y, p = stream(40)
    time = Timeline(0.1, scored=np.arange(40) < 2)
    values = draws(metrics.metric("rmse"), y, p, time=time, bootstrap=SMALL)
    assert np.isnan(values).any() and np.isfinite(values).any()
    assert interval(values) == interval(values[np.isfinite(values)])


def test_an_interval_of_nothing_defined_is_undefined():
    found = interval(np.full(10, np.nan))
    assert np.isnan([found.low, found.high]).all()


def test_the_interval_cuts_two_and_a_half_percent_off_each_side():
    found = interval(np.arange(1001.0))
    assert (found.low, found.high) == pytest.approx((25.0, 975.0))


def coverage(block_s: float, *, n_streams: int) -> float:
    """How often the 95 % interval holds the true R2 of 0.75, over seeded streams of 300 s."""
    plan = Bootstrap(block_s=block_s, n_draws=200, seed=0)
    hits = 0
    for seed in range(n_streams):
        y, p = stream(3000, seed)
        found = interval(draws(metrics.metric("r2"), y, p, time=Timeline(0.1), bootstrap=plan))
        hits += found.low <= 0.75 <= found.high
    return hits / n_streams


def test_blocks_cover_the_truth_where_single_bins_are_overconfident():
    assert 0.88 <= coverage(block_s=10.0, n_streams=200) <= 0.99
    assert coverage(block_s=0.1, n_streams=30) < 0.75


def test_two_decoders_on_one_timeline_are_compared_on_the_same_blocks():
    y, p = stream(400)
    worse = p + 0.05 * np.sign(p - y)
    gain = draws(metrics.metric("rmse"), y, worse, time=Timeline(0.1)) - draws(
        metrics.metric("rmse"), y, p, time=Timeline(0.1)
    )
    paired = interval(gain)
    assert 0 < paired.low <= paired.high < 0.1


def test_over_sessions_spans_the_spread_of_sessions_not_only_of_time():
    rng = np.random.default_rng(0)
    narrow = [mean + 0.01 * rng.normal(size=1000) for mean in (0.2, 0.5, 0.8)]
    found = over_sessions(narrow, rng=np.random.default_rng(1))
    assert found.low == pytest.approx(0.2, abs=0.03) and found.high == pytest.approx(0.8, abs=0.03)


def test_over_sessions_of_one_session_is_the_interval_of_that_session():
    values = np.random.default_rng(0).normal(size=4000)
    found = over_sessions([values], rng=np.random.default_rng(1))
    assert (found.low, found.high) == pytest.approx((-1.96, 1.96), abs=0.15)


def test_over_sessions_of_equal_sessions_shrinks_with_their_number():
    rng = np.random.default_rng(0)
    found = over_sessions([rng.normal(size=2000) for _ in range(16)], rng=np.random.default_rng(1))
    assert (found.high - found.low) / 2 == pytest.approx(1.96 / 4, rel=0.1)


@pytest.mark.parametrize("given", [[], [np.zeros(3), np.zeros(4)], [np.zeros(0)]])
def test_over_sessions_refuses_what_it_cannot_resample(given):
    with pytest.raises(UsageError, match="same"):
        over_sessions(given, rng=np.random.default_rng(0))


def test_a_timeline_of_another_length_is_refused_with_the_numbers():
    y, p = stream(50)
    with pytest.raises(UsageError, match=r"50 targets.*49 starts"):
        draws(metrics.metric("r2"), y, p, time=Timeline(0.1, starts=np.zeros(49, bool)))
