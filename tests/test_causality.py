"""The causality test finds what looks ahead, and nothing else; `align` is held to it too."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import signal as dsp

from harness.data.align import align
from harness.data.causality import alignment_looks_ahead, difference, look_ahead
from harness.data.contents import Contents, Series, SpikeTrains
from harness.data.protocol import Layout, Task
from harness.data.suites import Session

SIGNAL = np.random.default_rng(0).standard_normal((4000, 3))
SOS = dsp.butter(4, [1, 40], btype="bandpass", fs=1000, output="sos")
SESSION = Session.model_validate(
    {
        "id": "s",
        "subject": "m",
        "group": "g",
        "layout": "l",
        "split": "t",
        "tiers": ["simulated"],
        "source": {"host": "simulated", "parameters": {}},
    }
)
TASK = Task.model_validate({"inputs": ["spikes"], "target": "velocity", "bin_s": 0.02})
LAYOUT = Layout.model_validate(
    {"spikes": {"units": "units"}, "targets": {"velocity": {"path": "p", "outputs": ["x"], "derive": "as_is"}}}
)


def asks(transform):
    return look_ahead(transform, SIGNAL, rng=np.random.default_rng(1))


def contents():
    rng = np.random.default_rng(2)
    units = np.sort(rng.integers(0, 5, 3000))
    times_s = rng.uniform(0, 60, 3000)
    order = np.lexsort([times_s, units])
    behaviour = Series(rng.standard_normal((6000, 1)), np.arange(6000) / 100, 0.01)
    return Contents(behaviour, SpikeTrains(times_s[order], units[order], tuple("abcde")))


def cut_into_bins(given):
    return align(given, SESSION, task=TASK, layout=LAYOUT)


@pytest.mark.parametrize(
    "transform",
    [
        lambda x: dsp.sosfilt(SOS, x, axis=0),
        lambda x: dsp.lfilter(np.ones(20) / 20, 1, x, axis=0)[19::20],
        lambda x: x[: len(x) // 4 * 4].reshape(-1, 4, 3).mean(axis=1),
        lambda x: (x - SIGNAL[:300].mean(axis=0)) / SIGNAL[:300].std(axis=0),
    ],
    ids=["sosfilt", "filter then decimate", "mean of each four", "z-score from the beginning"],
)
def test_what_is_causal_passes(transform):
    assert asks(transform) == ""


@pytest.mark.parametrize(
    "transform",
    [
        lambda x: dsp.sosfiltfilt(SOS, x, axis=0),
        lambda x: dsp.decimate(x, 4, axis=0),
        lambda x: (x - x.mean(axis=0)) / x.std(axis=0),
        lambda x: dsp.resample_poly(x, 1, 4, axis=0),
        lambda x: dsp.savgol_filter(x, 11, 2, axis=0),
        lambda x: np.roll(x, -1, axis=0),
    ],
    ids=["sosfiltfilt", "decimate", "z-score", "resample_poly", "savgol", "one sample ahead"],
)
def test_what_looks_ahead_is_found(transform):
    assert "differs by" in asks(transform)


def test_align_does_not_look_ahead():
    assert alignment_looks_ahead(cut_into_bins, contents(), rng=np.random.default_rng(3)) == ""


@pytest.mark.parametrize(
    "plant",
    [
        lambda x: dsp.sosfiltfilt(dsp.butter(2, 0.2, output="sos"), x, axis=0),
        lambda x: np.repeat(dsp.decimate(x, 2, axis=0), 2, axis=0)[: len(x)],
        lambda x: (x - x.mean(axis=0)) / x.std(axis=0),
        lambda x: np.concatenate([x[1:], x[:1]]),
    ],
    ids=["sosfiltfilt", "decimate", "z-score", "the next bin"],
)
def test_what_is_planted_in_align_is_found(plant):
    def planted(given):
        aligned = cut_into_bins(given)
        inputs = aligned.recording.inputs
        streams = {"spikes": plant(inputs.streams["spikes"])}
        return replace(aligned, recording=replace(aligned.recording, inputs=replace(inputs, streams=streams)))

    assert "spikes of bin" in alignment_looks_ahead(planted, contents(), rng=np.random.default_rng(3))


def test_counted_bins_are_held_to_it_too():
    counts = Series(np.random.default_rng(5).poisson(1.0, (6000, 4)).astype(float), np.arange(6000) / 100, 0.01)
    given = replace(contents(), spikes=None, counts=counts)
    assert alignment_looks_ahead(cut_into_bins, given, rng=np.random.default_rng(3)) == ""


def test_nan_where_there_was_a_number_is_a_difference():
    before = np.ones((5, 2))
    after = before.copy()
    after[3, 1] = np.nan
    assert difference(before, after).row == 3
    assert difference(before, after).matters
    assert not difference(after, after).matters
