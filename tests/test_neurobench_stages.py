"""NeuroBench's decoders in the stages of learning: pretrained per subject, adapted without harm, refused by name."""

import dataclasses

import numpy as np
import pytest

from baselines.choose import mean_r2
from baselines.neurobench.network import packed, unpacked
from baselines.neurobench.rsnn import TinyRsnn
from baselines.neurobench.snn import Snn2d
from baselines.parts import learned_and_held_out
from harness import HarnessError, Inputs, Recording, SessionInfo, StreamInfo
from tests.neurobench_cases import DECODERS, NAMES

BIN_S = 0.02


def session(n_units=12, *, subject="monkey", outputs=("x", "y")):
    return SessionInfo("s", subject, {"spikes": StreamInfo(n_units)}, BIN_S, outputs)


def reaching(seed, *, seconds=6.0, about=None, offset=10.0, mixing=0):
    """Poisson counts that follow two smooth outputs; `mixing` draws how the units do it."""
    rng, about, n_bins = np.random.default_rng(seed), about or session(), round(seconds / BIN_S)
    targets = np.zeros((n_bins, 2))
    for t in range(1, n_bins):
        targets[t] = 0.9 * targets[t - 1] + rng.normal(size=2)
    loadings = np.random.default_rng(mixing).normal(size=(2, about.streams["spikes"].n_channels))
    counts = rng.poisson(np.exp(0.3 * targets @ loadings / np.sqrt(2)).clip(0, 20)).astype(np.float32)
    inputs = Inputs({"spikes": counts}, np.arange(n_bins) == 0, BIN_S)
    answers = (offset + 3 * targets)[:, : len(about.outputs)].astype(np.float32)
    return Recording(about, inputs, answers, np.ones(n_bins, bool))


def unlabelled(recording):
    blank = np.full_like(recording.targets, np.nan)
    return dataclasses.replace(recording, targets=blank, scored=np.zeros(len(recording), bool))


def reborn(decoder, about):
    """What a fresh process would hold."""
    fresh = dataclasses.replace(decoder)
    fresh.restore({k: v.copy() for k, v in decoder.state().items()}, [about])
    return fresh


def held_out_r2(decoder, recording):
    late = np.arange(len(recording)) >= len(learned_and_held_out(recording)[0])
    return mean_r2(recording.targets[late], decoder.predict(recording.inputs, recording.session)[late])


@pytest.fixture(scope="module", params=range(len(DECODERS)), ids=NAMES)
def fitted(request):
    decoder = dataclasses.replace(DECODERS[request.param])
    decoder.fit([reaching(1)], [reaching(3)])
    return decoder


@pytest.mark.parametrize("seconds", [2, 10])
@pytest.mark.parametrize("offset", [10.0, 14.0])
def test_a_short_calibration_does_no_harm_on_its_held_out_bins(fitted, seconds, offset):
    adapted, minutes = reborn(fitted, session()), reaching(7, seconds=seconds, offset=offset)
    adapted.adapt(minutes)
    assert held_out_r2(adapted, minutes) >= held_out_r2(fitted, minutes)


def test_adapting_takes_over_what_the_minutes_say_and_keeps_the_form(fitted):
    minutes = reaching(7, seconds=20, offset=60.0)
    adapted = reborn(fitted, session())
    adapted.adapt(minutes)
    before, after = fitted.state(), adapted.state()
    assert {k: (v.shape, v.dtype) for k, v in before.items()} == {k: (v.shape, v.dtype) for k, v in after.items()}
    assert held_out_r2(adapted, minutes) > 0 > held_out_r2(fitted, minutes)
    again = reborn(adapted, session()).predict(minutes.inputs, minutes.session)
    np.testing.assert_array_equal(again, adapted.predict(minutes.inputs, minutes.session))


@pytest.mark.long
def test_further_training_is_kept_where_the_units_mean_something_else():
    decoder, minutes = TinyRsnn(updates=150), reaching(7, seconds=40, mixing=5)
    decoder.fit([reaching(1, seconds=20)], [])
    adapted = reborn(decoder, session())
    adapted.adapt(minutes)
    assert held_out_r2(adapted, minutes) > held_out_r2(decoder, minutes) + 0.2
    assert np.abs(adapted.weights()["inward.weight"] - decoder.weights()["inward.weight"]).max() > 0.01


def test_other_channels_and_outputs_are_refused_with_their_numbers(fitted):
    decoder = reborn(fitted, session())
    for other in (reaching(7, about=session(9)), reaching(7, about=session(outputs=("x",)))):
        shape = rf"{other.session.streams['spikes'].n_channels} channels and outputs {', '.join(other.session.outputs)}"
        for use in (
            lambda r: decoder.adapt(r),
            lambda r: decoder.reset(r.session),
            lambda r: decoder.predict(r.inputs, r.session),
        ):
            with pytest.raises(HarnessError, match=rf"session s has {shape}, but .* 12 channels and outputs x, y"):
                use(other)
        with pytest.raises(HarnessError, match="cannot be fitted together"):
            dataclasses.replace(fitted).fit([reaching(1), other], [])


def test_pretraining_is_kept_per_subject_channels_and_outputs_and_gone_after_the_fit():
    abouts = [session(12, subject="a/b"), session(9, subject="a/b"), session(12, subject="c")]
    abouts.append(session(12, subject="a/b", outputs=("x",)))
    teacher, student, stranger = Snn2d(updates=40), Snn2d(updates=1), Snn2d(updates=1)
    teacher.pretrain([reaching(i, about=about) for i, about in enumerate(abouts)])
    state = teacher.state()
    for decoder, subject in [(student, "a/b"), (stranger, "d")]:
        decoder.restore(state, abouts)
        decoder.fit([reaching(5, about=session(subject=subject))], [])
    known = state["pretrained/12/a%2Fb/x,y/inward.weight"]
    assert np.abs(student.weights()["inward.weight"] - known).max() < 0.01
    assert np.abs(stranger.weights()["inward.weight"] - known).max() > 0.1
    assert not any(name.startswith("pretrained") for name in student.state())


def test_whose_a_weight_is_survives_its_name():
    key = ("monkey/J %2C", 96, ("finger, index/v", "y%"))
    assert unpacked(packed(key, "inward.weight")) == (key, "inward.weight")


@pytest.mark.parametrize("n_given", [0, 1])
@pytest.mark.parametrize("decoder", DECODERS, ids=NAMES)
def test_pretraining_without_labels_teaches_nothing_and_fits_as_ever(decoder, n_given):
    plain, blind = (dataclasses.replace(decoder, updates=2) for _ in range(2))
    r = reaching(1, seconds=2)
    blind.pretrain([unlabelled(r)] * n_given)
    blind = reborn(blind, r.session)
    for each in (plain, blind):
        each.fit([r], [])
    np.testing.assert_array_equal(*(d.predict(r.inputs, r.session) for d in (plain, blind)))


def test_a_recording_without_labels_is_left_out_of_pretraining():
    states, known = [], reaching(1, seconds=2)
    for others in ([], [unlabelled(reaching(2, seconds=2)), unlabelled(reaching(2, about=session(9)))]):
        decoder = Snn2d(updates=3)
        decoder.pretrain([known, *others])
        states.append(decoder.state())
    assert states[0].keys() == states[1].keys()
    assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0])
