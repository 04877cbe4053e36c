"""The causal transformer: attention against a slow loop, a cache against the whole, and a window that is kept."""

import pickle

import numpy as np
import pytest
import torch

from baselines.transformer import Attention, Layer, LayerStream, Transformer, TransformerCore, TransformerStream
from harness import Inputs, Recording, SessionInfo, StreamInfo

SHAPE = Attention(width=8, n_heads=2, window_bins=5)


def rows(n_bins, seed=0):
    return np.random.default_rng(seed).normal(size=(n_bins, SHAPE.width)).astype(np.float32)


def core(n_layers=3, seed=0):
    """A core with loud weights, so that attention is far from even, and the same one as a stream."""
    torch.manual_seed(seed)
    made = TransformerCore(SHAPE, n_layers=n_layers, dropout=0.2).eval()
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(0.4 * torch.randn_like(weight))
    weights = {k: v.numpy() for k, v in made.state_dict().items()}
    return made, TransformerStream(weights, SHAPE, n_layers=n_layers)


def run(made, x):
    with torch.no_grad():
        return made(torch.from_numpy(x)[None])[0].numpy()


def slow_attention(queries, keys, values):
    """Head by head and bin by bin in float64, rotation as a complex number that depends on the age alone."""
    answers, half = np.zeros_like(values, dtype=float), SHAPE.head // 2
    for t, h in np.ndindex(len(queries), SHAPE.n_heads):
        own = slice(h * SHAPE.head, (h + 1) * SHAPE.head)
        seen = np.arange(max(0, t - SHAPE.window_bins + 1), t + 1)
        q, k = queries[t, own], keys[seen, own]
        turned = np.exp(1j * (t - seen)[:, None] * 10_000.0 ** (-np.arange(half) / half)) * (q[:half] + 1j * q[half:])
        scores = (turned * (k[:, :half] - 1j * k[:, half:])).real.sum(axis=1) / np.sqrt(SHAPE.head)
        weights = np.exp(scores) / np.exp(scores).sum()
        answers[t, own] = weights @ values[seen, own]
    return answers


@pytest.mark.parametrize("n_bins", [1, 4, 5, 6, 23])
def test_attention_over_blocks_is_attention_bin_by_bin(n_bins):
    queries, keys, values = (rows(n_bins, seed) for seed in range(3))
    made = Layer(SHAPE, dropout=0)
    answers = made.attend(*(torch.from_numpy(x)[None] for x in (queries, keys, values)))[0].numpy()
    np.testing.assert_allclose(answers, slow_attention(queries, keys, values), atol=1e-5)


@pytest.mark.parametrize("n_bins", [1, 5, 6, 64])
def test_the_stream_with_its_cache_gives_what_the_whole_gives(n_bins):
    made, stream = core()
    x = rows(n_bins)
    np.testing.assert_allclose([stream.advance(row) for row in x], run(made, x), atol=1e-4)


def test_each_layer_looks_back_its_window_and_not_a_bin_further():
    made, _ = core(n_layers=3)
    x, changed = rows(40), rows(40)
    changed[10] += 1
    differs = np.abs(run(made, x) - run(made, changed)).max(axis=1) > 1e-6
    reach = 3 * (SHAPE.window_bins - 1)
    assert differs.nonzero()[0].tolist() == list(range(10, 10 + reach + 1))


def test_an_answer_late_in_an_endless_stream_is_as_good_as_an_early_one():
    made, stream = core(n_layers=1)
    x = rows(20)
    stream.layers[0].position = 10**9
    np.testing.assert_allclose([stream.advance(row) for row in x], run(made, x), atol=1e-4)


def test_the_cache_does_not_grow():
    _, stream = core(n_layers=1)
    layer: LayerStream = stream.layers[0]
    sizes = []
    for row in rows(50):
        stream.advance(row)
        sizes.append(sum(len(pickle.dumps(history)) for history in (layer.keys, layer.values)))
    assert max(sizes) - min(sizes) < 100  # pickled counts grow by a few bytes, a row of two histories by 64
    assert layer.n_seen == SHAPE.window_bins


@pytest.mark.parametrize(
    "bin_s, windows", [(0.1, (100, 16)), (0.05, (100, 16)), (0.02, (100, 16)), (0.01, (200, 8)), (0.004, (500, 3))]
)
def test_training_windows_hold_two_contexts_and_batches_as_many_bins(bin_s, windows):
    decoder = Transformer()
    n_bins, n_windows = decoder.windows(bin_s)
    assert (n_bins, n_windows) == windows
    assert n_bins * bin_s >= 2 * decoder.context_s and n_bins * n_windows <= 100 * 16


def test_training_sees_windows_of_that_length():
    lengths, decoder = set(), Transformer(hidden=8, n_layers=1, n_heads=2, context_s=8.0, updates=4)
    recording = counting(1, n_bins=1200)
    build = decoder.core
    decoder.core = lambda bin_s: Watched(build(bin_s), lengths)
    decoder.fit([recording], [])
    assert max(lengths) == 320  # 2 x 8 s of 50 ms


class Watched(torch.nn.Module):
    """A core that notes how many bins it is given."""

    def __init__(self, made, lengths):
        super().__init__()
        self.made, self.lengths = made, lengths

    def forward(self, x):
        self.lengths.add(x.shape[1])
        return self.made(x)


def counting(seed, *, n_bins=400, n_units=15):
    """Counts that follow two slow outputs, in two segments."""
    rng = np.random.default_rng(seed)
    slow = np.sin(np.arange(n_bins)[:, None] / np.array([7.0, 11.0]))
    counts = rng.poisson(np.exp(0.3 * slow @ np.random.default_rng(0).normal(size=(2, n_units))))
    session = SessionInfo("s", "monkey", {"spikes": StreamInfo(n_units)}, 0.05, ("x", "y"))
    inputs = Inputs({"spikes": counts.astype(np.float32)}, np.isin(np.arange(n_bins), (0, 150)), 0.05)
    return Recording(session, inputs, slow.astype(np.float32), np.ones(n_bins, bool))


def test_the_decoder_learns_from_the_past_and_streams_what_it_predicts():
    decoder, held_out = Transformer(hidden=16, n_layers=1, n_heads=2, context_s=0.4, updates=80), counting(2)
    decoder.fit([counting(1)], [held_out])
    answers = decoder.predict(held_out.inputs, held_out.session)
    roots = [np.column_stack([np.sqrt(r.inputs.streams["spikes"]), np.ones(len(r))]) for r in (counting(1), held_out)]
    of_now = roots[1] @ np.linalg.lstsq(roots[0], counting(1).targets, rcond=None)[0]
    errors = [np.mean((x - held_out.targets) ** 2) for x in (answers, of_now)]
    assert errors[0] < 0.8 * errors[1]
    for k, (starts, bin) in enumerate(held_out.inputs.bins()):
        if starts:
            decoder.reset(held_out.session)
        np.testing.assert_allclose(decoder.step(bin), answers[k], atol=1e-4)
