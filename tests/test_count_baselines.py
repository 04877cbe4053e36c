"""The baselines' steps, counted: the same answers to the bit, and the operations of their closed forms."""

from collections.abc import Iterator

import numpy as np
import pytest

from baselines.gru import Gru
from baselines.kalman import Kalman
from baselines.lstm import Lstm
from baselines.mlp import Mlp
from baselines.train_mean import TrainMean
from baselines.wiener import Wiener
from baselines.wiener_cascade import WienerCascade
from harness.judge.conformance_data import make_data
from harness.judge.count.in_numpy import NumpyCounter
from harness.judge.count.tally import Tally, UncountedOperation

SMALL = {"hidden": 8, "updates": 2}
BASELINES = [
    TrainMean(),
    Wiener(),
    WienerCascade(),
    Kalman(steady_state=True),
    Mlp(**SMALL),
    Gru(**SMALL),
    Lstm(**SMALL),
]
N_BINS = 40


@pytest.fixture(scope="module", params=BASELINES, ids=lambda d: type(d).__name__)
def fitted(request):
    data = make_data(request.param.inputs or ("spikes",))
    request.param.fit([data.train], [data.validation])
    return request.param, data.test


def restored(decoder, session, wrap=lambda arrays: arrays):
    fresh = type(decoder)(**decoder.parameters())
    fresh.restore(wrap({name: np.array(value) for name, value in decoder.state().items()}), [session])
    fresh.reset(session)
    return fresh


def streamed(decoder, test, *, every=1) -> Iterator[tuple[np.ndarray, Tally]]:
    """Answers of a decoder, and what was counted in one bin of `every`."""
    with NumpyCounter() as counter:
        fresh = restored(decoder, test.session, lambda arrays: counter.wrap(arrays, learned=True))
        for k, (_, bin) in enumerate(test.inputs[:N_BINS].bins()):
            tally, given = Tally(), counter.wrap(bin, learned=False)
            if k % every:
                yield fresh.step(given), tally
                continue
            with counter.on(tally):
                answer = fresh.step(given)
                counter.check_answer(answer)
            yield answer, tally


@pytest.mark.parametrize("every", [1, 3])
def test_answers_are_the_same_bits_with_counting_and_without(fitted, every):
    decoder, test = fitted
    plain = restored(decoder, test.session)
    expected = [plain.step(bin) for _, bin in test.inputs[:N_BINS].bins()]
    answers = [answer for answer, _ in streamed(decoder, test, every=every)]
    np.testing.assert_array_equal(np.array(answers), np.array(expected))


def closed_form(decoder, n_units, n_outputs) -> tuple[int, int]:
    """Contractions with zeros, and element-wise products, of one bin.

    One channel is silent in training, and the product with its gain of 0 is not effective. A GRU has r * h and, as
    h = n + z (h - n), one product more for each unit; an LSTM has f * c, i * g and o * tanh(c).
    """
    gain, scale, hidden = n_units - 1, n_outputs, getattr(decoder, "hidden", 0)
    if isinstance(decoder, TrainMean):
        return 0, 0
    if isinstance(decoder, Kalman):
        declared = decoder.cost(None)
        return declared.macs_per_bin, declared.elementwise_per_bin - 1
    if isinstance(decoder, Gru):
        return 3 * hidden * (n_units + hidden) + hidden * n_outputs, gain + scale + 2 * hidden
    if isinstance(decoder, Lstm):
        return 4 * hidden * (n_units + hidden) + hidden * n_outputs, gain + scale + 3 * hidden
    if isinstance(decoder, Mlp):
        return sum(w.size for name, w in decoder.weights().items() if name.endswith("weight")), gain + scale
    bend = n_outputs * (decoder.degree + 1) if isinstance(decoder, WienerCascade) else 0
    return decoder.weights_.size, gain + bend


def test_a_step_of_a_baseline_costs_its_closed_form(fitted):
    decoder, test = fitted
    *_, (_, tally) = streamed(decoder, test)
    expected = closed_form(decoder, test.inputs.streams["spikes"].shape[1], len(test.session.outputs))
    assert (tally.dense, tally.elementwise) == expected


def test_effective_products_of_a_wiener_filter_are_those_of_a_slow_loop():
    data, decoder = make_data(("spikes",)), Wiener(history_s=0.1)
    decoder.fit([data.train], [data.validation])
    *_, (_, tally) = streamed(decoder, data.test)
    n_bins = decoder.weights_.shape[1] // 20
    counts = data.test.inputs.streams["spikes"][N_BINS - n_bins : N_BINS][::-1]
    x = ((np.sqrt(counts) - decoder.mean_) * decoder.gain_).ravel()
    assert tally.macs == sum(bool(w and v) for row in decoder.weights_ for w, v in zip(row, x, strict=True))


def test_a_filter_that_still_solves_for_its_gain_is_refused_by_name():
    data, decoder = make_data(("spikes",)), Kalman(lead_s=0.0, n_hidden=0, noise=1.0)
    decoder.fit([data.train], [data.validation])
    with pytest.raises(UncountedOperation, match=r"np\.linalg\.solve at kalman_model\.py"):
        next(streamed(decoder, data.test))


def test_weights_that_pass_through_a_network_are_learned_ones():
    decoder, data = Gru(**SMALL), make_data(("spikes",))
    decoder.fit([data.train], [data.validation])
    tally = Tally()
    with NumpyCounter() as counter:
        fresh = restored(decoder, data.test.session, lambda arrays: counter.wrap(arrays, learned=True))
        counter.learn_storages({t.untyped_storage().data_ptr() for t in fresh.network.state_dict().values()})
        fresh.reset(data.test.session)
        with counter.on(tally):
            fresh.step(counter.wrap({"spikes": np.ones(20, np.float32)}, learned=False))
    assert sorted(n for n, _ in tally.weights.values()) == [8 * 2, 3 * 8 * 8, 3 * 8 * 20]
