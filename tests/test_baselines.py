"""The decoders against independent truths: closed forms, other libraries, slow loops, planted answers."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from baselines.choose import mean_r2
from baselines.features import History, Standard, stacked
from baselines.gru import Gru, GruCell
from baselines.kalman import Kalman
from baselines.lstm import Lstm, LstmCell
from baselines.mlp import Mlp
from baselines.ridge import Moments
from baselines.shifted_labels import ShiftedLabels
from baselines.train_mean import TrainMean
from baselines.wiener import Wiener
from baselines.wiener_cascade import WienerCascade
from harness import HarnessError, Inputs, Recording, SessionInfo, StreamInfo

NETWORKS = {"hidden": 12, "updates": 30}
DECODERS = [
    TrainMean(),
    ShiftedLabels(),
    Wiener(),
    WienerCascade(),
    Kalman(),
    Kalman(steady_state=True),
    Mlp(**NETWORKS),
    Gru(**NETWORKS),
    Lstm(**NETWORKS),
]
NAMES = [f"{type(d).__name__}{'-steady' if getattr(d, 'steady_state', False) else ''}" for d in DECODERS]


def recording(counts, targets, *, starts=(0,), scored=None, bin_s=0.05):
    n_bins = len(counts)
    outputs = tuple(f"out{i}" for i in range(targets.shape[1]))
    session = SessionInfo("s", "monkey", {"spikes": StreamInfo(counts.shape[1])}, bin_s, outputs)
    inputs = Inputs({"spikes": counts.astype(np.float32)}, np.isin(np.arange(n_bins), starts), bin_s)
    scored = np.ones(n_bins, bool) if scored is None else scored
    return Recording(session, inputs, targets.astype(np.float32), scored)


def reaching(seed, *, n_bins=400, n_units=12, n_outputs=2, **options):
    """Poisson counts that follow smooth outputs, the first unit silent."""
    rng = np.random.default_rng(seed)
    targets = np.zeros((n_bins, n_outputs))
    for t in range(1, n_bins):
        targets[t] = 0.9 * targets[t - 1] + rng.normal(size=n_outputs)
    loadings = np.random.default_rng(0).normal(size=(n_outputs, n_units))
    counts = rng.poisson(np.exp(0.5 + 0.3 * targets @ loadings / np.sqrt(n_outputs)).clip(0, 40))
    counts[:, 0] = 0
    return recording(counts, 10 + 3 * targets, **options)


def clone(decoder):
    return dataclasses.replace(decoder)


def stream(decoder, inputs, session):
    return np.stack([decoder.step(b) for starts, b in inputs.bins() if not starts or decoder.reset(session) is None])


def r2(decoder, test):
    return mean_r2(test.targets[test.scored], decoder.predict(test.inputs, test.session)[test.scored])


@pytest.fixture(scope="module", params=range(len(DECODERS)), ids=NAMES)
def fitted(request):
    decoder = clone(DECODERS[request.param])
    decoder.fit([reaching(1, starts=(0, 150)), reaching(2)], [reaching(3)])
    return decoder


def test_a_restored_decoder_answers_like_the_fitted_one(fitted):
    test, fresh = reaching(4, starts=(0, 100)), clone(fitted)
    fresh.restore({k: v.copy() for k, v in fitted.state().items()}, [test.session])
    np.testing.assert_array_equal(fresh.predict(test.inputs, test.session), fitted.predict(test.inputs, test.session))


def test_everything_learned_is_a_finite_number_of_real_arrays(fitted):
    state = fitted.state()
    assert state and all(type(v) is np.ndarray and v.dtype.kind == "f" for v in state.values())
    assert all(not np.isnan(v).any() for v in state.values())


def test_predict_equals_step(fitted):
    test = reaching(4, starts=(0, 100))
    batch = fitted.predict(test.inputs, test.session)
    np.testing.assert_allclose(batch, stream(fitted, test.inputs, test.session), rtol=1e-5, atol=1e-4)
    assert batch.shape == (400, 2)


def test_reset_forgets(fitted):
    test = reaching(4)
    fitted.predict(reaching(5).inputs, test.session)
    after_another_life = stream(fitted, test.inputs[:50], test.session)
    np.testing.assert_array_equal(after_another_life, stream(fitted, test.inputs[:50], test.session))


def test_the_past_does_not_depend_on_the_future(fitted):
    test = reaching(4)
    whole = fitted.predict(test.inputs, test.session)
    np.testing.assert_allclose(fitted.predict(test.inputs[:60], test.session), whole[:60], atol=1e-4)


def test_answers_do_not_share_memory_with_the_decoder(fitted):
    test = reaching(4)
    fitted.reset(test.session)
    bins = [b for _, b in test.inputs[:3].bins()]
    first = fitted.step(bins[0])
    kept = first.copy()
    fitted.step(bins[1])
    np.testing.assert_array_equal(first, kept)


def test_the_same_seed_gives_the_same_weights(fitted):
    again = clone(fitted)
    again.fit([reaching(1, starts=(0, 150)), reaching(2)], [reaching(3)])
    for name, value in fitted.state().items():
        np.testing.assert_array_equal(again.state()[name], value)


def test_silence_and_a_burst_are_answered_with_finite_numbers(fitted):
    session = reaching(1).session
    fitted.reset(session)
    for counts in (np.zeros(12), np.full(12, 1e4), np.zeros(12)):
        assert np.isfinite(fitted.step({"spikes": counts.astype(np.float32)})).all()


@pytest.mark.parametrize("decoder", DECODERS, ids=NAMES)
@pytest.mark.parametrize("n_units, n_outputs, n_bins", [(1, 1, 300), (200, 7, 60)])
def test_odd_sizes_unscored_bins_and_missing_targets_are_no_problem(decoder, n_units, n_outputs, n_bins):
    train = reaching(1, n_bins=n_bins, n_units=n_units, n_outputs=n_outputs, starts=(0, 25))
    train.scored[:5] = train.scored[40:44] = False
    train.targets[~train.scored] = np.nan
    decoder = clone(decoder)
    decoder.fit([train], [])
    answers = decoder.predict(train.inputs, train.session)
    assert answers.shape == (n_bins, n_outputs) and np.isfinite(answers).all()


@pytest.mark.parametrize("decoder", DECODERS, ids=NAMES)
def test_nothing_to_learn_from_is_an_error_that_says_so(decoder):
    empty = reaching(1, scored=np.zeros(400, bool))
    with pytest.raises(HarnessError, match="no scored bin"):
        clone(decoder).fit([empty], [empty])


@pytest.mark.parametrize("decoder", DECODERS[2:6], ids=NAMES[2:6])
def test_decoders_that_look_at_the_counts_beat_the_floor(decoder):
    decoder = clone(decoder)
    decoder.fit([reaching(i) for i in range(4)], [reaching(8)])
    assert r2(decoder, reaching(9)) > 0.6


@pytest.mark.parametrize("decoder", [DECODERS[2], DECODERS[4], DECODERS[7]], ids=["Wiener", "Kalman", "Gru"])
def test_sessions_with_other_channels_are_refused_with_their_numbers(decoder):
    with pytest.raises(HarnessError, match=r"\[7, 12\] channels"):
        clone(decoder).fit([reaching(1), reaching(2, n_units=7)], [])


def test_the_train_mean_is_the_mean_of_scored_targets():
    a, b = reaching(1, scored=np.arange(400) < 10), reaching(2)
    decoder = TrainMean()
    decoder.fit([a, b], [])
    expected = np.concatenate([a.targets[:10], b.targets]).astype(float).mean(axis=0)
    np.testing.assert_allclose(decoder.step({"spikes": np.zeros(12)}), expected, rtol=1e-12)


def test_shifted_labels_score_near_zero_where_the_wiener_filter_does_well():
    train, validation = [reaching(i, n_bins=1500) for i in (1, 2)], [reaching(3, n_bins=1500)]
    floor, test = ShiftedLabels(), reaching(4, n_bins=1500)
    floor.fit(train, validation)
    assert -0.15 < r2(floor, test) < 0.05


def test_the_history_holds_the_last_bins_newest_first_and_zeros_before_the_start():
    history = History(3, 2)
    rows = np.arange(1, 11, dtype=np.float32).reshape(5, 2)
    seen = [history.push(row).copy() for row in rows]
    np.testing.assert_array_equal(seen[0], [1, 2, 0, 0, 0, 0])
    np.testing.assert_array_equal(seen[4], [9, 10, 7, 8, 5, 6])


def test_stacked_rows_are_what_the_history_saw():
    rows = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    starts = np.isin(np.arange(40), (0, 7, 8, 30))
    history, expected = History(5, 3), []
    for row, start in zip(rows, starts, strict=True):
        history = History(5, 3) if start else history
        expected.append(history.push(row).copy())
    got = np.concatenate(list(stacked(rows, starts, 5, wanted=np.arange(40))))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("share", [1.0, 0.7])
def test_the_gram_matrix_by_shifting_equals_the_one_by_multiplying(share):
    rng = np.random.default_rng(0)
    r = reaching(1, starts=(0, 3, 50, 51, 200), scored=rng.random(400) <= share)
    standard = Standard.of([r.inputs.streams["spikes"]], "sqrt")
    moments = Moments.of([r], stream="spikes", standard=standard, n_bins=6)
    rows = standard(r.inputs.streams["spikes"])
    x = np.concatenate(list(stacked(rows, r.inputs.starts, 6, wanted=np.flatnonzero(r.scored)))).astype(float)
    np.testing.assert_allclose(moments.gram, x.T @ x, atol=1e-9)


def test_the_wiener_filter_is_ridge_regression_on_stacked_history():
    train, test = reaching(1, starts=(0, 120)), reaching(2)
    decoder = Wiener(history_s=0.2, alpha=30.0, refit=False)
    decoder.fit([train], [test])

    root = np.sqrt(train.inputs.streams["spikes"])
    live = root.std(axis=0) > 0

    def features(r):
        z = (np.sqrt(r.inputs.streams["spikes"]) - root.mean(axis=0))[:, live] / root.std(axis=0)[live]
        lags = [np.zeros_like(z) for _ in range(4)]
        for segment in r.inputs.segments():
            for lag in range(4):
                lags[lag][segment][lag:] = z[segment][: len(z[segment]) - lag]
        return np.concatenate(lags, axis=1)

    expected = Ridge(alpha=30.0).fit(features(train), train.targets).predict(features(test))
    np.testing.assert_allclose(decoder.predict(test.inputs, test.session), expected, atol=1e-4)


def test_alpha_is_chosen_on_validation():
    noise = [
        recording(np.random.default_rng(i).poisson(3, (150, 30)), np.random.default_rng(i + 9).normal(size=(150, 1)))
        for i in range(2)
    ]
    timid, bold = Wiener(), Wiener(alpha=1.0)
    for decoder in (timid, bold):
        decoder.fit(noise[:1], noise[1:])
    assert np.abs(timid.weights_).sum() < 0.2 * np.abs(bold.weights_).sum()


def test_the_cascade_recovers_a_planted_cubic():
    rng = np.random.default_rng(0)
    counts = rng.poisson(9, (4000, 4))
    line = (counts - 9) @ np.array([0.2, 0.1, -0.1, 0.15])
    bent = np.stack([line**3 + line, -line], axis=1)
    train, validation, test = (
        recording(counts[s], bent[s]) for s in (slice(2000), slice(2000, 3000), slice(3000, None))
    )
    linear, cascade = (cls(history_s=0.05, transform="none") for cls in (Wiener, WienerCascade))
    for decoder in (linear, cascade):
        decoder.fit([train], [validation])
    assert r2(linear, test) < 0.97 and r2(cascade, test) > 0.995


def simulate_linear_gaussian(rng, *, n_bins, n_units):
    """x_t = A x_{t-1} + w, y_t = C x_t + q; returns recording and the parameters."""
    parameters = np.random.default_rng(7)
    a = 0.95 * np.array([[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]])
    w, c = 0.1 * np.eye(2), parameters.normal(size=(n_units, 2))
    mixing = 2.5 * parameters.normal(size=(n_units, n_units)) / np.sqrt(n_units) + 2 * np.eye(n_units)
    x = np.zeros((n_bins, 2))
    for t in range(1, n_bins):
        x[t] = a @ x[t - 1] + np.sqrt(0.1) * rng.normal(size=2)
    y = x @ c.T + rng.normal(size=(n_bins, n_units)) @ mixing.T
    return recording(y, x), (a, w, c, mixing @ mixing.T)


def textbook_kalman_filter(y, a, w, c, q):
    """Predict, gain, update: the equations as they stand in every textbook, with the true parameters."""
    x, p, out = np.zeros(len(a)), np.eye(len(a)), []
    for observed in y:
        x, p = a @ x, a @ p @ a.T + w
        gain = p @ c.T @ np.linalg.inv(c @ p @ c.T + q)
        x, p = x + gain @ (observed - c @ x), (np.eye(len(a)) - gain @ c) @ p
        out.append(x)
    return np.array(out)


@pytest.mark.parametrize(
    "options", [{}, {"steady_state": True}, {"lead_s": 0.0, "n_hidden": 0, "noise": 1.0, "memory_s": ()}]
)
def test_the_kalman_filter_reaches_the_optimum_of_a_linear_gaussian_system(options):
    rng = np.random.default_rng(3)
    parts = [simulate_linear_gaussian(rng, n_bins=n, n_units=10) for n in (6000, 1500, 3000)]
    train, validation, test = (r for r, _ in parts)
    decoder = Kalman(transform="none", **options)
    decoder.fit([train], [validation])
    optimum = mean_r2(test.targets, textbook_kalman_filter(test.inputs.streams["spikes"], *parts[2][1]))
    assert 0.5 < optimum < 0.95
    assert r2(decoder, test) > optimum - 0.01


def test_a_lead_longer_than_the_scored_stretches_is_not_tried():
    decoder = Kalman()
    decoder.fit([reaching(1, scored=np.arange(400) % 4 > 0)], [reaching(2)])
    assert np.flatnonzero(decoder.readout_.any(axis=0)).tolist() == [0, 1]


def test_single_scored_bins_are_an_error_that_tells_the_way_out():
    with pytest.raises(HarnessError, match="2 scored bins in a row"):
        Kalman().fit([reaching(1, scored=np.arange(400) % 2 > 0)], [])


def test_the_settled_gain_is_the_limit_of_the_exact_one():
    exact, test = Kalman(memory_s=(0.3,)), reaching(2)
    exact.fit([reaching(1, n_bins=800)], [reaching(3)])
    steady = Kalman(memory_s=(0.3,), steady_state=True)
    steady.restore(exact.state(), [])
    difference = stream(exact, test.inputs, test.session) - stream(steady, test.inputs, test.session)
    assert np.abs(difference[0]).max() > 1e-3
    assert np.abs(difference[-50:]).max() < 1e-3


@pytest.mark.parametrize("layer, cell", [(torch.nn.GRU, GruCell), (torch.nn.LSTM, LstmCell)])
def test_a_numpy_cell_computes_what_torch_computes(layer, cell):
    torch.manual_seed(0)
    network = layer(5, 8)
    rows = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
    ours = cell({k: v.detach().numpy() for k, v in network.named_parameters()})
    expected = network(torch.from_numpy(rows))[0].detach().numpy()
    np.testing.assert_allclose([ours.advance(row) for row in rows], expected, atol=1e-6)


def last_cue(seed):
    """Two cue units tell a sign now and then; the target is the sign that was told last."""
    rng = np.random.default_rng(seed)
    counts, target = np.zeros((600, 2)), np.zeros((600, 1))
    sign = 0
    for t in range(600):
        if t % 15 == 0:
            sign = rng.integers(2)
            counts[t, sign] = 9
        target[t] = 2 * sign - 1
    return recording(counts, target)


@pytest.mark.parametrize("network", [Gru, Lstm])
def test_a_recurrent_network_learns_to_remember_longer_than_a_history(network):
    decoder = network(hidden=16, updates=150, window_bins=50, batch_size=8, input_dropout=0.0, learning_rate=2e-2)
    decoder.fit([last_cue(1), last_cue(2)], [last_cue(3)])
    forgetful = Wiener(history_s=0.2)
    forgetful.fit([last_cue(1), last_cue(2)], [last_cue(3)])
    assert r2(decoder, last_cue(4)) > 0.9 > 0.5 > r2(forgetful, last_cue(4))
