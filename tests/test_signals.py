"""Continuous signals as streams: one pass, nothing from later, the sample that an instant has."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.signal
from pydantic import ValidationError

from harness.data.align import align
from harness.data.causality import alignment_looks_ahead
from harness.data.contents import Contents, Series, Signal, SpikeTrains
from harness.data.peer import peer_velocity
from harness.data.protocol import Butterworth, Layout, SignalAt, SignalStream, SpikesAt, TargetAt, Task
from harness.data.signals import causal_stream
from harness.data.split import split
from harness.data.split_rules import PARTS, SegmentSplit
from harness.data.suites import File, Session
from harness.errors import BadData, UsageError
from harness.results.summaries import filter_delay_s

RATE_HZ = 1000.0
RAW = SignalStream(signal="lfp", samples_per_bin=10)
SLOW = SignalStream(
    signal="lfp",
    samples_per_bin=1,
    reference="average",
    high_pass=Butterworth(order=1, hz=0.1),
    low_pass=Butterworth(order=4, hz=45),
)
TASK = Task(
    inputs=("lfp", "lfp_wide"),
    privileged=("spikes",),
    target="velocity",
    bin_s=0.01,
    signals={"lfp": SLOW, "lfp_wide": RAW},
)
AT = SignalAt(path="p", delay_s=0.002)
LAYOUT = Layout(
    spikes=SpikesAt(units="units"),
    targets={"velocity": TargetAt(path="p", outputs=("x",), derive="difference")},
    signals={"lfp": AT},
)
SESSION = Session(
    id="s",
    subject="m",
    group="g",
    layout="l",
    split="sp",
    tiers=("local",),
    source=File(host="file", path="a.nwb"),
)


def signal(values: np.ndarray, *, rate_hz: float = RATE_HZ, start_s: float = 0.0) -> Signal:
    values = values[:, None] if values.ndim == 1 else values
    times_s = start_s + np.arange(len(values)) / rate_hz
    names = tuple(map(str, range(values.shape[1])))
    return Signal(values, np.ones(values.shape[1]), 0.0, times_s, 1 / rate_hz, "uV", names)


def noise(n_samples: int, n_channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n_samples, n_channels)).cumsum(axis=0)


def edges_s(n_bins: int, bin_s: float = 0.01, start_s: float = 0.0) -> np.ndarray:
    return start_s + bin_s * np.arange(1, n_bins + 1)


def contents(values: np.ndarray, **changes) -> Contents:
    """A recording of a cursor that moves evenly, one spike a second, and this signal."""
    n_s = len(values) / RATE_HZ
    times_s = np.arange(0, n_s, 0.004)
    spikes = SpikeTrains(np.arange(0.5, n_s), np.zeros(int(n_s + 0.5), np.int64), ("a",))
    return Contents(
        Series(times_s[:, None] ** 2, times_s, 0.004), spikes, signals={"lfp": replace(signal(values), **changes)}
    )


def test_a_chain_is_scipys_filters_over_the_whole_session_at_once():
    values = noise(70_000)
    mixed = values - values.mean(axis=1, keepdims=True)
    for order, hz, kind in ((1, 0.1, "highpass"), (4, 45, "lowpass")):
        sos = scipy.signal.butter(order, hz, kind, fs=RATE_HZ, output="sos")
        state = scipy.signal.sosfilt_zi(sos)[:, :, None] * mixed[0]
        mixed, _ = scipy.signal.sosfilt(sos, mixed, axis=0, zi=state)
    stream = causal_stream(signal(values), SLOW, edges_s(6999), bin_s=0.01)
    assert np.allclose(stream[:, 0], mixed[10::10], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rate_hz", [1000.0, 1017.2526, 2000.0, 24414.0625 / 32])
def test_every_instant_has_the_latest_sample_that_is_not_later(rate_hz):
    values = np.arange(3000.0)
    stream = causal_stream(signal(values, rate_hz=rate_hz), RAW, edges_s(100), bin_s=0.01)
    instants_s = (edges_s(100)[:, None] - 0.001 * np.arange(9, -1, -1)).ravel()
    times_s = np.arange(3000) / rate_hz
    slowly = [max(i for i in range(3000) if times_s[i] <= t + 1e-6) for t in instants_s]
    assert stream.shape == (100, 10, 1) and stream.ravel().tolist() == slowly


def test_the_factors_of_the_file_are_applied():
    stored = replace(signal(np.arange(200).astype(np.int16)[:, None] * [1, 2]), scale=np.array([0.5, 2.0]), offset=3.0)
    stream = causal_stream(stored, RAW, edges_s(19), bin_s=0.01)
    assert stream[0, :, 0].tolist() == [3 + 0.5 * i for i in range(1, 11)]
    assert stream[0, :, 1].tolist() == [3 + 4.0 * i for i in range(1, 11)]


@pytest.mark.parametrize("order, hz, published_ms", [(8, 400, 2.0), (4, 45, 9.2)])
def test_the_delay_of_a_low_pass_is_its_group_delay_at_low_frequency(order, hz, published_ms):
    ours_s = Butterworth(order=order, hz=hz).low_pass_delay_s
    b, a = scipy.signal.butter(order, 2 * np.pi * hz, analog=True)
    w = 2 * np.pi * np.array([0.5, 1.5])
    phase = np.unwrap(np.angle(scipy.signal.freqs(b, a, w)[1]))
    assert ours_s == pytest.approx(-np.diff(phase)[0] / np.diff(w)[0], rel=1e-3)
    assert round(ours_s * 1e3, 1) == published_ms


def test_a_slow_wave_comes_late_by_the_delay_that_is_reported():
    """Half way between two slow oscillations no other delay would fit."""
    times_s, hz = np.arange(0, 40, 1 / RATE_HZ), 3.0
    wave = np.sin(2 * np.pi * hz * times_s)
    rule = SLOW.model_copy(update={"reference": "none", "high_pass": None})
    seen = causal_stream(signal(wave), rule, edges_s(3900), bin_s=0.01)[1000:, 0, 0]
    expected = np.sin(2 * np.pi * hz * (edges_s(3900)[1000:] - rule.delay_s))
    assert np.abs(seen - expected).max() < 2e-3
    assert filter_delay_s(TASK, [LAYOUT], ["lfp"]) == pytest.approx(rule.delay_s + 0.002)
    assert filter_delay_s(TASK, [LAYOUT], ["lfp_wide"]) == pytest.approx(0.002)
    assert filter_delay_s(TASK, [LAYOUT], ["spikes"]) == 0


def test_an_amplifiers_offset_does_not_ring():
    values = np.tile([4000.0, 4050.0], (5000, 1))
    stream = causal_stream(signal(values), SLOW, edges_s(499), bin_s=0.01)
    assert np.abs(stream).max() < 1e-6


def test_nothing_of_a_bin_depends_on_what_comes_later():
    found = alignment_looks_ahead(
        lambda c: align(c, SESSION, task=TASK, layout=LAYOUT), contents(noise(5000)), rng=np.random.default_rng(0)
    )
    assert found == ""


def test_a_filter_that_looks_ahead_is_found(monkeypatch):
    def both_ways(sos, block, state):
        return scipy.signal.sosfiltfilt(sos, block, axis=0), state

    monkeypatch.setattr("harness.data.signals.filtered", both_ways)
    found = alignment_looks_ahead(
        lambda c: align(c, SESSION, task=TASK, layout=LAYOUT), contents(noise(5000)), rng=np.random.default_rng(0)
    )
    assert found.startswith("lfp of bin")


def test_bins_are_where_signal_and_behaviour_are_and_begin_anew_after_a_lost_stretch():
    whole = contents(noise(6000))
    kept = np.r_[500:2000, 2300:6000]
    lfp = whole.signals["lfp"]
    gappy = replace(whole, signals={"lfp": replace(lfp, values=lfp.values[kept], times_s=lfp.times_s[kept])})
    aligned = align(gappy, SESSION, task=TASK, layout=LAYOUT)
    edges = aligned.ticks / aligned.clock_hz
    assert edges[0] == pytest.approx(0.51)
    assert np.flatnonzero(aligned.recording.inputs.starts).tolist() == [0, 150]
    assert edges[150] == pytest.approx(2.31)


def test_after_a_lost_stretch_a_filter_begins_anew():
    values = noise(6000)
    times_s = np.arange(6000) / RATE_HZ
    kept = np.r_[0:2000, 2300:6000]
    gappy = replace(signal(values), values=values[kept], times_s=times_s[kept])
    late = causal_stream(gappy, SLOW, edges_s(369, start_s=2.3), bin_s=0.01)
    alone = causal_stream(signal(values[2300:], start_s=2.3), SLOW, edges_s(369, start_s=2.3), bin_s=0.01)
    assert np.array_equal(late, alone)


def test_streams_come_with_their_shape_rate_and_unit_and_spikes_stay_privileged():
    recording = align(contents(noise(3000)), SESSION, task=TASK, layout=LAYOUT).recording
    wide = recording.session.streams["lfp_wide"]
    assert (wide.n_channels, wide.samples_per_bin, wide.rate_hz, wide.unit) == (3, 10, 1000.0, "uV")
    assert recording.inputs.streams["lfp"].shape == (len(recording), 1, 3)
    assert set(recording.session.streams) == {"lfp", "lfp_wide"} and set(recording.privileged) == {"spikes"}
    assert recording.privileged["spikes"].shape == (len(recording), 1)


def test_a_task_makes_only_the_streams_that_are_asked_for():
    recording = align(contents(noise(3000)), SESSION, task=TASK.only(["lfp"]), layout=LAYOUT).recording
    assert set(recording.inputs.streams) == {"lfp"}


@pytest.mark.parametrize(
    "changes, what",
    [
        ({"inputs": ("lfp", "eeg")}, "stream 'eeg' is none of 'spikes', 'cue' and `signals`"),
        ({"inputs": ("lfp", "spikes")}, "stream 'spikes' is an input and privileged"),
        ({"grid": "samples"}, "the grid `samples` is for spikes alone"),
    ],
)
def test_a_task_that_cannot_be_is_refused(changes, what):
    with pytest.raises(ValidationError, match=what):
        Task(**{**TASK.model_dump(), **changes})


def test_a_filter_beyond_the_signals_rate_is_refused():
    slow = signal(noise(500), rate_hz=80.0)
    with pytest.raises(UsageError, match="lowpass of 45 Hz does not fit a signal of 80 Hz"):
        causal_stream(slow, SLOW, edges_s(100), bin_s=0.01)


def test_the_average_of_one_channel_is_refused_with_the_session():
    with pytest.raises(UsageError, match="session 's': the average of one channel"):
        align(contents(noise(2000, 1)), SESSION, task=TASK, layout=LAYOUT)


def test_a_signal_of_another_time_leaves_no_bin():
    with pytest.raises(BadData, match="session 's': what is decoded and behaviour share not one whole bin"):
        align(contents(noise(2000), times_s=np.arange(2000) + 1e5), SESSION, task=TASK, layout=LAYOUT)


PEER_TASK = Task(
    inputs=("lfp",),
    privileged=("spikes",),
    target="velocity",
    bin_s=0.01,
    signals={"lfp": SignalStream(signal="lfp", samples_per_bin=1, chain="peer")},
)
PEER_LAYOUT = LAYOUT.model_copy(
    update={"targets": {"velocity": TargetAt(path="p", outputs=("x", "y"), derive="peer")}, "goals": "g"}
)


def peer_contents() -> Contents:
    """A minute of a cursor on a circle whose goal changes every second from the third on."""
    plain = contents(noise(60_000))
    times_s = plain.target.times_s
    cursor = np.column_stack([np.cos(times_s), np.sin(times_s)])
    goals = np.column_stack([np.clip(times_s // 1, 3, 55), np.zeros(len(times_s))])
    return replace(plain, target=Series(cursor, times_s, 0.004), goals=goals)


def test_the_papers_protocol_gives_z_scores_of_what_lies_between_the_goals():
    aligned = align(peer_contents(), SESSION, task=PEER_TASK, layout=PEER_LAYOUT)
    recording = aligned.recording
    assert aligned.ticks[0] / aligned.clock_hz == pytest.approx(4, abs=0.02) and len(recording) == pytest.approx(
        5100, 5
    )
    assert np.allclose(recording.inputs.streams["lfp"].std(axis=0), 1, atol=1e-3)
    assert np.allclose(recording.targets.mean(axis=0), 0, atol=1e-3)
    assert recording.privileged["spikes"].sum() == 51


def test_the_papers_bins_lie_at_the_times_of_their_labels():
    """A behaviour whose length is no whole number of 10 ms: resampled times drift away from an even grid."""
    plain = peer_contents()
    n = len(plain.target.times_s) - 2
    target = replace(plain.target, values=plain.target.values[:n], times_s=plain.target.times_s[:n])
    aligned = align(replace(plain, target=target, goals=plain.goals[:n]), SESSION, task=PEER_TASK, layout=PEER_LAYOUT)
    velocity = peer_velocity(target.values, plain.goals[:n], target.times_s)
    assert np.abs(aligned.ticks / aligned.clock_hz - velocity.times_s).max() <= 0.5 / aligned.clock_hz + 1e-9
    assert np.ptp(np.diff(velocity.times_s)) < 1e-9 < abs(np.diff(velocity.times_s)[0] - 0.01)


def test_two_tasks_of_a_suite_have_the_same_bins_where_a_signal_begins_late():
    late = contents(noise(6000))
    lfp = late.signals["lfp"]
    late = replace(late, signals={"lfp": replace(lfp, values=lfp.values[1234:], times_s=lfp.times_s[1234:])})
    on_spikes = Task(inputs=("spikes",), target="velocity", bin_s=0.01, within=("lfp",))
    both = [align(late, SESSION, task=task, layout=LAYOUT) for task in (TASK, on_spikes)]
    assert np.array_equal(both[0].ticks, both[1].ticks) and len(both[0].ticks) == 476
    assert np.array_equal(both[0].recording.targets, both[1].recording.targets, equal_nan=True)


def test_the_papers_protocol_is_found_to_look_ahead():
    found = alignment_looks_ahead(
        lambda c: align(c, SESSION, task=PEER_TASK, layout=PEER_LAYOUT), peer_contents(), rng=np.random.default_rng(0)
    )
    assert found.startswith("lfp of bin")


def test_random_segments_are_parts_in_which_every_segment_is_a_start():
    parts = split(
        align(peer_contents(), SESSION, task=PEER_TASK, layout=PEER_LAYOUT), {}, SegmentSplit(kind="segments")
    )
    assert [len(parts[p]) for p in ("train", "validation", "test")] == [3500, 500, 1000]
    assert all(np.flatnonzero(parts[p].inputs.starts).tolist() == list(range(0, len(parts[p]), 500)) for p in PARTS)


def test_the_papers_protocol_needs_goals_and_bins_of_ten_ms():
    no_goals = replace(peer_contents(), goals=None)
    with pytest.raises(UsageError, match="session 's': `derive: peer` needs the layout's `goals`"):
        align(no_goals, SESSION, task=PEER_TASK, layout=PEER_LAYOUT)
    with pytest.raises(UsageError, match="bins of 10 ms"):
        align(peer_contents(), SESSION, task=PEER_TASK.model_copy(update={"bin_s": 0.02}), layout=PEER_LAYOUT)


def test_behaviour_outside_of_the_reaches_counts_as_not_measured():
    at = TargetAt(path="p", outputs=("x", "y"), derive="difference", between_goals=True)
    layout = PEER_LAYOUT.model_copy(update={"targets": {"velocity": at}})
    recording = align(peer_contents(), SESSION, task=TASK, layout=layout).recording
    scored_s = (np.flatnonzero(recording.scored) + 1) * 0.01
    assert (scored_s[0], scored_s[-1]) == (pytest.approx(4, abs=0.02), pytest.approx(55, abs=0.02))
    assert np.isnan(recording.targets[~recording.scored]).all()


@pytest.mark.parametrize("damaged", [{"scale": np.full(3, 1e300)}, {"scale": np.full(3, 1e37)}, {"offset": 1e300}])
def test_a_conversion_that_makes_a_signal_infinite_is_told_and_reaches_no_decoder(damaged):
    with pytest.raises(BadData, match=r"session 's': signal 'lfp' becomes larger than float32 can hold"):
        align(contents(noise(3000), **damaged), SESSION, task=TASK, layout=LAYOUT)


def test_a_filter_too_slow_for_its_rate_is_refused_in_words():
    rule = SLOW.model_copy(update={"high_pass": Butterworth(order=4, hz=1e-9)})
    with pytest.raises(UsageError, match="so slow that float64 cannot tell its poles from 1"):
        causal_stream(signal(noise(3000)), rule, edges_s(100), bin_s=0.01)
