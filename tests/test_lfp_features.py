"""Features of field potentials against SciPy on whole signals, planted oscillations and hand-computed numbers."""

import numpy as np
import pytest
import scipy.signal

from baselines.lfp.features import BANDS_HZ, Components, LastSample, LmpAndPower, Windows
from baselines.lfp.filters import N_STATES, blocks, within_reach
from harness import HarnessError, Inputs, Recording, SessionInfo, StreamInfo
from harness.judge.count.in_numpy import NumpyCounter
from harness.judge.count.tally import Tally

WINDOWS = Windows()


def recording(signal, *, bin_s=0.01, starts=(0,)):
    """signal: (n_bins, samples, channels)."""
    n_bins, samples, channels = signal.shape
    session = SessionInfo("s", "m", {"lfp_wide": StreamInfo(channels, samples, samples / bin_s, "uV")}, bin_s, ("x",))
    inputs = Inputs({"lfp_wide": signal.astype(np.float32)}, np.isin(np.arange(n_bins), starts), bin_s)
    return Recording(session, inputs, np.zeros((n_bins, 1), np.float32), np.ones(n_bins, bool))


def brown(seed, *, n_bins=300, samples=10, channels=5, offset=0.0):
    """Potentials that wander, in microvolts; the first channel is dead."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(n_bins * samples, channels)).cumsum(axis=0) + offset
    signal[:, 0] = 0
    return signal.reshape(n_bins, samples, channels)


def features(signal, windows=WINDOWS, **options):
    made = recording(signal, **options)
    front = LmpAndPower.of([made], "lfp_wide", windows)
    return front, front.rows(made.inputs.streams["lfp_wide"], made.inputs)


def by_scipy(signal, front, windows, *, rate_hz, bin_s):
    """The same features of one segment, filtered in one go."""
    signal = signal.astype(np.float32).astype(float)
    n_bins, samples, channels = signal.shape
    alive = front.arrays()["reference"] > 0
    x = signal - signal[..., alive].mean(axis=2, keepdims=True)
    x = (x - x[0, 0]).reshape(-1, channels)
    powers = []
    for i, band in enumerate(within_reach(windows.bands_hz, rate_hz)):
        sections = scipy.signal.butter(2, band, "bandpass", fs=rate_hz, output="sos")
        power = (
            (scipy.signal.sosfilt(sections, x, axis=0) ** 2).reshape(x.shape[0] // samples, samples, -1).mean(axis=1)
        )
        usual, keep = front.arrays()["power"][i], np.exp(-bin_s / windows.power_s)
        smooth = scipy.signal.lfilter([1 - keep], [1, -keep], power, axis=0, zi=keep * usual[None])[0]
        powers.append(np.log(np.divide(smooth, usual, out=0 * smooth, where=usual > 0) + 0.01))
    mean = x.reshape(n_bins, samples, -1).mean(axis=1)
    rate = 1 - np.exp(-2 * np.pi * 0.1 * bin_s)
    fast = mean - scipy.signal.lfilter([rate], [1, rate - 1], mean, axis=0)
    width = round(windows.lmp_s / bin_s)
    average = scipy.signal.lfilter(np.ones(width) / width, 1, fast, axis=0)
    before = [np.concatenate([np.zeros((i * width, channels)), average])[:n_bins] for i in range(windows.n_lmp)]
    return np.concatenate([*before, *powers], axis=1)


@pytest.mark.parametrize("samples, bin_s", [(10, 0.01), (1, 0.01), (10, 0.02), (7, 0.014)])
@pytest.mark.parametrize("windows", [Windows(), Windows(lmp_s=0.05, n_lmp=3, power_s=0.2)])
def test_features_one_bin_at_a_time_are_those_of_the_whole_signal(samples, bin_s, windows):
    signal = brown(1, samples=samples)
    front, rows = features(signal, windows, bin_s=bin_s)
    windows = Windows(round(windows.lmp_s / bin_s) * bin_s, windows.n_lmp, windows.power_s)
    expected = by_scipy(signal, front, windows, rate_hz=samples / bin_s, bin_s=bin_s)
    assert np.abs(rows - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("band", BANDS_HZ)
def test_a_filter_of_matrices_is_the_filter_of_sections(band):
    rng = np.random.default_rng(0)
    x, block, carried, found = rng.normal(size=200), blocks([band], 1000, 10)[0], np.zeros(N_STATES), []
    for piece in x.reshape(-1, 10):
        carried, filtered = np.split(block @ np.concatenate([carried, piece]), [N_STATES])
        found.append(filtered)
    sections = scipy.signal.butter(2, band, "bandpass", fs=1000, output="sos")
    np.testing.assert_allclose(np.concatenate(found), scipy.signal.sosfilt(sections, x), atol=1e-10)


@pytest.mark.parametrize("i_band, hz", [(0, 2.5), (1, 6), (2, 10.5), (3, 20), (4, 50), (5, 90), (6, 160)])
def test_an_oscillation_that_grows_shows_in_its_own_band(i_band, hz):
    rng, t = np.random.default_rng(2), np.arange(20_000) / 1000
    grown = np.where(t > 10, 3.0, 1.0)[:, None] * np.sin(2 * np.pi * hz * t)[:, None] * [2, 2.0, -2, -2]
    _, rows = features((grown + rng.normal(size=(len(t), 4))).reshape(-1, 10, 4))
    powers = rows[:, 4:].reshape(len(rows), len(BANDS_HZ), 4)
    change = powers[1500:].mean(axis=(0, 2)) - powers[300:1000].mean(axis=(0, 2))
    assert change.argmax() == i_band and 1.5 < change[i_band] < 2 * np.log(3) + 0.1


def test_bands_that_the_rate_does_not_carry_are_left_out():
    assert within_reach(BANDS_HZ, 1000) == list(BANDS_HZ)
    assert within_reach(BANDS_HZ, 100) == [(1, 4), (4, 8), (8, 13), (13, 30)]
    with pytest.raises(HarnessError, match=r"none of the bands .* from 5.0 Hz"):
        features(brown(0, samples=1, n_bins=20), bin_s=0.2)


def test_an_offset_of_millivolts_changes_nothing_and_rings_nowhere():
    front, rows = features(brown(1))
    shifted = recording(brown(1, offset=np.array([0, 4000.0, -3000, 2000, 1000])))
    again = front.rows(shifted.inputs.streams["lfp_wide"], shifted.inputs)
    np.testing.assert_allclose(again, rows, atol=1e-3)


def test_a_row_depends_on_the_past_of_its_own_segment_only():
    front, _ = features(brown(1))
    whole, second = recording(brown(2), starts=(0, 120)), recording(brown(2)[120:])
    rows = front.rows(whole.inputs.streams["lfp_wide"], whole.inputs)
    np.testing.assert_array_equal(rows[120:], front.rows(second.inputs.streams["lfp_wide"], second.inputs))
    first = recording(brown(2)[:50])
    np.testing.assert_array_equal(rows[:50], front.rows(first.inputs.streams["lfp_wide"], first.inputs))


def test_a_channel_that_is_dead_in_training_is_constant_and_out_of_the_reference_for_ever():
    front, rows = features(brown(1))
    assert np.ptp(rows[:, 5::5], axis=0).max() == 0
    loud = brown(1)
    loud[..., 0] = np.random.default_rng(0).normal(0, 1e5, loud.shape[:2])
    awake = recording(loud)
    again = front.rows(awake.inputs.streams["lfp_wide"], awake.inputs).reshape(300, -1, 5)
    np.testing.assert_array_equal(again[..., 1:], rows.reshape(300, -1, 5)[..., 1:])


def test_features_are_the_same_from_their_arrays():
    front, rows = features(brown(1), Windows(n_lmp=2))
    made = recording(brown(1))
    again = LmpAndPower({name: values.copy() for name, values in front.arrays().items()})
    np.testing.assert_array_equal(again.rows(made.inputs.streams["lfp_wide"], made.inputs), rows)
    assert rows.shape == (300, again.n_features(5)) and rows.dtype == np.float32


def test_counts_instead_of_a_signal_are_refused():
    session = SessionInfo("s", "m", {"spikes": StreamInfo(3)}, 0.01, ("x",))
    inputs = Inputs({"spikes": np.zeros((5, 3), np.float32)}, np.arange(5) == 0, 0.01)
    with pytest.raises(HarnessError, match="stream 'spikes'.*needs.*samples, channels"):
        LmpAndPower.of([Recording(session, inputs, np.zeros((5, 1)), np.ones(5, bool))], "spikes", Windows())


def test_components_are_those_of_a_singular_value_decomposition():
    front, rows = features(brown(1))
    made, rows = recording(brown(1)), rows.astype(float)
    reduced = Components.of(front, [made], "lfp_wide", 3)
    sd = rows.std(axis=0)
    standard = (rows - rows.mean(axis=0)) / np.where(sd > 1e-6, sd, np.inf)
    axes = np.linalg.svd(standard, full_matrices=False)[2][:3]
    found = reduced.rows(made.inputs.streams["lfp_wide"], made.inputs)
    np.testing.assert_allclose(np.abs(found), np.abs(standard @ axes.T), atol=2e-3)
    assert reduced.n_features(5) == 3 and Components(front, reduced.arrays()).n_features(5) == 3


@pytest.mark.parametrize("samples", [1, 10])
def test_the_raw_front_gives_the_last_sample_of_a_bin(samples):
    signal = brown(1, samples=samples)
    made = recording(signal)
    rows = LastSample().rows(made.inputs.streams["lfp_wide"], made.inputs)
    np.testing.assert_array_equal(rows, signal[:, -1].astype(np.float32))
    np.testing.assert_array_equal(LastSample().row(made.inputs.streams["lfp_wide"][7]), rows[7])


def test_what_a_row_takes_is_counted_as_its_products():
    made, n_bands = recording(brown(1)), len(BANDS_HZ)
    learned = LmpAndPower.of([made], "lfp_wide", Windows(n_lmp=2)).arrays()
    with NumpyCounter() as counter:
        front, given = LmpAndPower(counter.wrap(learned, learned=True)), made.inputs.streams["lfp_wide"]
        for values in given[:30]:
            tally, bin = Tally(), counter.wrap({"lfp_wide": values}, learned=False)
            with counter.on(tally):
                front.row(bin["lfp_wide"])
    assert tally.dense == 5 * 10 + n_bands * (N_STATES + 10) ** 2 * 5
    assert tally.macs <= 4 * 10 + np.count_nonzero(learned["blocks"]) * 5
