"""MINT against all paths written out, nearest neighbours from another library, and reaches that repeat."""

import itertools

import numpy as np
import pytest
from scipy.stats import poisson
from sklearn.neighbors import NearestNeighbors

from baselines.choose import mean_r2, validation_r2
from baselines.mint import JUMPS, TEMPERATURES, Mint, around, evenly_spread, similar_means
from harness import HarnessError, Inputs, Recording, SessionInfo, StreamInfo

RNG = np.random.default_rng


def recording(counts, targets, *, scored=None, starts=(0,)):
    session = SessionInfo("s", "m", {"spikes": StreamInfo(counts.shape[1])}, 0.05, ("x", "y"))
    inputs = Inputs({"spikes": counts.astype(np.float32)}, np.isin(np.arange(len(counts)), starts), 0.05)
    scored = np.ones(len(counts), bool) if scored is None else scored
    return Recording(session, inputs, targets.astype(np.float32), scored)


def circling(seed, *, n_bins=600):
    """Turns at changing speed; each unit fires around an angle of its own."""
    rng = RNG(seed)
    angle = np.cumsum(0.25 + 0.1 * rng.normal(size=n_bins))
    preferred = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    counts = rng.poisson(2 * np.exp(3 * (np.cos(angle[:, None] - preferred) - 1)))
    return recording(counts, np.stack([np.cos(2 * angle), np.sin(2 * angle)], axis=1))


def by_hand(rates, behaviour, follows, counts, *, jump, temperature):
    """Posterior mean at the last bin: the sum over every path of states, with Poisson likelihoods from SciPy."""
    n = len(rates)
    weight = np.zeros(n)
    likelihood = np.prod(poisson.pmf(counts[:, None], rates), axis=2) ** (1 / temperature)
    for path in itertools.product(range(n), repeat=len(counts)):
        p = likelihood[0, path[0]]
        for t, (a, b) in enumerate(itertools.pairwise(path), start=1):
            onward = a + 1 < n and follows[a + 1]
            p *= ((1 - jump) * (b == a + 1) + jump / n if onward else 1 / n) * likelihood[t, b]
        weight[path[-1]] += p
    return weight @ behaviour / weight.sum()


@pytest.mark.parametrize("jump, temperature", [(0.2, 1.0), (1.0, 3.0), (0.01, 2.0)])
def test_the_answer_is_the_posterior_mean_over_all_paths(jump, temperature):
    rng = RNG(1)
    rates, behaviour = rng.uniform(0.5, 4, (5, 3)), rng.normal(size=(5, 2))
    counts, follows = rng.poisson(2, (4, 3)), np.array([False, True, True, False, True])
    decoder = Mint()
    decoder.behaviour_, decoder.follows_, decoder.expected_ = behaviour, follows, rates.sum(axis=1)
    decoder.log_ratios_, decoder.jump_, decoder.temperature_ = np.log(rates), jump, temperature
    decoder.reset(recording(counts, np.zeros((4, 2))).session)
    answers = [decoder.step({"spikes": row.astype(np.float32)}) for row in counts]
    for n_seen in (1, 4):
        expected = by_hand(rates, behaviour, follows, counts[:n_seen], jump=jump, temperature=temperature)
        np.testing.assert_allclose(answers[n_seen - 1], expected, rtol=1e-6)


def test_rates_are_means_over_the_nearest_neighbours_in_behaviour():
    windows, counts = RNG(0).normal(size=(700, 3)).astype(np.float32), RNG(1).poisson(2, (700, 4))
    kept = np.arange(0, 700, 3)
    nearest = NearestNeighbors(n_neighbors=6).fit(windows).kneighbors(windows[kept], return_distance=False)
    got = similar_means(windows, counts, kept, n_similar=6)
    np.testing.assert_allclose(got, counts[nearest].mean(axis=1))


def test_a_window_holds_the_bins_before_and_after_and_repeats_the_ends():
    got = around(np.arange(4.0)[:, None], 1)
    np.testing.assert_array_equal(got, [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3]])


@pytest.mark.parametrize("most, n_expected", [(1000, 1000), (2000, 1000), (500, 500), (250, 200)])
def test_the_library_is_as_large_as_allowed_and_spread_over_the_recording(most, n_expected):
    kept = evenly_spread([400, 600], most)
    assert len(set(kept.tolist())) == len(kept) == n_expected
    assert kept[-1] == 999


def test_a_trajectory_ends_where_a_segment_a_gap_or_a_block_does():
    train = circling(1)
    train.inputs.starts[100] = True
    train.scored[200:210] = False
    decoder = Mint(refit=False)
    decoder.fit([train], [])
    assert np.flatnonzero(~decoder.follows_).tolist() == [0, 100, 200]
    small = Mint(refit=False, max_states=200)
    small.fit([train], [])
    assert np.flatnonzero(~small.follows_).tolist() == [0, 100]


def test_it_follows_a_movement_by_its_spikes_and_not_without_them():
    decoder, test = Mint(), circling(9)
    decoder.fit([circling(i) for i in range(3)], [circling(8)])
    assert mean_r2(test.targets, decoder.predict(test.inputs, test.session)) > 0.8
    shuffled = Inputs({"spikes": RNG(0).permuted(test.inputs.streams["spikes"], axis=0)}, test.inputs.starts, 0.05)
    assert mean_r2(test.targets, decoder.predict(shuffled, test.session)) < 0.1


def test_silence_and_a_burst_are_answered_within_the_library():
    decoder = Mint(refit=False)
    decoder.fit([circling(1)], [])
    decoder.reset(circling(1).session)
    for counts in (np.zeros(20), np.full(20, 1e6), np.zeros(20), -np.ones(20)):
        answer = decoder.step({"spikes": counts.astype(np.float32)})
        assert np.isfinite(answer).all() and np.abs(answer).max() <= 1 + 1e-6


@pytest.mark.parametrize("given", [{"temperature": 4.0}, {}])
def test_the_options_chosen_together_are_the_best_of_those_tried_one_by_one(given):
    parts = [circling(0, n_bins=200)], [circling(8, n_bins=150)]
    parts[1][0].inputs.starts[60], parts[1][0].scored[100:120] = True, False
    chosen = Mint(refit=False, **given)
    chosen.fit(*parts)
    scores = {}
    for option in itertools.product([given["temperature"]] if given else TEMPERATURES, JUMPS):
        single = Mint(refit=False, temperature=option[0], jump=option[1])
        single.fit(*parts)
        scores[option] = validation_r2(single, parts[1])
    assert (chosen.temperature_, chosen.jump_) == max(scores, key=scores.get)


def test_where_behaviour_lies_does_not_change_what_is_similar():
    near, far = circling(1, n_bins=200), circling(1, n_bins=200)
    far.targets[:] += 10_000
    decoders = [Mint(refit=False), Mint(refit=False)]
    for decoder, train in zip(decoders, (near, far), strict=True):
        decoder.fit([train], [])
    # Targets are float32: at 10,000 they keep three decimals, so that a few neighbours change places.
    assert np.mean(np.isclose(decoders[0].log_ratios_, decoders[1].log_ratios_, atol=1e-3)) > 0.9


def test_adapting_makes_the_library_of_the_minutes_alone():
    decoder, fitted = Mint(jump=0.2), circling(1)
    decoder.fit([fitted], [])
    new = circling(5)
    minutes = recording(new.inputs.streams["spikes"][:, ::2], new.targets)
    decoder.adapt(minutes)
    later = circling(9)
    few = recording(later.inputs.streams["spikes"][:, ::2], later.targets)
    assert len(decoder.behaviour_) == 600
    assert mean_r2(few.targets, decoder.predict(few.inputs, few.session)) > 0.5
    with pytest.raises(HarnessError, match=r"20 channels and 2 outputs.* 10 channels and 2 outputs"):
        decoder.reset(later.session)


def test_no_jump_at_all_is_refused():
    with pytest.raises(HarnessError, match="jump is 0.0; give a probability above 0"):
        Mint(jump=0.0).fit([circling(1)], [])


def test_recordings_with_other_channels_are_refused_with_their_numbers():
    whole = circling(1)
    few = recording(whole.inputs.streams["spikes"][:, :7], whole.targets)
    with pytest.raises(HarnessError, match=r"\[7, 20\] channels"):
        Mint().fit([whole, few], [])


def test_nothing_to_learn_from_is_an_error_that_says_so():
    whole = circling(1)
    with pytest.raises(HarnessError, match="no scored bin"):
        Mint().fit([recording(whole.inputs.streams["spikes"], whole.targets, scored=np.zeros(600, bool))], [])
