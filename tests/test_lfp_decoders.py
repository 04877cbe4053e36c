"""Decoders of field potentials: planted answers, their own closed forms, and streaming from the artefact."""

import dataclasses
import functools

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from baselines.choose import mean_r2
from baselines.lfp.decoders import LfpKalman, LfpRidge, LfpWiener
from baselines.lfp.lstm import LfpLstm, LfpLstmRaw
from harness import Decoder, Inputs, Recording, SessionInfo, StreamInfo
from harness.judge import artifact
from harness.judge.conformance import run_checks
from harness.judge.count.in_numpy import NumpyCounter
from harness.judge.count.tally import Tally
from harness.registry import find

MOMENT = {"updates": 60, "hidden": 12, "input_dropout": 0.0, "dropout": 0.0}
DECODERS = [
    LfpRidge(),
    LfpWiener(),
    LfpKalman(n_components=12, lead_s=0.0, n_hidden=0),
    LfpLstm(**MOMENT, n_components=12),
    LfpLstmRaw(**MOMENT),
]
FEATURES = 10 * 6 + 7 * 14**2 * 6
"""Products of a bin: ten samples into the average of six channels, seven filters of 4 + 10 rows."""
COMPONENTS = FEATURES + 12 * (1 + 7) * 6
PRODUCTS = {
    LfpRidge: 10 * 6,
    LfpWiener: FEATURES + (4 + 7) * 6,
    LfpKalman: COMPONENTS + 4 * 12 + 3 * 4**2 + 4,  # the state holds the output and three running means
    LfpLstm: COMPONENTS + 4 * 12 * (12 + 12) + 12,
    LfpLstmRaw: 4 * 12 * (6 + 12) + 12,
}
EACH = pytest.mark.parametrize("decoder", DECODERS, ids=lambda d: type(d).__name__)


def potentials(seed, *, n_bins=2500, n_channels=6, starts=(0,), slow_uv=8):
    """A slow output drives the potential of all channels and the amplitude of their high gamma; the first is dead.

    slow_uv: How large that potential is; at 0 the output is in the amplitude alone.
    """
    rng, mixing = np.random.default_rng(seed), np.random.default_rng(0)
    slow = np.convolve(rng.normal(size=n_bins + 200), np.hanning(200), "valid")[:n_bins]
    slow /= slow.std()
    fine = np.repeat(slow, 10)[:, None]
    wave = np.sin(2 * np.pi * rng.uniform(80, 105, n_channels) * np.arange(10 * n_bins)[:, None] / 1000)
    wide = slow_uv * fine * mixing.normal(size=n_channels) + 6 * np.exp(0.5 * fine) * wave
    wide += 3 * rng.normal(size=wide.shape) + 100
    wide[:, 0] = 0
    wide = wide.reshape(n_bins, 10, n_channels).astype(np.float32)
    streams = {"lfp": wide[:, -1:] - 100, "lfp_wide": wide}
    about = {"lfp": StreamInfo(n_channels, 1, 100.0, "uV"), "lfp_wide": StreamInfo(n_channels, 10, 1000.0, "uV")}
    session = SessionInfo("s", "monkey", about, 0.01, ("x",))
    inputs = Inputs(streams, np.isin(np.arange(n_bins), starts), 0.01)
    return Recording(session, inputs, slow[:, None].astype(np.float32), np.ones(n_bins, bool))


def given_to(decoder, *args, **options):
    return potentials(*args, **options).with_streams(decoder.inputs)


@functools.cache
def fitted(i):
    decoder = dataclasses.replace(DECODERS[i])
    decoder.fit([given_to(decoder, 1, starts=(0, 400))], [given_to(decoder, 2, n_bins=800)])
    return decoder


@EACH
def test_what_moves_the_potentials_is_found(decoder):
    test = given_to(decoder, 3)
    answers = fitted(DECODERS.index(decoder)).predict(test.inputs, test.session)
    assert mean_r2(test.targets, answers) > 0.5


@EACH
def test_streaming_from_the_artefact_equals_the_batch(decoder):
    made = fitted(DECODERS.index(decoder))
    test, fresh = given_to(decoder, 3, n_bins=300, starts=(0, 130)), dataclasses.replace(decoder)
    fresh.restore(artifact.unpack(artifact.pack(made.state())), [test.session])
    stream = Decoder.predict(fresh, test.inputs, test.session)
    batch = made.predict(test.inputs, test.session)
    assert np.abs(stream - batch).max() <= 1e-4 * np.abs(batch).max()
    np.testing.assert_allclose(made.predict(test.inputs[:70], test.session), batch[:70], atol=1e-4)


@EACH
def test_every_operation_of_a_bin_can_be_counted(decoder):
    made, test = fitted(DECODERS.index(decoder)), given_to(decoder, 3, n_bins=3)
    with NumpyCounter() as counter:
        fresh, tally = dataclasses.replace(decoder), Tally()
        fresh.restore(counter.wrap(made.state(), learned=True), [test.session])
        fresh.reset(test.session)
        for _, bin in test.inputs.bins():
            given = counter.wrap(bin, learned=False)
            with counter.on(tally):
                fresh.step(given)
    assert tally.dense == 3 * PRODUCTS[type(decoder)]


def test_ridge_is_scikit_learns_on_ten_frames():
    train, test = given_to(LfpRidge(), 1), given_to(LfpRidge(), 3)
    decoder = LfpRidge(alpha=5.0, refit=False)
    decoder.fit([train], [])
    lfp = train.inputs.streams["lfp"][:, 0].astype(float)
    mean, sd = lfp.mean(axis=0), np.where(lfp.std(axis=0) > 0, lfp.std(axis=0), np.inf)

    def frames(recording):
        rows = (recording.inputs.streams["lfp"][:, 0] - mean) / sd
        return np.hstack([np.vstack([np.zeros((i, 6)), rows])[: len(rows)] for i in range(10)])

    expected = Ridge(alpha=5.0).fit(frames(train), train.targets).predict(frames(test)).reshape(-1, 1)
    np.testing.assert_allclose(decoder.predict(test.inputs, test.session), expected, atol=2e-4)


@pytest.mark.parametrize("bin_s, n_frames", [(0.01, 10), (0.02, 10), (0.05, 3)])
def test_history_is_counted_in_frames_whatever_their_length(bin_s, n_frames):
    train = given_to(LfpRidge(), 1, n_bins=200)
    train = dataclasses.replace(train, session=dataclasses.replace(train.session, bin_s=bin_s))
    decoder = LfpRidge(n_frames=n_frames)
    decoder.fit([train], [])
    assert decoder.state()["weights_"].shape == (1, 6 * n_frames)


def test_power_that_carries_the_output_helps_where_the_potential_does_not():
    scores = {}
    for decoder in (LfpRidge(), LfpWiener()):
        parts = [given_to(decoder, seed, slow_uv=0) for seed in (1, 2, 3)]
        decoder.fit(parts[:1], parts[1:2])
        scores[type(decoder)] = mean_r2(parts[2].targets, decoder.predict(parts[2].inputs, parts[2].session))
    assert scores[LfpWiener] > 0.6 > 0.3 > scores[LfpRidge]


def test_the_contract_is_kept():
    results = run_checks(find("baselines/lfp/decoders.py:LfpWiener"), {})
    assert [(r.name, r.message) for r in results if r.status == "failed"] == []
    assert sum(r.status == "ok" for r in results) >= 20
