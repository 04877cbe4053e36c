"""Classical EEG decoders: planted rhythms, noise, streaming from the artefact, new subjects, and a real one."""

import dataclasses
import functools

import numpy as np
import pytest

from baselines.eeg.csp import CspLda, FilterBankCsp
from baselines.eeg.riemann import RiemannMdm, TangentSpace
from baselines.eeg.windows import Cut
from harness import Decoder, HarnessError, Inputs, Recording, SessionInfo, StreamInfo
from harness.judge import artifact
from harness.judge.count.in_numpy import NumpyCounter
from harness.judge.count.tally import Tally

DECODERS = [CspLda(), FilterBankCsp(lowest_hz=8, highest_hz=16), RiemannMdm(), TangentSpace()]
EACH = pytest.mark.parametrize("decoder", DECODERS, ids=lambda d: type(d).__name__)
BIN_S, RATE_HZ, TRIAL_BINS, CUE_AT, DECISION_AT, LABELS_END = 0.1, 160.0, 60, 10, 30, 51
SIDES = ("left", "right")


def session(n_channels=8, classes=SIDES):
    eeg = StreamInfo(n_channels, 16, RATE_HZ, "uV", tuple(f"e{i}" for i in range(n_channels)))
    return SessionInfo("s", "person", {"eeg": eeg}, BIN_S, classes, "classification")


def run(seed, *, subject=0, drop=0.6, n_trials=14, classes=SIDES):
    """A run in which a 10 Hz rhythm in one group of channels for each class drops after the cue.

    subject: Who it is: of each the rhythms reach the channels otherwise.
    drop: Share of the rhythm that goes; at 0 there is nothing to decode.
    """
    rng, n_channels = np.random.default_rng(seed), 8
    mixing = np.eye(n_channels)[: len(classes)].repeat(1, 0) + np.random.default_rng(subject).normal(
        0, 0.3, (len(classes), n_channels)
    )
    labels = rng.permutation(np.arange(n_trials) % len(classes))
    n_bins = n_trials * TRIAL_BINS
    in_trial, trial = np.arange(n_bins) % TRIAL_BINS, np.arange(n_bins) // TRIAL_BINS
    is_on = (in_trial > CUE_AT) & (in_trial < LABELS_END)
    one_hot = np.eye(len(classes))[labels[trial]]
    amplitude = (10 * (1 - drop * one_hot * is_on[:, None])).repeat(16, axis=0)
    phase = 2 * np.pi * np.cumsum(10 + rng.normal(0, 8, (n_bins * 16, len(classes))), axis=0) / RATE_HZ
    noise = rng.normal(0, 3, (n_bins * 16, n_channels)) + rng.normal(0, 1, (n_bins * 16, n_channels)).cumsum(axis=0)
    signal = (amplitude * np.sin(phase)) @ mixing + noise + 1000
    targets = np.where(is_on[:, None], one_hot, np.nan).astype(np.float32)
    inputs = Inputs({"eeg": signal.reshape(n_bins, 16, -1).astype(np.float32)}, np.arange(n_bins) == 0, BIN_S)
    return Recording(session(n_channels, classes), inputs, targets, in_trial == DECISION_AT)


def accuracy(decoder, recording):
    """Balanced accuracy of decisions."""
    answers = decoder.predict(recording.inputs, recording.session)[recording.scored].argmax(axis=1)
    truth = recording.targets[recording.scored].argmax(axis=1)
    return np.mean([np.mean(answers[truth == k] == k) for k in np.unique(truth)])


def with_eeg(recording, change):
    """The same recording with `change(eeg)` in place of its EEG."""
    streams = {"eeg": change(recording.inputs.streams["eeg"].copy())}
    return dataclasses.replace(recording, inputs=dataclasses.replace(recording.inputs, streams=streams))


@functools.cache
def fitted(i):
    decoder = dataclasses.replace(DECODERS[i])
    decoder.fit([run(1), run(2)], [run(3, n_trials=6)])
    return decoder


@EACH
def test_a_rhythm_that_drops_on_one_side_is_found(decoder):
    assert accuracy(fitted(DECODERS.index(decoder)), run(4)) >= 0.85


@EACH
def test_four_classes_are_told_apart(decoder):
    classes, made = ("left", "right", "fists", "feet"), dataclasses.replace(decoder)
    made.fit([run(1, classes=classes), run(2, classes=classes)], [])
    assert accuracy(made, run(3, classes=classes, n_trials=20)) > 0.5


@EACH
def test_noise_gives_chance_run_by_run(decoder):
    found = []
    for seed in range(6):
        parts, made = [run(10 * seed + i, drop=0) for i in range(3)], dataclasses.replace(decoder)
        made.fit(parts[:1], parts[1:2])
        found.append(accuracy(made, parts[2]))
    # Of 84 decisions the standard deviation is 0.055.
    assert abs(np.mean(found) - 0.5) < 0.17


@EACH
def test_streaming_from_the_artefact_equals_the_batch_and_forgets_at_a_start(decoder):
    made, test = fitted(DECODERS.index(decoder)), run(4, n_trials=3)
    starts = np.isin(np.arange(len(test)), (0, 130))
    inputs, fresh = dataclasses.replace(test.inputs, starts=starts), dataclasses.replace(decoder)
    fresh.restore(artifact.unpack(artifact.pack(made.state())), [test.session])
    stream, batch = Decoder.predict(fresh, inputs, test.session), made.predict(inputs, test.session)
    np.testing.assert_allclose(stream, batch, atol=1e-4 * np.abs(batch).max())
    alone = made.predict(inputs[130:], test.session)
    np.testing.assert_allclose(alone, batch[130:], atol=1e-9)


@pytest.mark.parametrize("kind", [RiemannMdm, TangentSpace])
@pytest.mark.parametrize("n_subjects", [1, 2])
def test_step_sees_what_fit_saw(kind, n_subjects):
    made, test = kind(later_s=0.0), run(5, subject=3, n_trials=4)
    others = [run(i, subject=i % n_subjects, n_trials=6) for i in range(2)]
    names = [dataclasses.replace(r.session, subject=f"p{i % n_subjects}") for i, r in enumerate(others)]
    made.fit([dataclasses.replace(r, session=s) for r, s in zip(others, names, strict=True)], [])
    assert bool(made.recentred_) == (n_subjects > 1)
    batch = [made.scores(c) for c in made.projected(made.examples([test])).covariances]
    np.testing.assert_allclose(made.predict(test.inputs, test.session)[test.scored], batch, rtol=1e-4, atol=1e-5)


@EACH
def test_a_channel_that_is_constant_in_training_is_not_heard(decoder):
    def silenced(eeg):
        eeg[..., 5] = 7
        return eeg

    def loud(eeg):
        eeg[..., 5] = 1e4 * np.random.default_rng(0).normal(size=eeg.shape[:2])
        return eeg

    made, test = dataclasses.replace(decoder), run(4, n_trials=2)
    made.fit([with_eeg(run(1), silenced)], [])
    answers = [made.predict(with_eeg(test, change).inputs, test.session) for change in (silenced, loud)]
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-5 * np.abs(answers[0]).max())


@EACH
def test_an_average_reference_does_no_harm(decoder):
    def referenced(eeg):
        return eeg - eeg.mean(axis=2, keepdims=True)

    made = dataclasses.replace(decoder)
    made.fit([with_eeg(run(1), referenced), with_eeg(run(2), referenced)], [])
    assert accuracy(made, with_eeg(run(4), referenced)) >= 0.8


@EACH
def test_a_few_trials_of_a_new_subject_help(decoder):
    made = dataclasses.replace(decoder)
    made.fit([run(i, subject=i) for i in range(1, 4)], [])
    gains = []
    for subject in range(5, 9):
        adapted, test = dataclasses.replace(decoder), run(50 + subject, subject=subject)
        adapted.restore(made.state(), [test.session])
        adapted.adapt(run(20 + subject, subject=subject, n_trials=8))
        gains.append(accuracy(adapted, test) - accuracy(made, test))
    assert np.mean(gains) > -0.02


@EACH
def test_adapting_to_no_trial_changes_nothing(decoder):
    made, nothing = dataclasses.replace(decoder), run(2)
    made.restore(fitted(DECODERS.index(decoder)).state(), [nothing.session])
    before = {name: array.copy() for name, array in made.state().items()}
    made.adapt(dataclasses.replace(nothing, scored=np.zeros(len(nothing), bool)))
    for name, array in made.state().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("index", [0, 1])
def test_products_of_spatial_filters_can_be_counted(index):
    made, test = fitted(index), run(4, n_trials=1)
    with NumpyCounter() as counter:
        fresh, tally = dataclasses.replace(DECODERS[index]), Tally()
        fresh.restore(counter.wrap(made.state(), learned=True), [test.session])
        fresh.reset(test.session)
        given = counter.wrap(next(test.inputs.bins())[1], learned=False)
        with counter.on(tally):
            fresh.step(given)
    n = len(made.projection_)
    assert tally.dense == n * (16 * 8 + 20**2) + 2 * n


@pytest.mark.parametrize("index, n_of_eigen", [(2, 2 * (2 * 8**3 + 341)), (3, 9 * 8**3 // 2 + 8**3 + 2 * 8**2)])
def test_products_of_riemannian_decoders_are_declared(index, n_of_eigen):
    declared = fitted(index).cost(session()).macs_per_bin
    assert declared == 16 * 8 * 8 + 20**2 * 8 + 16 * 8**2 + n_of_eigen


def test_windows_end_at_the_decision_and_later_in_the_same_trial():
    ends, trials = Cut(window_s=2.0, later_s=10.0, every_s=0.5).ends(run(0, n_trials=2))
    np.testing.assert_array_equal(ends, [30, 35, 40, 45, 50, 90, 95, 100, 105, 110])
    np.testing.assert_array_equal(trials, [0] * 5 + [1] * 5)


def test_windows_stop_at_the_next_decision_and_at_a_start():
    recording = run(0, n_trials=1)
    targets = np.tile(np.float32([1, 0]), (60, 1))
    scored, starts = np.isin(np.arange(60), (10, 30)), np.isin(np.arange(60), (0, 36))
    inputs = dataclasses.replace(recording.inputs, starts=starts)
    recording = dataclasses.replace(recording, inputs=inputs, targets=targets, scored=scored)
    np.testing.assert_array_equal(Cut(later_s=5.0).ends(recording)[0], [10, 15, 20, 25, 30, 35])


def test_windows_of_a_trial_weigh_as_one_and_classes_alike():
    examples = Cut().examples([run(0, n_trials=5)], (8, 30))
    assert examples.weights.sum() == pytest.approx(5)
    np.testing.assert_allclose(np.bincount(examples.labels, examples.balanced()), [2.5, 2.5])


def test_a_class_without_a_trial_is_refused():
    recording = run(0, n_trials=4)
    of_left = recording.scored & (recording.targets[:, 0] == 1)
    with pytest.raises(HarnessError, match=r"left: 2, right: 0; give at least one of each"):
        TangentSpace().fit([dataclasses.replace(recording, scored=of_left)], [])


def test_a_band_out_of_reach_is_refused():
    with pytest.raises(HarnessError, match=r"160.0 Hz; choose lower ones"):
        CspLda(high_hz=90.0).fit([run(0, n_trials=4)], [])
