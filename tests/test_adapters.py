"""Decoders of other benchmarks: what they are shown, what they answer, and that they keep the contract."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import torch

import harness
from harness import Decoder, HarnessError, StreamInfo
from harness.adapters.sklearn import scores
from harness.adapters.torch import batches, last, learn, loss_of, near_scored
from harness.adapters.windows import BandPass, Window, cut
from harness.judge import artifact, conformance_case
from harness.judge.conformance import run_checks
from harness.judge.conformance_data import DECISION_AT, make_data
from harness.registry import find
from harness.torch_decoder import Schedule
from tests.adapted_falcon import Falcon, Seven, Smoothed
from tests.adapted_sklearn import FilteredLda, MeansLda, RatesRidge, means_lda
from tests.adapted_torch import Dense, WindowedRates

HERE = Path(__file__).parent
EEG, SPIKES = make_data(("eeg",), with_gaps=False), make_data(("spikes",), with_gaps=False)
UNLABELLED = replace(EEG.train, scored=EEG.train.scored & False)
SIGNAL = StreamInfo(3, 10, 500.0, "uV")


def fitted(kind, data, **fields):
    decoder = kind(**fields)
    decoder.fit([data.train], [data.validation])
    return decoder


def streamed(decoder, data):
    """(n_bins, n_outputs) of the test part."""
    return Decoder.predict(decoder, data.test.inputs, data.test.session)


def share_right(outputs, part):
    return np.mean(outputs[part.scored].argmax(axis=1) == part.targets[part.scored].argmax(axis=1))


@pytest.mark.parametrize(
    "file, name",
    [
        pytest.param("adapted_sklearn.py", "FilteredLda", marks=pytest.mark.long),
        pytest.param("adapted_torch.py", "Windowed", marks=pytest.mark.long),
        ("adapted_falcon.py", "Falcon"),
    ],
)
def test_an_adapted_decoder_keeps_the_contract(file, name, monkeypatch):
    monkeypatch.setattr(conformance_case, "LONG_LIMIT_S", 0.5)
    settings = {"updates": 20} if name == "Windowed" else {}
    results = run_checks(find(f"{HERE / file}:{name}"), settings)
    assert [(r.name, r.message) for r in results if r.status == "failed"] == []
    assert sum(r.status == "ok" for r in results) >= 19


def test_a_band_pass_bin_by_bin_is_the_filter_of_the_whole_signal():
    signal = np.random.default_rng(0).normal(size=(400, 3)) + 1000
    sections = scipy.signal.butter(4, (8, 30), "bandpass", fs=500, output="sos")
    settled = scipy.signal.sosfilt_zi(sections)[:, :, None] * signal[0]
    expected, _ = scipy.signal.sosfilt(sections, signal, axis=0, zi=settled)
    band = BandPass((8, 30), SIGNAL)
    assert np.allclose(np.concatenate([band(bin) for bin in signal.reshape(40, 10, 3)]), expected, atol=1e-6)


def test_a_window_holds_the_last_samples_and_before_them_the_first():
    signal = np.random.default_rng(0).normal(size=(50, 3))
    window = Window(SIGNAL, 3)
    held = [window.push(bin) for bin in signal.reshape(5, 10, 3)]
    assert np.array_equal(held[0], np.concatenate([np.repeat(signal[:1], 20, axis=0), signal[:10]]).T)
    assert np.array_equal(held[4], signal[20:].T)


def test_a_window_of_counts_begins_with_zeros():
    window = Window(StreamInfo(2), 3)
    assert window.push(np.array([1.0, 2.0], np.float32)).tolist() == [[0, 0, 1], [0, 0, 2]]
    assert not window.is_full


def test_training_windows_are_the_seconds_before_the_scored_bins():
    part = replace(EEG.train, scored=np.arange(len(EEG.train)) % 150 == DECISION_AT)
    x, y = cut([part], "eeg", lambda s: Window(s.streams["eeg"], 100), ends=lambda r: r.scored, most=5)
    ends = np.flatnonzero(part.scored)[np.linspace(0, 9, 5).round().astype(int)]
    expected = [part.inputs.streams["eeg"][k - 99 : k + 1].reshape(1000, 8).T for k in ends]
    assert np.array_equal(x, np.stack(expected))
    assert np.array_equal(y, part.targets[ends])


def test_a_pipeline_answers_as_if_fitted_on_windows_cut_by_hand():
    decoder = fitted(MeansLda, EEG)
    parts = [EEG.train, EEG.validation]
    windows = [r.inputs.streams["eeg"][k - 99 : k + 1] for r in parts for k in np.flatnonzero(r.scored)]
    x = np.stack([w.reshape(-1, 8).T for w in windows]).astype(np.float64)
    y = np.concatenate([r.targets[r.scored].argmax(axis=1) for r in parts])
    at = np.flatnonzero(EEG.test.scored)[0]
    window = EEG.test.inputs.streams["eeg"][at - 99 : at + 1].reshape(-1, 8).T[None].astype(np.float64)
    margin = means_lda().fit(x, y).decision_function(window)[0]
    assert np.allclose(streamed(decoder, EEG)[at], [-margin, margin], rtol=1e-5)


@pytest.mark.parametrize("kind", [MeansLda, Dense])
def test_an_adapted_classifier_tells_the_classes_apart(kind):
    assert share_right(streamed(fitted(kind, EEG), EEG), EEG.test) == 1


@pytest.mark.parametrize("kind", [RatesRidge, WindowedRates])
def test_an_adapted_regression_answers_in_the_unit_of_the_targets(kind):
    far = [replace(r, targets=5 + 10 * r.targets) for r in (SPIKES.train, SPIKES.validation)]
    outputs = streamed(fitted(kind, replace(SPIKES, train=far[0], validation=far[1])), SPIKES)
    error = np.mean((outputs - 5 - 10 * SPIKES.test.targets) ** 2)
    assert error < 0.6 * np.var(10 * SPIKES.test.targets)


def test_a_flat_window_gets_the_mean_answer_of_training():
    decoder = fitted(FilteredLda, EEG)
    decoder.reset(EEG.test.session)
    assert np.array_equal(decoder.step({"eeg": np.zeros((10, 8), np.float32)}), decoder.mean_)


class Fussy:
    """A pipeline that cannot answer."""

    def predict(self, x):
        raise ValueError("singular")


def test_only_while_its_window_fills_may_a_pipeline_fail():
    decoder, bin = fitted(MeansLda, EEG), {"eeg": np.ones((10, 8), np.float32)}
    decoder.reset(EEG.test.session)
    decoder.pipeline = Fussy()
    assert np.array_equal(decoder.step(bin), decoder.mean_)
    with pytest.raises(ValueError, match="singular"):
        [decoder.step(bin) for _ in range(100)]


class Votes:
    """Three of four classes, with one margin for each pair of them, or for each class."""

    def __init__(self, n_columns):
        self.n_columns = n_columns

    def decision_function(self, x):
        return np.tile(np.arange(self.n_columns), (len(x), 1))

    def predict(self, x):
        return np.full(len(x), 3)


@pytest.mark.parametrize("n_columns, expected", [(3, [0, 1, -1, 2]), (6, [0, 0, -1, 1])])
def test_a_class_without_examples_is_below_all_others(n_columns, expected):
    found = scores(Votes(n_columns), np.zeros((2, 1, 1)), labels=np.array([0, 1, 3]), n_outputs=4)
    assert found.tolist() == [expected] * 2


def test_training_windows_of_a_network_end_near_scored_bins_and_are_labelled():
    part = replace(EEG.train, scored=np.arange(len(EEG.train)) == 200, targets=EEG.train.targets.copy())
    part.targets[203] = np.nan
    assert np.flatnonzero(near_scored(part, 0.1)).tolist() == [195, 196, 197, 198, 199, 200, 201, 202, 204, 205]


def test_the_last_time_of_a_dense_network_counts():
    answers = torch.arange(24.0).reshape(2, 3, 4)
    assert last(answers).tolist() == [[3, 7, 11], [15, 19, 23]]
    assert torch.equal(last(answers[..., None]), last(answers))


def test_a_batch_holds_each_window_once_and_never_one_alone():
    source = batches(9, 4, np.random.default_rng(0))
    epoch = [next(source), next(source)]
    assert [len(b) for b in epoch] == [4, 4]
    assert len(set(np.concatenate(epoch).tolist())) == 8


def test_the_weights_that_did_best_on_validation_are_kept():
    torch.manual_seed(0)
    x, y = torch.randn(20, 4), torch.randn(20, 1)
    network, opposite = torch.nn.Linear(4, 1), (x, -y)
    before = loss_of(network, opposite, torch.nn.functional.mse_loss)
    schedule = Schedule(updates=200, learning_rate=0.05, check_every=1)
    learn(network, (x, y), opposite, loss=torch.nn.functional.mse_loss, schedule=schedule, seed=0)
    assert loss_of(network, opposite, torch.nn.functional.mse_loss) <= before * 1.01


def test_a_falcon_decoder_is_asked_one_row_at_a_time_and_forgets_at_a_reset():
    decoder, outputs, alone = fitted(Falcon, SPIKES), [], Smoothed()
    for starts, bin in SPIKES.test.inputs.bins():
        alone = Smoothed() if starts else alone
        outputs.append(alone.predict(bin["spikes"][None])[0])
    assert np.allclose(streamed(decoder, SPIKES), np.stack(outputs), rtol=1e-6)
    assert decoder.running.tags == ["check"] and decoder.running.batch_size == 1


def test_what_is_learned_of_a_falcon_decoder_is_in_the_artefact():
    decoder, other = fitted(Falcon, SPIKES), Falcon()
    state = artifact.unpack(artifact.pack(decoder.state()))
    weights = next(name for name, array in state.items() if array.shape == (2, 20))
    other.restore(state | {weights: 2 * state[weights]}, [SPIKES.test.session])
    assert np.array_equal(other.decoder.ridge.coef_, 2 * decoder.decoder.ridge.coef_)


def test_a_falcon_decoder_with_other_outputs_needs_a_map():
    with pytest.raises(HarnessError, match="7 outputs, the session has 2; with calibrate=True"):
        streamed(fitted(Seven, SPIKES), SPIKES)
    mapped = streamed(fitted(Seven, SPIKES, calibrate=True), SPIKES)
    assert np.mean((mapped - SPIKES.test.targets) ** 2) < 0.8 * np.var(SPIKES.test.targets)


def slow(session):
    return replace(session, bin_s=0.1)


@pytest.mark.parametrize(
    "act, said",
    [
        (lambda: fitted(Falcon, SPIKES).reset(slow(SPIKES.test.session)), "bins of 0.1 s; this decoder was trained"),
        (lambda: fitted(MeansLda, SPIKES), "no stream 'eeg'; it has: spikes"),
        (lambda: fitted(FilteredLda, EEG, band_hz=(8, 300)), r"\(8, 300\) does not fit a stream of 500.0 Hz"),
        (lambda: fitted(MeansLda, replace(EEG, train=UNLABELLED, validation=UNLABELLED)), "hold no labelled bin"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(act, said):
    with pytest.raises(HarnessError, match=said):
        act()


def test_the_face_of_the_harness_has_no_other_names():
    with pytest.raises(AttributeError, match="from_keras"):
        _ = harness.from_keras
