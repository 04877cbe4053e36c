"""The published preprocessing and split of the two LFP papers, held to closed forms, SciPy, PyTorch and a file."""

import numpy as np
import pytest
import torch
from scipy.signal import butter, filtfilt, iirnotch, resample

from harness.data.peer import peer_lfp, peer_velocity, zscore
from harness.data.segments import permutation, segment_parts, segment_seed
from harness.errors import BadData, UsageError

RATE_HZ = 24414.0625 / 24


def noise(n_samples: int, n_channels: int) -> tuple[np.ndarray, np.ndarray]:
    """(times, values) of a random walk with hum, from second 7 on."""
    rng = np.random.default_rng(5)
    times_s = 7.0 + np.arange(n_samples) / RATE_HZ
    hum = np.sin(2 * np.pi * 60 * times_s)[:, None] * rng.uniform(1, 9, n_channels)
    return times_s, rng.standard_normal((n_samples, n_channels)).cumsum(axis=0) + hum + 40


def in_the_published_order(values: np.ndarray, rate_hz: float) -> np.ndarray:
    """All channels at once, the reference before the resampling."""
    values = values - values.mean(axis=0)
    hum_hz = 60.0
    while hum_hz < rate_hz / 2:
        values = filtfilt(*iirnotch(hum_hz, 30, rate_hz), values, axis=0)
        hum_hz += 60
    values = filtfilt(*butter(2, 0.05 / (rate_hz / 2), "high"), values, axis=0)
    values = filtfilt(*butter(2, 50 / (rate_hz / 2), "low"), values, axis=0)
    values = values - values.mean(axis=1, keepdims=True)
    return resample(values, int(len(values) * 100 / rate_hz))


def test_the_chain_gives_what_the_published_order_gives():
    times_s, values = noise(20_011, 4)
    slow = in_the_published_order(values, RATE_HZ)
    slow_s = np.linspace(times_s[0], times_s[-1], len(slow))
    grid_s = 8 + 0.01 * np.arange(1500)
    expected = zscore(np.column_stack([np.interp(grid_s, slow_s, x) for x in slow.T]))
    np.testing.assert_allclose(peer_lfp(values, times_s, RATE_HZ, grid_s), expected, atol=1e-5)


@pytest.mark.parametrize("frequency_hz, at_least", [(1.0, 0.998), (10.0, 0.9998), (25.0, 0.99)])
def test_waves_in_the_band_come_through_and_those_outside_do_not(frequency_hz, at_least):
    times_s, grid_s = np.arange(40_000) / RATE_HZ, 5 + 0.01 * np.arange(2900)
    outside = 3 * np.sin(2 * np.pi * 60 * times_s) + 3 * np.sin(2 * np.pi * 180 * times_s)
    wave = np.sin(2 * np.pi * frequency_hz * times_s)
    found = peer_lfp((wave + outside)[:, None] * [1, -1], times_s, RATE_HZ, grid_s)
    # Published times put sample k of n not at k / n of the recording but at k / (n - 1).
    n = int(40_000 * 100 / RATE_HZ)
    true_s = grid_s * (40_000 / n) / (39_999 / (n - 1))
    assert np.corrcoef(found[:, 0], np.sin(2 * np.pi * frequency_hz * true_s))[0, 1] > at_least
    np.testing.assert_allclose(found[:, 1], -found[:, 0], atol=1e-5)


def test_what_all_channels_share_is_taken_out():
    times_s, values = noise(8000, 3)
    shared = np.random.default_rng(6).standard_normal((8000, 1)).cumsum(axis=0)
    grid_s = 7.5 + 0.01 * np.arange(600)
    alone = peer_lfp(values, times_s, RATE_HZ, grid_s)
    np.testing.assert_allclose(peer_lfp(values + shared, times_s, RATE_HZ, grid_s), alone, atol=1e-5)


def test_the_chain_looks_ahead_and_so_is_no_causal_one():
    times_s, values = noise(8000, 3)
    grid_s = 7.5 + 0.01 * np.arange(600)
    other = values.copy()
    other[4000:] = 0
    before = grid_s < times_s[4000] - 0.5
    changed = peer_lfp(other, times_s, RATE_HZ, grid_s) - peer_lfp(values, times_s, RATE_HZ, grid_s)
    assert np.abs(changed[before]).max() > 0.1


def test_missing_samples_are_interpolated_and_do_not_shift_what_follows():
    times_s = 7.0 + np.arange(20_000) / RATE_HZ
    wave = np.sin(2 * np.pi * 3 * times_s)[:, None] * [1.0, -1.0]
    kept = np.r_[0:5000, 5100:20_000]
    grid_s = 8 + 0.01 * np.arange(1600)
    found, whole = (peer_lfp(wave[k], times_s[k], RATE_HZ, grid_s) for k in (kept, slice(None)))
    assert np.abs(found - whole)[grid_s > times_s[5100] + 1].max() < 0.05


def test_the_chain_refuses_a_rate_that_cannot_hold_its_band():
    with pytest.raises(
        UsageError, match=r"more than 100 samples a second and one time for each, not 500 samples at 100"
    ):
        peer_lfp(np.zeros((500, 2)), np.arange(500) / 100, 100.0, np.zeros(1))


def cursor(n_samples: int = 5001) -> tuple[np.ndarray, np.ndarray]:
    """(times, positions) of one circle in 20 s, at 250 Hz."""
    times_s = 3.0 + np.arange(n_samples) / 250
    angle = 2 * np.pi * (times_s - 3.0) / 20
    return times_s, 100 * np.column_stack([np.cos(angle), np.sin(angle)])


def goals(n_samples: int, *changes: int) -> np.ndarray:
    return np.searchsorted(changes, np.arange(n_samples), side="right")[:, None] * np.array([15.0, 0.0])


def test_the_velocity_of_a_circle_is_a_circle_between_the_first_and_the_last_goal():
    times_s, position = cursor()
    found = peer_velocity(position, goals(5001, 503, 2000, 4500), times_s)
    # 5001 rows become 2000 bins: row 503 is in bin 201, row 4500 in bin 1799, which is the first one left out.
    np.testing.assert_allclose(found.times_s[[0, -1]], 3.0 + np.array([201, 1798]) * 5001 / 250 / 2000)
    np.testing.assert_allclose(np.diff(found.times_s), 0.01, rtol=1e-3)
    angle = 2 * np.pi * (found.times_s - 3.0) / 20
    expected = zscore(np.column_stack([-np.sin(angle), np.cos(angle)]))
    np.testing.assert_allclose(found.values, expected, atol=0.02)
    np.testing.assert_allclose([found.values.mean(axis=0), found.values.std(axis=0)], [[0, 0], [1, 1]], atol=1e-9)


@pytest.mark.parametrize("step, n_changes", [([15.0, 0.0], 1), ([15.0, -15.0], 0)])
def test_a_goal_that_does_not_change_twice_is_refused(step, n_changes):
    times_s, position = cursor()
    moved = (np.arange(5001) >= 100)[:, None] * np.array(step)
    with pytest.raises(BadData, match=f"the goal changes {n_changes} times in 5001 samples"):
        peer_velocity(position, moved, times_s)


def test_the_zscore_of_a_channel_that_stands_still_is_zero():
    np.testing.assert_array_equal(zscore(np.array([[5.0, 1.0], [5.0, 3.0]])), [[0, -1], [0, 1]])


@pytest.mark.parametrize("n, seed", [(0, 1), (1, 2), (2, 3), (75, 42), (482, 2**31 + 455), (3000, 7)])
def test_the_permutation_is_pytorch_s(n, seed):
    torch.manual_seed(seed)
    np.testing.assert_array_equal(permutation(n, seed), torch.randperm(n).numpy())


@pytest.mark.parametrize(
    "session, n, shares, firsts",
    [
        ("indy_20160622_01", 482, (347, 38, 97), ([421, 344, 372, 70], [396, 418, 9], [310, 161, 250])),
        ("indy_20160630_01", 292, (210, 23, 59), ([260, 136, 152, 124], [23, 241, 171], [151, 275, 204])),
    ],
)
def test_the_split_is_the_published_one(session, n, shares, firsts):
    # From splits/canonical_splits_728020.json of REALM's public code, revision 3c079eb, seed 42.
    owner, _ = segment_parts(n * 500, 0.01, session_id=session, seed=42)
    part = owner[::500]
    assert tuple(np.bincount(part)) == shares
    for i, segments in enumerate(firsts):
        assert set(part[segments]) == {i}
    order = permutation(n, segment_seed(session, 42))
    assert order[: shares[0]][:4].tolist() == firsts[0] and order[-shares[2] :][:3].tolist() == firsts[2]


def test_each_segment_is_whole_in_one_part_and_begins_anew():
    owner, starts = segment_parts(5_123, 0.02, segment_s=1.0, session_id="x", seed=1)
    assert np.flatnonzero(starts).tolist() == list(range(0, 5100, 50))
    assert np.all(owner[5100:] == -1) and np.all(owner[:5100] >= 0)
    assert all(len(set(owner[a : a + 50])) == 1 for a in range(0, 5100, 50))


@pytest.mark.parametrize("session_id, seed, same", [("a", 1, True), ("a", 2, False), ("b", 1, False)])
def test_the_split_goes_by_session_and_seed_alone(session_id, seed, same):
    first, again = (
        segment_parts(50_000, 0.01, session_id=name, seed=number)[0] for name, number in [("a", 1), (session_id, seed)]
    )
    assert np.array_equal(first, again) is same


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"n_bins": 50_000, "segment_s": 0.015}, r"a segment of 0\.015 s is no whole number of bins of 0\.01 s"),
        ({"n_bins": 50_000, "fractions": (0.7, 0.1, 0.1)}, r"shares of \(0\.7, 0\.1, 0\.1\) do not sum to 1"),
        ({"n_bins": 1_500}, r"3 segments give train, validation and test \(2, 0, 1\) of them"),
        ({"n_bins": 499}, r"0 segments give train, validation and test \(0, 0, 0\) of them"),
    ],
)
def test_a_split_that_leaves_a_part_empty_or_makes_no_sense_is_refused(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        segment_parts(bin_s=0.01, session_id="x", seed=1, **options)
