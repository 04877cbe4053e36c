"""POSSM against attention written out token by token, and against itself: streamed, permuted, moved to new sessions."""

import dataclasses

import numpy as np
import pytest
import torch

from baselines.choose import mean_r2
from baselines.possm.attention import EventAttention, EventPool
from baselines.possm.decoder import Possm
from harness import HarnessError, Inputs, Recording, SessionInfo, StreamInfo

SMALL = {"hidden": 12, "width": 8, "n_heads": 2, "updates": 40, "pretrain_updates": 60, "read_in_updates": 30}


def reaching(seed, *, name="s", n_bins=500, n_units=12, mixing=0, starts=(0,)):
    """Poisson counts that follow smooth outputs; `mixing` draws how the units do it. Unit 0 is silent."""
    rng = np.random.default_rng(seed)
    targets = np.zeros((n_bins, 2))
    for t in range(1, n_bins):
        targets[t] = 0.9 * targets[t - 1] + rng.normal(size=2)
    loadings = np.random.default_rng(mixing).normal(size=(2, n_units))
    counts = rng.poisson(np.exp(0.5 + 0.2 * targets @ loadings).clip(0, 20)).astype(np.float32)
    counts[:, 0] = 0
    session = SessionInfo(name, "monkey", {"spikes": StreamInfo(n_units)}, 0.05, ("x", "y"))
    inputs = Inputs({"spikes": counts}, np.isin(np.arange(n_bins), starts), 0.05)
    return Recording(session, inputs, (10 + 3 * targets).astype(np.float32), np.ones(n_bins, bool))


def stream(decoder, inputs, session):
    return np.stack([decoder.step(b) for starts, b in inputs.bins() if not starts or decoder.reset(session) is None])


def r2(decoder, test):
    return mean_r2(test.targets, decoder.predict(test.inputs, test.session))


def attention_and_units(*, n_latents=2, n_units=7):
    torch.manual_seed(1)
    attention, units = EventAttention(8, n_latents=n_latents, n_heads=2), torch.randn(n_units, 8) * 2
    with torch.no_grad():
        attention.queries.normal_()
        attention.rest.normal_()
    return attention, units


def pool_of(attention, units):
    with torch.inference_mode():
        return EventPool(attention.table(units).numpy(), attention.rest.exp().flatten().numpy())


@pytest.fixture(scope="module")
def fitted():
    decoder = Possm(**SMALL)
    decoder.fit([reaching(1, starts=(0, 150)), reaching(2)], [reaching(3)])
    return decoder


def softmax_over_tokens(attention, tokens):
    """Attention over (n_tokens, width) and the token that rests, as `torch.nn.functional` computes it."""
    q = attention.queries.transpose(0, 1)
    k, v = (f(tokens).view(len(tokens), 2, 4).transpose(0, 1) for f in (attention.keys, attention.values))
    logits = 8 * torch.tanh(q @ k.transpose(1, 2) / 8)
    logits = torch.cat([logits, attention.rest.T[..., None]], dim=2)
    values = torch.cat([v, torch.zeros(2, 1, 4)], dim=1)
    return (logits.softmax(dim=2) @ values).transpose(0, 1).flatten()


@pytest.mark.parametrize("counts", [[0, 3, 1, 0, 0, 12, 1], [1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 5, 0, 0]])
def test_a_unit_weighted_by_its_count_is_as_many_equal_tokens_in_a_softmax(counts):
    attention, units = attention_and_units()
    tokens = units.repeat_interleave(torch.tensor(counts), dim=0)
    expected = softmax_over_tokens(attention, tokens).detach().numpy()
    np.testing.assert_allclose(pool_of(attention, units)(np.array(counts, np.float32)), expected, atol=1e-5)


def test_the_batch_pools_what_one_bin_after_the_other_is_pooled_to():
    attention, units = attention_and_units()
    counts = np.random.default_rng(0).poisson(0.7, (20, 7)).astype(np.float32)
    with torch.inference_mode():
        batch = attention.pooled(torch.from_numpy(counts) @ attention.table(units)).numpy()
    np.testing.assert_allclose(batch, [pool_of(attention, units)(row) for row in counts], atol=1e-5)


def test_a_bin_without_spikes_is_pooled_to_zero():
    np.testing.assert_array_equal(pool_of(*attention_and_units())(np.zeros(7, np.float32)), np.zeros(16))


def test_however_many_spikes_the_pooled_values_stay_among_those_of_the_tokens():
    attention, units = attention_and_units()
    pooled = pool_of(attention, units)(np.full(7, 1e6, np.float32))
    assert np.abs(pooled).max() <= attention.values(units).abs().max()


def test_units_in_another_order_with_their_embeddings_change_nothing(fitted):
    test, order = reaching(4), np.random.default_rng(0).permutation(12)
    state = fitted.state()
    for name in ("units", "mean"):
        state[f"network.ports.session-s.{name}"] = state[f"network.ports.session-s.{name}"][order]
    shuffled = dataclasses.replace(fitted)
    shuffled.restore(state, [test.session])
    permuted = Inputs({"spikes": test.inputs.streams["spikes"][:, order]}, test.inputs.starts, 0.05)
    expected = fitted.predict(test.inputs, test.session)
    np.testing.assert_allclose(shuffled.predict(permuted, test.session), expected, rtol=1e-4, atol=1e-4)


def test_predict_equals_step(fitted):
    test = reaching(4, starts=(0, 100))
    test.inputs.streams["spikes"][40:60] = 0
    batch = fitted.predict(test.inputs, test.session)
    np.testing.assert_allclose(batch, stream(fitted, test.inputs, test.session), rtol=1e-5, atol=1e-4)


def test_it_decodes(fitted):
    assert r2(fitted, reaching(4)) > 0.5


def test_a_session_that_was_never_seen_is_refused_with_its_channels(fitted):
    with pytest.raises(HarnessError, match="7 channels and outputs-x,y was neither fitted nor adapted"):
        fitted.reset(reaching(1, name="other", n_units=7).session)


def test_a_width_that_heads_cannot_share_is_refused():
    with pytest.raises(HarnessError, match="width 9 cannot be cut into 2 equal heads"):
        Possm(**(SMALL | {"width": 9})).fit([reaching(1)], [])


@pytest.fixture(scope="module")
def pretrained():
    """What several sessions with other units taught, and their descriptions."""
    decoder = Possm(**SMALL)
    known = [reaching(i, name=f"k{i}", mixing=i, n_units=10 + i, n_bins=800) for i in range(4)]
    decoder.pretrain(known)
    return decoder.state(), [r.session for r in known]


def test_fit_after_pretraining_keeps_this_session_alone(pretrained):
    decoder, new = Possm(**SMALL), reaching(20, name="new", mixing=20)
    decoder.restore(*pretrained)
    decoder.fit([new], [reaching(21, name="new", mixing=20)])
    assert {k.split(".")[2] for k in decoder.state() if ".ports." in k} == {"session-new"}


def adapted(pretrained, minutes, **options):
    """What adapting makes of it without the last stage, in which all weights move."""
    decoder = Possm(**(SMALL | {"updates": 0, "learning_rate": 2e-2} | options))
    decoder.restore(*pretrained)
    decoder.adapt(minutes)
    return decoder


def test_new_units_are_placed_with_all_that_is_shared_held_still(pretrained):
    after = adapted(pretrained, reaching(30, name="new", mixing=30, n_units=9)).state()
    shared = [k for k in after if k.startswith("network.") and ".ports." not in k]
    assert len(shared) == 11
    for name in shared:
        np.testing.assert_array_equal(after[name], pretrained[0][name])


def test_embeddings_of_new_units_are_learned_from_a_few_minutes(pretrained):
    minutes, test = reaching(30, name="new", mixing=30), reaching(31, name="new", mixing=30)
    guessed, learned = (adapted(pretrained, minutes, read_in_updates=n) for n in (0, 60))
    assert r2(guessed, test) < 0.2 < 0.4 < r2(learned, test)
