"""The hybrid spiking network on several sessions: pretraining, calibration, odd lengths, other sizes."""

from dataclasses import replace

import numpy as np
import pytest

from baselines.choose import mean_r2
from baselines.hybrid_snn.hybrid import HybridSnnRt, HybridSnnRtCausal, HybridSnnSrtCausal
from baselines.parts import learned_and_held_out
from harness import HarnessError
from tests.keypoint_cases import QUICK, recording, session


def unlabelled(given):
    return replace(given, targets=np.full_like(given.targets, np.nan), scored=np.zeros(len(given), bool))


def test_a_network_is_pretrained_for_each_subject_and_survives_a_fresh_process():
    sessions = [recording(id="a"), recording(seed=1, id="b", subject="t"), recording(seed=2, id="c", n_units=4)]
    made = HybridSnnRtCausal(**QUICK)
    made.pretrain(sessions)
    again = HybridSnnRtCausal(**{**QUICK, "updates": 1, "learning_rate": 0.0})
    again.restore(made.state(), [r.session for r in sessions])
    kept = {k: v.copy() for k, v in again._pretrained["s:4:2"].items()}
    assert sorted(again._pretrained) == ["s:4:2", "s:5:2", "t:5:2"]
    again.fit([recording(seed=3, id="d", n_units=4)], [])
    np.testing.assert_array_equal(again.weights()["readout.linear.weight"], kept["readout.linear.weight"])
    assert not any("pretrained" in name for name in again.state())


@pytest.mark.parametrize("others", [[], [recording(seed=1, id="b")]])
def test_recordings_without_labels_teach_nothing_and_stop_nothing(others):
    made = HybridSnnRtCausal(**QUICK)
    made.pretrain([unlabelled(recording()), *others])
    again = HybridSnnRtCausal(**QUICK)
    again.restore(made.state(), [recording().session])
    assert list(again._pretrained) == ["s:5:2"][: len(others)] and bool(made.state()) == bool(others)
    again.fit([recording(seed=2)], [])
    assert np.isfinite(again.predict(recording().inputs, recording().session)).all()


def test_a_recording_has_one_scale_for_what_is_learned_and_what_is_held_out():
    drifting = recording()
    drifting = replace(drifting, targets=drifting.targets + np.arange(300)[:, None].astype(np.float32))
    learned, held_out = HybridSnnRtCausal()._parts_alike([drifting])
    both = np.concatenate([learned[0].targets, held_out[0].targets])
    np.testing.assert_allclose(both.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(both.std(axis=0), 1, atol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("decoder", [HybridSnnRtCausal, HybridSnnSrtCausal])
def test_minutes_of_another_session_move_the_weights_and_its_scale(decoder):
    made = decoder(**{**QUICK, "learning_rate": 0.05, "updates": 30, "adapt_updates": 60})
    made.fit([recording(n_units=20)], [recording(100, seed=1, n_units=20)])
    before, new = {k: v.copy() for k, v in made.state().items()}, recording(900, seed=5, id="new", n_units=20)
    mirrored = replace(new, targets=30 - new.targets)
    made.adapt(mirrored)
    after = made.state()
    assert np.any(after["network.readout.linear.weight"] != before["network.readout.linear.weight"])
    np.testing.assert_allclose(after["offset_"], learned_and_held_out(mirrored)[0].targets.mean(axis=0), rtol=1e-5)
    assert {k: v.dtype for k, v in after.items()} == {k: v.dtype for k, v in before.items()}


@pytest.mark.parametrize("decoder", [HybridSnnRtCausal, HybridSnnSrtCausal])
@pytest.mark.parametrize("learning_rate, shift", [(1.0, 0), (0.006, 0), (0.006, 20)])
def test_two_seconds_of_calibration_never_hurt_on_their_held_out_part(decoder, learning_rate, shift):
    made = decoder(**QUICK)
    made.fit([recording(900, n_units=20, bin_s=0.02)], [])
    made.learning_rate, given = learning_rate, recording(100, seed=3, n_units=20, bin_s=0.02)
    _, held_out = learned_and_held_out(replace(given, targets=given.targets + shift))
    before = mean_r2(held_out.targets, made.predict(held_out.inputs, held_out.session))
    made.adapt(replace(given, targets=given.targets + shift))
    after = mean_r2(held_out.targets, made.predict(held_out.inputs, held_out.session))
    assert after >= before - 1e-6 and (after > before or not shift)


@pytest.mark.parametrize("decoder", [HybridSnnRt, HybridSnnRtCausal, HybridSnnSrtCausal])
@pytest.mark.parametrize("n_bins", [1, 2, 9, 10, 12, 26])
def test_segments_of_any_length_can_be_learned_from(decoder, n_bins):
    given = recording(3 * n_bins)
    given = replace(given, inputs=replace(given.inputs, starts=np.arange(3 * n_bins) % n_bins == 0))
    made = decoder(**{**QUICK, "updates": 3})
    made.fit([given], [given])
    assert np.isfinite(made.predict(given.inputs, given.session)).all()


def test_another_number_of_channels_or_outputs_is_refused_with_all_numbers():
    made, told = HybridSnnSrtCausal(**QUICK), "session new has 6 channels and 2 outputs, .* 5 channels and 2 outputs"
    made.fit([recording()], [])
    other = recording(id="new", n_units=6)
    for use in (made.adapt, lambda r: made.reset(r.session), lambda r: made.predict(r.inputs, r.session)):
        with pytest.raises(HarnessError, match=told):
            use(other)
    with pytest.raises(HarnessError, match="session a has 5 channels and 1 outputs"):
        made.reset(session(outputs=("x",)))
    with pytest.raises(HarnessError, match="4 channels and 2 outputs; 5 channels"):
        made.fit([recording(), recording(n_units=4)], [])
