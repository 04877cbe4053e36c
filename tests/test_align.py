"""Alignment: integer time, targets at right edges, breaks, and no look at the future."""

import numpy as np
import pytest

from harness.data.align import align
from harness.data.contents import Contents, Series, SpikeTrains
from harness.data.grids import interpolate
from harness.data.protocol import Layout, SpikesAt, TargetAt, Task
from harness.errors import BadData, UsageError
from tests.nwb_files import session

CLOCK_HZ = 30_000


def layout(derive="as_is", outputs=("x",), **spikes):
    at = TargetAt(path="p", outputs=outputs, derive=derive)
    return Layout(spikes=SpikesAt(**(spikes or {"units": "units"})), targets={"velocity": at})


def task(bin_s=0.02, lag_s=0.0):
    return Task(inputs=("spikes",), target="velocity", bin_s=bin_s, lag_s=lag_s)


def ramp(seconds, *, rate_hz=1000, start_s=0.0, slope=1.0):
    times_s = start_s + np.arange(round(seconds * rate_hz) + 1) / rate_hz
    return Series(slope * times_s[:, None], times_s, 1 / rate_hz)


def trains(*times_s, intervals_s=None):
    flat = np.concatenate([np.asarray(t, float) for t in times_s])
    units = np.repeat(np.arange(len(times_s)), [len(t) for t in times_s])
    return SpikeTrains(flat, units, tuple(map(str, range(len(times_s)))), intervals_s)


def aligned(contents, *, derive="as_is", **options):
    return align(contents, session(), task=task(**options), layout=layout(derive))


def counts_of(found):
    return found.recording.inputs.streams["spikes"]


@pytest.mark.parametrize("tick, expected_bin", [(0, 0), (599, 0), (600, 1), (601, 1), (29_999, 49)])
def test_a_spike_on_an_edge_belongs_to_the_later_bin(tick, expected_bin):
    found = aligned(Contents(ramp(1), trains([tick / CLOCK_HZ])))
    assert np.flatnonzero(counts_of(found)[:, 0]).tolist() == [expected_bin]


def test_counts_equal_a_slow_loop_over_exact_fractions():
    rng = np.random.default_rng(0)
    ticks = [np.sort(rng.integers(0, 2 * CLOCK_HZ, 500)) for _ in range(3)]
    found = aligned(Contents(ramp(2), trains(*(t / CLOCK_HZ for t in ticks))), bin_s=0.004)
    expected = np.zeros((500, 3))
    for unit, times in enumerate(ticks):
        for tick in times.tolist():
            expected[tick // 120, unit] += 1
    np.testing.assert_array_equal(counts_of(found), expected)


def test_late_sessions_lose_no_spike_to_rounding():
    late = 1234.567
    ticks = np.arange(0, CLOCK_HZ, 60)
    found = aligned(Contents(ramp(1, start_s=late), trains(late + ticks / CLOCK_HZ)), bin_s=0.004)
    assert counts_of(found)[:, 0].tolist() == [2.0] * 250


def test_silent_units_keep_their_column():
    found = aligned(Contents(ramp(1), trains([], [0.5], [])))
    assert counts_of(found).shape == (50, 3)
    assert counts_of(found).sum(axis=0).tolist() == [0, 1, 0]
    assert found.recording.session.streams["spikes"].channels == ("0", "1", "2")


def test_the_target_is_the_behaviour_at_the_right_edge():
    found = aligned(Contents(ramp(1), trains([])))
    np.testing.assert_allclose(found.recording.targets[:, 0], 0.02 * np.arange(1, 51), rtol=1e-6)
    assert found.ticks.tolist() == list(range(600, 30_001, 600))


@pytest.mark.parametrize("lag_s", [0.1, -0.04])
def test_a_lag_takes_the_behaviour_that_much_later(lag_s):
    found = aligned(Contents(ramp(1), trains([])), lag_s=lag_s)
    expected = 0.02 * np.arange(1, 51) + lag_s
    measured = (expected >= -1e-9) & (expected <= 1 + 1e-9)
    assert found.recording.scored.tolist() == measured.tolist()
    np.testing.assert_allclose(found.recording.targets[measured, 0], expected[measured], rtol=1e-5, atol=1e-8)


def test_a_difference_looks_back_over_one_bin():
    times_s = np.arange(0, 1001) / 1000
    found = aligned(Contents(Series(times_s[:, None] ** 2, times_s, 0.001), trains([])), derive="difference")
    edges = 0.02 * np.arange(1, 51)
    expected = (edges**2 - (edges - 0.02) ** 2) / 0.02
    np.testing.assert_allclose(found.recording.targets[:, 0], expected, rtol=1e-4)


def test_interpolation_equals_numpy_inside_and_is_nan_outside():
    rng = np.random.default_rng(1)
    times_s = np.cumsum(rng.uniform(0.009, 0.011, 200))
    series = Series(rng.normal(size=(200, 2)), times_s, 0.01)
    at = rng.uniform(times_s[0], times_s[-1], 500)
    expected = np.column_stack([np.interp(at, times_s, column) for column in series.values.T])
    np.testing.assert_allclose(interpolate(series, at), expected, atol=1e-12)
    assert np.isnan(interpolate(series, np.array([times_s[0] - 0.001, times_s[-1] + 0.001]))).all()


def test_gaps_and_nan_samples_are_never_interpolated_across():
    times_s = np.delete(np.arange(0, 1001) / 1000, slice(301, 400))
    values = times_s[:, None].copy()
    values[np.isclose(times_s, 0.700)] = np.nan
    series = Series(values, times_s, 0.001)
    asked = np.array([0.300, 0.3005, 0.35, 0.3995, 0.400, 0.6990, 0.6995, 0.7, 0.7005, 0.701])
    measured = np.isfinite(interpolate(series, asked))[:, 0]
    assert measured.tolist() == [True, False, False, False, True, True, False, False, False, True]


def test_a_bin_is_scored_only_if_every_output_was_measured():
    series = ramp(1)
    values = np.hstack([series.values, series.values])
    values[500, 1] = np.nan
    found = align(
        Contents(Series(values, series.times_s, series.period_s), trains([])),
        session(),
        task=task(),
        layout=layout(outputs=("x", "y")),
    )
    assert np.flatnonzero(~found.recording.scored).tolist() == [24]


def test_bins_exist_only_where_units_were_observed_and_each_stretch_is_a_start():
    observed = np.array([[0.0, 0.2], [0.405, 0.7]])
    found = aligned(Contents(ramp(1), trains([0.1, 0.3, 0.41, 0.69], intervals_s=observed)))
    assert (found.ticks // 600).tolist() == [*range(1, 11), *range(22, 36)]
    assert np.flatnonzero(found.recording.inputs.starts).tolist() == [0, 10]
    # The spike at 0.41 lies in the bin that begins before the units were observed, and is in no bin.
    assert counts_of(found).sum() == 2


def test_a_long_gap_in_the_behaviour_breaks_the_recording_and_a_short_one_does_not():
    def with_gap(seconds):
        times_s = np.concatenate([np.arange(0, 1000), np.arange(1000 + seconds * 1000, 5000)]) / 1000
        return aligned(Contents(Series(times_s[:, None], times_s, 0.001), trains([0.5])))

    short, long = with_gap(0.5), with_gap(2)
    assert short.recording.inputs.starts.sum() == 1 and not short.recording.scored.all()
    assert long.recording.inputs.starts.sum() == 2 and len(long.ticks) == 150
    assert set((long.ticks % 600).tolist()) == {0}


def test_the_grid_begins_with_the_behaviour():
    found = aligned(Contents(ramp(1, start_s=0.0131), trains([0.0130, 0.0132])))
    assert found.ticks[0] == 393 + 600
    assert counts_of(found).sum() == 1


def test_the_files_own_bins_are_kept_and_known_at_their_right_edge():
    counts = Series(np.arange(40.0).reshape(20, 2), 12.591 + np.arange(20) / 20, 0.05)
    behaviour = Series(np.arange(20.0)[:, None], counts.times_s, 0.05)
    found = align(
        Contents(behaviour, counts=counts), session(), task=task(bin_s=0.05), layout=layout(counts="processing/c")
    )
    np.testing.assert_array_equal(counts_of(found), counts.values)
    assert found.recording.targets[:3, 0].tolist() == [1.0, 2.0, 3.0]
    assert found.recording.scored.tolist() == [True] * 19 + [False]


def test_several_of_the_files_bins_are_summed_and_gaps_between_them_are_breaks():
    times_s = np.concatenate([np.arange(7), np.arange(27, 33)]) / 100
    counts = Series(np.ones((13, 1)), times_s, 0.01)
    found = align(
        Contents(ramp(1), counts=counts), session(), task=task(bin_s=0.03), layout=layout(counts="processing/c")
    )
    assert counts_of(found)[:, 0].tolist() == [3.0, 3.0, 3.0, 3.0]
    assert found.recording.inputs.starts.tolist() == [True, False, True, False]
    assert (found.ticks / CLOCK_HZ).tolist() == [0.03, 0.06, 0.3, 0.33]


def test_bins_that_the_counts_do_not_fit_are_refused():
    counts = Contents(ramp(1), counts=Series(np.ones((20, 1)), np.arange(20) / 20, 0.05))
    with pytest.raises(BadData, match="bins of 50 ms, so bins of 20 ms cannot be made"):
        align(counts, session(), task=task(), layout=layout(counts="processing/c"))


@pytest.mark.parametrize("shape", [(0, 2), (2, 2)])
def test_counts_of_less_than_one_bin_are_refused(shape):
    counts = Contents(ramp(1), counts=Series(np.ones(shape), np.arange(shape[0]) / 100, 0.01))
    with pytest.raises(BadData, match=f"session 's': its {shape[0]} counted bins do not make one bin of 30 ms"):
        align(counts, session(), task=task(bin_s=0.03), layout=layout(counts="processing/c"))


def test_counts_without_units_make_no_recording():
    counts = Contents(ramp(1), counts=Series(np.ones((30, 0)), np.arange(30) / 100, 0.01))
    with pytest.raises(BadData, match="session 's': there is not one unit"):
        align(counts, session(), task=task(bin_s=0.03), layout=layout(counts="processing/c"))


def test_a_span_of_too_many_bins_is_refused_before_anything_is_allocated():
    series = Series(np.zeros((2, 1)), np.array([0.0, 2e6]), 0.001)
    with pytest.raises(BadData, match="session 's': 2e\\+06 s of behaviour make 1e\\+08 bins"):
        aligned(Contents(series, trains([0.5])))


def test_a_behaviour_too_large_for_float32_is_refused():
    with pytest.raises(BadData, match="session 's': 'p' reaches 1e\\+39, .*conversion"):
        aligned(Contents(ramp(1, slope=1e39), trains([])))


def test_a_layout_without_spikes_is_refused_by_its_name():
    bare = layout().model_copy(update={"spikes": None})
    with pytest.raises(UsageError, match="session 's': layout 'l' does not say where the spikes are; add `spikes`"):
        align(Contents(ramp(1)), session(), task=task(), layout=bare)


def test_a_bin_must_be_a_whole_number_of_ticks():
    with pytest.raises(UsageError, match="not a whole number"):
        aligned(Contents(ramp(1), trains([])), bin_s=0.02001)


def test_a_session_without_a_whole_bin_is_refused():
    observed = np.array([[5.0, 6.0]])
    with pytest.raises(BadData, match="session 's': what is decoded and behaviour share not one whole bin"):
        aligned(Contents(ramp(1), trains([5.5], intervals_s=observed)))


def noise(times_s, rng):
    return np.sort(rng.uniform(1.0, 2.0, len(times_s)))


@pytest.mark.parametrize("future", [noise, lambda t, rng: np.sort(3.0 - t), lambda t, rng: t[:0]])
@pytest.mark.parametrize("observed", [None, np.array([[0.0, 0.6], [0.7, 2.0]])])
def test_a_changed_future_leaves_every_earlier_input_as_it_was(future, observed):
    """Spikes and behaviour from 1 s on are replaced by noise, reversed, or removed."""
    rng = np.random.default_rng(2)
    spikes = [np.sort(rng.uniform(0, 2, 80)) for _ in range(4)]
    behaviour = Series(rng.normal(size=(2001, 1)), np.arange(2001) / 1000, 0.001)
    changed = [np.concatenate([t[t < 1.0], future(t[t >= 1.0], rng)]) for t in spikes]
    n_kept = 1001 if future(np.ones(1), rng).size == 0 else 2001
    values = np.concatenate([behaviour.values[:1001], rng.normal(size=(1000, 1))])[:n_kept]
    after = Series(values, behaviour.times_s[:n_kept], 0.001)

    before = aligned(Contents(behaviour, trains(*spikes, intervals_s=observed)))
    now = aligned(Contents(after, trains(*changed, intervals_s=observed)))
    past = before.ticks <= CLOCK_HZ
    n = int(past.sum())
    assert n and np.array_equal(before.ticks[past], now.ticks[:n])
    np.testing.assert_array_equal(counts_of(before)[past], counts_of(now)[:n])
    np.testing.assert_array_equal(before.recording.inputs.starts[past], now.recording.inputs.starts[:n])
    np.testing.assert_array_equal(before.recording.targets[past], now.recording.targets[:n])
