"""Networks over several sessions: what is shared helps, a session's own stays its own, and all of it survives."""

import dataclasses

import numpy as np
import pytest
import torch

from baselines.choose import mean_r2
from baselines.gru import GruCell
from baselines.mamba_decoder import Mamba2
from baselines.parts import learned_and_held_out
from baselines.sessions import MultiSession, SessionsNetwork, outputs_key, session_key
from baselines.transformer import Transformer
from harness import HarnessError, Inputs, Recording, SessionInfo, StreamInfo

BIN_S = 0.05


class GruCore(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layer = torch.nn.GRU(width, width, batch_first=True)

    def forward(self, x):
        return self.layer(x)[0]


@dataclasses.dataclass
class Shared(MultiSession):
    """A core is these two methods; this one trains fast."""

    hidden: int = 16
    updates: int = 30
    pretrain_updates: int = 250
    read_in_updates: int = 60
    learning_rate: float = 0.015
    dropout: float = 0.0
    input_dropout: float = 0.2
    batch_size: int = 8
    window_bins: int = 60

    def core(self, bin_s):
        return GruCore(self.hidden)

    def stream(self, weights, bin_s):
        return GruCell({k.removeprefix("layer."): v for k, v in weights.items()})


def simulated(seed, *, minutes=2.0, n_units=20, outputs=("x", "y"), name="", part=0):
    """Counts from two latents that turn and decay alike in every session, mixed into units as `seed` says.

    The outputs are a curved function of latents now and half a second ago, which takes data to learn.
    """
    rng, n_bins = np.random.default_rng([seed, part]), round(minutes * 60 / BIN_S)
    turn = 0.95 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    z = np.zeros((n_bins, 2))
    for t in range(1, n_bins):
        z[t] = turn @ z[t - 1] + 0.3 * rng.normal(size=2)
    mixing = np.random.default_rng(seed).normal(size=(2, n_units))
    counts = rng.poisson(np.exp(0.5 * z @ mixing).clip(0, 30)).astype(np.float32)
    past = np.roll(z, 10, axis=0)
    targets = np.column_stack([np.tanh(2 * past[:, 0]) * z[:, 1], np.abs(past[:, 1]) - z[:, 0]])[:, : len(outputs)]
    session = SessionInfo(name or f"day {seed}.0", "monkey", {"spikes": StreamInfo(n_units)}, BIN_S, outputs)
    inputs = Inputs({"spikes": counts}, np.arange(n_bins) == 0, BIN_S)
    return Recording(session, inputs, (5 + (1 + seed) * targets).astype(np.float32), np.arange(n_bins) >= 10)


def r2(decoder, recording):
    answers = decoder.predict(recording.inputs, recording.session)
    return mean_r2(recording.targets[recording.scored], answers[recording.scored])


def reborn(decoder, sessions):
    """What a fresh process would hold."""
    fresh = dataclasses.replace(decoder)
    fresh.restore({k: v.copy() for k, v in decoder.state().items()}, sessions)
    return fresh


def over_six_sessions(**fields):
    """One core over sessions of two minutes that differ in their units."""
    recordings = [simulated(seed, n_units=14 + seed) for seed in range(1, 7)]
    decoder = Shared(seed=1, **fields)
    decoder.pretrain(recordings)
    return decoder, [r.session for r in recordings]


@pytest.fixture(scope="module")
def pretrained():
    """Not for long: for tests of what is kept."""
    return over_six_sessions(pretrain_updates=60)


@pytest.mark.long
def test_a_minute_of_a_new_session_is_worth_more_after_pretraining():
    pretrained = over_six_sessions()
    minute, later = simulated(9, minutes=1), simulated(9, minutes=2, part=1)
    adapted, alone = reborn(*pretrained), Shared(seed=1, updates=150)
    cut = slice(0, 960), slice(960, 1200)
    alone.fit(*([stretch(minute, bins)] for bins in cut))
    adapted.adapt(minute)
    assert r2(adapted, later) > r2(alone, later) + 0.05
    assert r2(adapted, later) > 0.5


def stretch(recording, bins):
    return dataclasses.replace(
        recording, inputs=recording.inputs[bins], targets=recording.targets[bins], scored=recording.scored[bins]
    )


def test_adapting_first_learns_the_new_read_in_alone_and_keeps_no_other(pretrained):
    decoder = dataclasses.replace(reborn(*pretrained), fine_tuning=0.0)
    decoder.network = pretrained[0].network
    before = {k: v.copy() for k, v in decoder.state().items()}
    decoder.adapt(simulated(9, minutes=0.5))
    after = decoder.state()
    shared = [k for k in before if ".core." in k or ".heads." in k]
    assert shared and all(np.array_equal(before[k], after[k]) for k in shared)
    assert not any(session_key(s) in k for k in after for s in pretrained[1])


def test_what_was_pretrained_survives_in_a_fresh_object_and_shapes_the_fit(pretrained):
    decoder, sessions = pretrained
    train, held_out = simulated(2, minutes=0.5, n_units=16, part=1), simulated(2, minutes=0.5, n_units=16, part=2)
    straight, through = dataclasses.replace(decoder), reborn(decoder, sessions)
    straight.network, straight.pretrained_ = decoder.network, decoder.pretrained_
    for each in (straight, through):
        each.fit([train], [held_out])
    np.testing.assert_array_equal(*(d.predict(held_out.inputs, held_out.session) for d in (straight, through)))
    scratch = Shared(seed=1)
    scratch.fit([train], [held_out])
    assert r2(through, held_out) > r2(scratch, held_out)


def test_after_a_fit_only_that_session_is_kept(pretrained):
    decoder = reborn(*pretrained)
    recording = simulated(2, minutes=0.5, n_units=16, part=1)
    decoder.fit([recording], [recording])
    held = {k.split(".")[2] for k in decoder.state() if k.startswith("network.ports.")}
    assert held == {session_key(recording.session)} and "pretrained_" not in decoder.state()


def test_an_adapted_decoder_is_restored_for_the_new_session_among_others(pretrained):
    decoder, minute = reborn(*pretrained), simulated(9, minutes=0.5)
    decoder.adapt(minute)
    fresh = reborn(decoder, (minute.session, *pretrained[1]))
    np.testing.assert_array_equal(
        fresh.predict(minute.inputs, minute.session), decoder.predict(minute.inputs, minute.session)
    )


def test_sessions_fitted_together_are_each_streamed_through_their_own_read_in():
    recordings = [simulated(1, n_units=9), simulated(2, n_units=12, outputs=("x",))]
    decoder = Shared()
    decoder.fit(recordings, recordings)
    for r in recordings:
        answers = decoder.predict(r.inputs, r.session)
        decoder.reset(r.session)
        assert answers.shape == r.targets.shape
        for k in range(60):
            np.testing.assert_allclose(decoder.step({"spikes": r.inputs.streams["spikes"][k]}), answers[k], atol=1e-4)


def test_a_mixed_batch_gives_each_session_what_it_gets_alone():
    sessions = [simulated(1, n_units=3).session, simulated(2, n_units=5, outputs=("x",)).session]
    decoder = Shared()
    network = SessionsNetwork(
        sessions, decoder.core(BIN_S), width=16, corruption=torch.nn.Identity(), stream="spikes"
    ).eval()
    rows = [np.random.default_rng(n).normal(size=(7, n)).astype(np.float32) for n in (3, 5)]
    packed = [network.pack(x, session_key(s)) for x, s in zip(rows, sessions, strict=True)]
    with torch.no_grad():
        answers = network(torch.from_numpy(np.stack(packed)))
        for x, s, mixed in zip(rows, sessions, answers, strict=True):
            port, head = network.ports[session_key(s)], network.heads[outputs_key(s)]
            alone = head(network.core(port(torch.from_numpy(x)[None])))[0]
            np.testing.assert_allclose(mixed[:, : len(s.outputs)], alone, atol=1e-6)


def unlabelled(recording):
    blank = np.full_like(recording.targets, np.nan)
    return dataclasses.replace(recording, targets=blank, scored=np.zeros(len(recording), bool))


@pytest.mark.parametrize("n_given", [0, 1])
def test_pretraining_without_labels_teaches_nothing_and_fits_as_ever(n_given):
    r = simulated(1, minutes=0.5)
    decoder, plain = Shared(seed=3), Shared(seed=3)
    decoder.pretrain([unlabelled(r)] * n_given)
    decoder = reborn(decoder, [r.session])
    for each in (decoder, plain):
        each.fit([r], [r])
    np.testing.assert_array_equal(*(d.predict(r.inputs, r.session) for d in (decoder, plain)))


def test_a_session_that_nobody_fitted_is_refused_by_name():
    r = simulated(1, minutes=0.3)
    decoder = Shared(updates=5)
    decoder.fit([r], [r])
    stranger = simulated(4, minutes=0.1, n_units=33).session
    with pytest.raises(HarnessError, match=r"day 4\.0 of 33 channels .* labelled minutes"):
        decoder.reset(stranger)


def test_other_outputs_are_refused_even_where_channels_are_as_many():
    r, other = simulated(1, minutes=0.3), simulated(1, minutes=0.1, outputs=("x", "z"))
    decoder = Shared(updates=5)
    decoder.fit([r], [r])
    for refuse in (decoder.reset, lambda session: decoder.predict(other.inputs, session)):
        with pytest.raises(HarnessError, match=r"outputs-x,z was neither fitted .* outputs-x,y"):
            refuse(other.session)


def test_a_joint_fit_names_the_session_that_lacks_labels_or_training():
    whole, other = simulated(1, minutes=0.2), simulated(2, minutes=0.2)
    blind = dataclasses.replace(other, scored=np.zeros(len(other), bool))
    with pytest.raises(HarnessError, match=r"sessions: day 2\.0\) hold no scored bin"):
        Shared(updates=2).fit([whole, blind], [whole])
    with pytest.raises(HarnessError, match=r"day 2\.0 has validation and no training"):
        Shared(updates=2).fit([whole], [whole, other])


@pytest.mark.parametrize("n_scored, n_learned", [(0, 0), (1, 1), (2, 1), (10, 8)])
def test_what_is_learned_from_has_a_scored_bin_wherever_there_is_one(n_scored, n_learned):
    r = simulated(1, minutes=0.05)
    r = dataclasses.replace(r, scored=np.isin(np.arange(len(r)), 20 + np.arange(n_scored)))
    learned, held_out = learned_and_held_out(r)
    assert (learned.scored.sum(), held_out.scored.sum()) == (n_learned, n_scored - n_learned)
    assert len(learned) + len(held_out) == len(r)


def test_a_single_scored_bin_is_enough_to_adapt_to():
    r = simulated(1, minutes=0.2)
    decoder = Shared(updates=5, read_in_updates=2)
    decoder.fit([r], [r])
    decoder.adapt(dataclasses.replace(r, scored=np.arange(len(r)) == 50))
    assert np.isfinite(decoder.predict(r.inputs, r.session)).all()


@pytest.mark.parametrize("kind", [Mamba2, Transformer])
def test_the_decoders_go_through_all_stages(kind):
    decoder = kind(hidden=16, updates=2, pretrain_updates=2, read_in_updates=2)
    sessions = [simulated(seed, minutes=0.2, n_units=5 + seed) for seed in (1, 2, 3)]
    decoder.pretrain(sessions[:2])
    decoder.fit(sessions[:1], sessions[:1])
    decoder.adapt(sessions[2])
    fresh = reborn(decoder, [sessions[2].session, sessions[0].session])
    answers = fresh.predict(sessions[2].inputs, sessions[2].session)
    fresh.reset(sessions[2].session)
    for k, (_, bin) in enumerate(sessions[2].inputs.bins()):
        np.testing.assert_allclose(fresh.step(bin), answers[k], atol=1e-4)
