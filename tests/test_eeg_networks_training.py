"""What EEG networks read and learn from: the front, the trials, training, tuning, and the operations of a step."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.signal
import torch

from baselines.eeg_networks import training
from baselines.eeg_networks.conformer import ConformerDecoder
from baselines.eeg_networks.eegnet import EegNetDecoder, Shape
from baselines.eeg_networks.front import Band, Front, usual_power
from baselines.eeg_networks.networks import EegNet
from baselines.eeg_networks.shallow import ShallowConvNetDecoder
from baselines.eeg_networks.training import held_out_loss
from baselines.eeg_networks.trials import Reach, Trials, cut
from harness import HarnessError, Inputs, Recording, SessionInfo
from harness.judge.count.in_numpy import NumpyCounter
from harness.judge.count.tally import Tally
from harness.types import StreamInfo

BAND = Band(4.0, 38.0, 160.0, 16, 0.1)
N_CHANNELS, TRIAL_BINS, CUE_AT, DECISION_AT = 6, 50, 9, 29
SETTINGS = {
    EegNetDecoder: {"epochs": 25},
    ShallowConvNetDecoder: {"epochs": 25},
    ConformerDecoder: {"epochs": 18, "batch_size": 8, "learning_rate": 2e-3},
}


def imagined(*, seed, n_trials=16, size=1.0):
    """A run of trials of 5 s: noise, and a 10 Hz rhythm on two channels, one of which it leaves after the cue."""
    rng = np.random.default_rng(seed)
    n_bins = n_trials * TRIAL_BINS
    classes, in_trial = rng.permutation(np.arange(n_trials) % 2).repeat(TRIAL_BINS), np.arange(n_bins) % TRIAL_BINS
    known = (in_trial > CUE_AT) & (in_trial <= CUE_AT + 40)
    eeg = rng.normal(size=(n_bins * 16, N_CHANNELS)) + 50
    for k in range(2):
        amplitude = np.where(known & (classes == k), 0.3, 1.5).repeat(16)
        eeg[:, 2 * k + 1] += amplitude * np.sin(2 * np.pi * 10 * np.arange(len(eeg)) / 160 + k)
    targets = np.where(known[:, None], np.eye(2)[classes], np.nan).astype(np.float32)
    streams = {"eeg": (size * eeg).reshape(n_bins, 16, -1).astype(np.float32)}
    info = {"eeg": StreamInfo(N_CHANNELS, 16, 160.0, "uV")}
    session = SessionInfo(f"made-{seed}", "made-up", info, 0.1, ("left", "right"), "classification")
    return Recording(session, Inputs(streams, np.arange(n_bins) == 0, 0.1), targets, in_trial == DECISION_AT)


@pytest.fixture(scope="module")
def recordings():
    return [imagined(seed=0), imagined(seed=1), imagined(seed=2, n_trials=12)]


@pytest.fixture(scope="module", params=SETTINGS, ids=lambda kind: kind.__name__)
def fitted(request, recordings):
    decoder = request.param(**SETTINGS[request.param])
    decoder.fit(recordings[:1], recordings[1:2])
    return decoder


def test_the_front_filters_as_scipy_does_on_the_whole_run():
    samples = np.cumsum(np.random.default_rng(0).normal(size=(640, 3)), axis=0) + 100
    front = Front(BAND, np.ones(3))
    made = np.concatenate([front.filtered(bin).copy() for bin in samples.reshape(-1, 16, 3)])
    sections = scipy.signal.butter(2, (4, 38), "bandpass", fs=160, output="sos")
    expected = scipy.signal.sosfilt(sections, samples - samples[0], axis=0)
    np.testing.assert_allclose(made, expected, atol=1e-9)


def test_the_front_forgets_how_large_a_subjects_eeg_is(recordings):
    small = recordings[0].inputs.streams["eeg"]
    large = imagined(seed=0, size=5.0).inputs.streams["eeg"]
    power = usual_power(recordings[:1], BAND)
    sizes = [np.std(Front(BAND, power).run(eeg)[-3200:], axis=0) for eeg in (small, large)]
    np.testing.assert_allclose(sizes[0], 1, atol=0.2)
    np.testing.assert_allclose(sizes[1] / sizes[0], 1, atol=0.6)


def test_a_channel_that_is_constant_in_training_is_never_heard(recordings):
    recording = imagined(seed=4)
    recording.inputs.streams["eeg"][..., 2] = 7
    power = usual_power([recording], BAND)
    assert power[2] == 0 and (np.delete(power, 2) > 0).all()
    assert not Front(BAND, power).run(recordings[0].inputs.streams["eeg"])[:, 2].any()


def test_a_band_beyond_half_the_rate_is_refused(recordings):
    with pytest.raises(HarnessError, match="set low_hz and high_hz in this order, below 80.0 Hz"):
        EegNetDecoder(high_hz=90.0).fit(recordings[:1], [])


def test_windows_are_the_last_samples_at_every_bin_that_has_the_trials_label(recordings):
    recording, reach = recordings[0], Reach(320, 5, 20)
    power = usual_power([recording], BAND)
    trials = cut([recording], BAND, power, reach)
    signal = np.concatenate([np.zeros((320, N_CHANNELS)), Front(BAND, power).run(recording.inputs.streams["eeg"])])
    for i, decision in enumerate(np.flatnonzero(recording.scored).tolist()):
        for end in (0, 5, 25):
            stop = 320 + 16 * (decision - 5 + end + 1)
            found = trials.windows(np.array([i]), np.array([end]))[0].T
            np.testing.assert_array_equal(found[: len(signal) - stop + 320], signal[stop - 320 : stop])
    assert trials.usable.all() and trials.labels.tolist() == recording.targets[recording.scored].argmax(1).tolist()


def test_windows_end_where_the_label_does(recordings):
    recording = recordings[0]
    targets, starts = recording.targets.copy(), recording.inputs.starts.copy()
    targets[DECISION_AT + 3], targets[TRIAL_BINS + DECISION_AT - 2] = np.nan, np.nan
    starts[2 * TRIAL_BINS + DECISION_AT - 1] = True
    broken = replace(recording, targets=targets, inputs=Inputs(recording.inputs.streams, starts, 0.1))
    usable = cut([broken], BAND, np.ones(N_CHANNELS), Reach(320, 5, 20)).usable
    ends = [np.flatnonzero(row)[[0, -1]].tolist() for row in usable[:4]]
    assert ends == [[0, 7], [4, 25], [4, 25], [0, 25]]


def test_the_first_normalisation_of_eegnet_knows_the_variance_behind_its_filters():
    rng = np.random.default_rng(0)
    signals = scipy.signal.lfilter([1], [1, -0.7], rng.normal(size=(4, 3, 4000)), axis=2).astype(np.float32)
    network = EegNet(Shape(3, 4000, 2, 80, 5), 0.5)
    network.measure(Trials(signals, np.ones((4, 1), bool), np.zeros(4, np.int64), Reach(4000, 0, 0), 16))
    network.train()(torch.from_numpy(signals))
    kernels = network.temporal.detach().numpy()
    outputs = [[np.convolve(row, kernel, "valid") for row in signals.reshape(-1, 4000)] for kernel in kernels]
    expected = np.square(np.array(outputs)).mean(axis=(1, 2))
    np.testing.assert_allclose(network.first_norm.running_var.numpy(), expected, rtol=0.1)


def test_networks_learn_a_rhythm_that_leaves_one_side(fitted, recordings):
    test = recordings[2]
    answers = fitted.predict(test.inputs, test.session)[test.scored]
    assert np.mean(answers.argmax(1) == test.targets[test.scored].argmax(1)) >= 0.8
    np.testing.assert_allclose(np.exp(answers).sum(axis=1), 1, rtol=1e-4)


def test_a_network_that_learns_nothing_at_first_is_not_given_up_before_half_of_its_updates(recordings, monkeypatch):
    updates, looks = [], []
    monkeypatch.setattr(training, "_update", lambda *arguments: updates.append(1))
    monkeypatch.setattr(training, "held_out_loss", lambda *arguments: looks.append(1) or 0.7)
    EegNetDecoder(updates=400, epochs=400).fit(recordings[:1], recordings[1:2])
    assert (len(updates), len(looks)) == (220, 11)


def test_norms_stay_within_their_published_limits(fitted):
    weights = fitted.weights()
    limits = {EegNetDecoder: {"spatial": 1.0, "readout.weight": 0.25}}
    limits[ShallowConvNetDecoder] = {"maps.temporal": 2.0, "maps.spatial": 2.0, "readout.weight": 0.5}
    for name, limit in limits.get(type(fitted), {}).items():
        assert np.linalg.norm(weights[name].reshape(len(weights[name]), -1), axis=1).max() <= limit + 1e-4


def test_tuning_is_kept_only_if_held_out_trials_are_told_apart_no_worse(fitted):
    new = imagined(seed=7, n_trials=8, size=2.0)
    before = {name: array.copy() for name, array in fitted.weights().items()}
    held_out = fitted.trials([new])[6:]
    loss_before = held_out_loss(fitted.network, held_out)
    fitted.adapt(new)
    assert held_out_loss(fitted.network, held_out) <= loss_before
    fitted.network.load_state_dict({name: torch.from_numpy(array) for name, array in before.items()})


def test_another_number_of_channels_is_refused(fitted, recordings):
    session = recordings[0].session
    other = replace(session, streams={"eeg": StreamInfo(5, 16, 160.0, "uV")})
    with pytest.raises(HarnessError, match="has 5 channels .* fitted for 6"):
        fitted.reset(other)


def test_training_without_a_scored_bin_is_refused(recordings):
    blank = replace(recordings[0], scored=np.zeros_like(recordings[0].scored))
    with pytest.raises(HarnessError, match="hold no scored bin"):
        ShallowConvNetDecoder().fit([blank], [])


def macs_of(decoder, recording, n_bins=24):
    """Effective multiply-accumulates of the last bins of a stretch, each on its own."""
    counted = []
    with NumpyCounter() as counter:
        fresh = type(decoder)(**decoder.parameters())
        state = {name: np.array(array) for name, array in decoder.state().items()}
        fresh.restore(counter.wrap(state, learned=True), [recording.session])
        fresh.reset(recording.session)
        for _, bin in recording.inputs[:n_bins].bins():
            tally, given = Tally(), counter.wrap(bin, learned=False)
            with counter.on(tally):
                counter.check_answer(fresh.step(given))
            counted.append(tally.dense)
    return counted


def test_a_step_costs_what_its_layers_cost_and_the_same_in_every_bin(fitted, recordings):
    front, token = 20 * 20 * N_CHANNELS, 3 * 40 * 40 + 40 * 40 + 2 * 40 * 160
    maps = 16 * 40 * 16 * N_CHANNELS
    layers = {
        EegNetDecoder: 16 * 16 * N_CHANNELS + 16 * 320 * 80 + 16 * 64 * 16 + 16 * 16 * 64 + 128 * 2,
        ShallowConvNetDecoder: maps + 26 * 40 * 2,
        ConformerDecoder: maps + 26 * 1600 + 6 * 26 * (token + 2 * 26 * 40 + 2 * 40) + 26 * 40 * 256 + 256 * 32 + 64,
    }
    counted = macs_of(fitted, recordings[0])
    assert counted == [front + layers[type(fitted)]] * len(counted)
