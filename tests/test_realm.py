"""REALM's encoder: published sizes, batch against stream, what it may see; its tokenizer against slow loops."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import erf

from baselines.pretraining import Recipe, rate
from baselines.realm.encoder import Backbone, BothWays, Encoder
from baselines.realm.shape import PRESETS, preset_of
from baselines.realm.streaming import EncoderStream
from baselines.realm.tokenizer import Tokenizer
from harness import HarnessError

HEAD = 256 * 2 + 2
SKIP = 96 * 2 + 2
UNUSED_PROJECTION = 256 * 256 + 256


def built(shape, *, seed=0, spread=0.2):
    """An encoder that does not begin as symmetric as a fresh one, and its weights by name."""
    torch.manual_seed(seed)
    encoder = Encoder(shape).eval()
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.mul_(1 + spread * torch.randn_like(weight)).add_(0.01 * torch.randn_like(weight))
    return encoder, {k: v.numpy() for k, v in encoder.state_dict().items()}


def voltages(shape, n_bins, *, seed=1, n_absent=2):
    """Coloured noise (n_bins, n_channels) and which channels there are; absent ones are zero."""
    rng = np.random.default_rng(seed)
    present = np.ones(shape.n_channels, np.float32)
    present[-n_absent:] = 0
    values = np.cumsum(rng.normal(size=(n_bins, shape.n_channels)), axis=0) / 5
    return ((values - values.mean(axis=0)) * present).astype(np.float32), present


def embedded(encoder, values, present):
    with torch.inference_mode():
        return encoder(torch.from_numpy(values)[None], torch.from_numpy(present))[0].numpy()


@pytest.mark.parametrize(
    "name, n_dead, published",
    [
        ("teacher", 10 * UNUSED_PROJECTION + 34 * 256, 11_496_709),
        ("student", SKIP + 200 * 256, 4_909_273),
        ("student_both_ways", 8 * UNUSED_PROJECTION + SKIP + 200 * 256, 5_542_057),
    ],
)
def test_live_and_dead_parameters_add_up_to_the_published_counts(name, n_dead, published):
    n_live = sum(w.numel() for w in Encoder(getattr(PRESETS["paper"], name)).parameters())
    n_head = 0 if name == "teacher" else HEAD
    assert n_live + n_head + n_dead == published


def test_the_parts_of_the_paper_preset_have_their_published_sizes():
    shape = PRESETS["paper"].teacher
    parts = Tokenizer(shape), BothWays(shape.block()), Backbone(shape).norm
    assert [sum(w.numel() for w in part.parameters()) for part in parts] == [197_413, 1_062_704, 512]


@pytest.mark.parametrize("name, n_bins", [("small", 700), ("paper", 300)])
def test_the_stream_says_what_the_batch_says(name, n_bins):
    shape = PRESETS[name].student
    encoder, weights = built(shape)
    values, present = voltages(shape, n_bins)
    stream = EncoderStream(weights, shape, present)
    streamed = np.stack([stream.advance(row) for row in values])
    expected = embedded(encoder, values, present)
    np.testing.assert_allclose(streamed, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name, sees_ahead", [("teacher", True), ("student", False), ("student_both_ways", True)])
def test_only_an_encoder_of_both_ways_feels_the_future(name, sees_ahead):
    shape = getattr(PRESETS["tiny"], name)
    encoder, _ = built(shape)
    values, present = voltages(shape, 80)
    changed = values.copy()
    changed[50:] = 3 * values[50:][::-1]
    difference = np.abs(embedded(encoder, values, present)[:50] - embedded(encoder, changed, present)[:50]).max()
    assert difference > 1e-3 if sees_ahead else difference < 1e-6


@pytest.mark.parametrize("name", ["teacher", "student"])
def test_what_stands_in_an_absent_channel_does_not_matter(name):
    shape = getattr(PRESETS["tiny"], name)
    encoder, _ = built(shape)
    values, present = voltages(shape, 40)
    changed = values.copy()
    changed[:, present == 0] = 7
    np.testing.assert_allclose(embedded(encoder, changed, present), embedded(encoder, values, present), atol=1e-6)


def slow_tokens(tokenizer, values, present, *, both_ways):
    """The tokenizer's equations in float64, channel by channel and bin by bin."""
    w = {k: v.double().numpy() for k, v in tokenizer.state_dict().items()}
    (n_bins, n_channels), n_features = values.shape, len(w["convolution.bias"])
    at = lambda t, c: values[t, c] if 0 <= t < n_bins else 0.0  # noqa: E731
    features, first = np.zeros((n_bins, n_channels, n_features)), -1 if both_ways else -2
    for t, c, f in np.ndindex(*features.shape):
        x = w["convolution.bias"][f] + sum(w["convolution.weight"][f, 0, k] * at(t + first + k, c) for k in range(3))
        features[t, c, f] = present[c] * x * 0.5 * (1 + erf(x / np.sqrt(2)))
    tokens = []
    for t in range(n_bins):
        loudness = np.pad(features[: None if both_ways else t + 1].mean(axis=(0, 2)), 2)
        logits = [w["attention.weight"][0, 0] @ loudness[c : c + 5] for c in range(n_channels)]
        row = (features[t] / (1 + np.exp(-np.array(logits)))[:, None]).reshape(-1)
        row = w["merge.weight"] @ row + w["merge.bias"]
        row = (row - row.mean()) / np.sqrt(row.var() + 1e-5)
        tokens.append(row * w["norm.weight"] + w["norm.bias"])
    return np.array(tokens)


@pytest.mark.parametrize("both_ways", [True, False])
def test_the_tokenizer_follows_its_equations(both_ways):
    shape = replace(PRESETS["tiny"].student, both_ways=both_ways)
    encoder, _ = built(shape)
    values, present = voltages(shape, 9)
    with torch.inference_mode():
        tokens = encoder.tokenizer(torch.from_numpy(values)[None], torch.from_numpy(present))[0].numpy()
    expected = slow_tokens(encoder.tokenizer, values, present, both_ways=both_ways)
    np.testing.assert_allclose(tokens, expected, atol=1e-4)


def test_the_running_mean_of_the_attention_survives_a_long_recording():
    shape = PRESETS["tiny"].student
    _, weights = built(shape)
    stream = EncoderStream(weights, shape, np.ones(shape.n_channels))
    stream.tokenizer.total, stream.tokenizer.n_seen = np.full(shape.n_channels, 2.0**33), 2**33
    stream.advance(np.ones(shape.n_channels, np.float32))
    assert np.all(stream.tokenizer.total != 2.0**33)
    assert np.allclose(stream.tokenizer.padded[2:-2], 1)


def test_layers_are_skipped_in_training_alone_and_keep_their_expectation():
    torch.manual_seed(0)
    layer = Backbone(replace(PRESETS["tiny"].student, drop_path=0.5, dropout=0.0)).layers[-1]
    x = torch.randn(1, 5, 16).expand(4000, 5, 16)
    with torch.inference_mode():
        always, sometimes = layer.eval()(x)[0] - x[0], layer.train()(x) - x
    skipped = (sometimes == 0).all(dim=2).all(dim=1).float().mean().item()
    assert skipped == pytest.approx(0.5, abs=0.03)
    np.testing.assert_allclose(sometimes.mean(dim=0), always, atol=0.06 * always.abs().max().item())


RECIPE = Recipe(100, 9, 4, 1e-3, 0.2, "cosine", 0.01, 5, 3)


@pytest.mark.parametrize(
    "progress, decay, expected",
    [
        (0.0, "cosine", 0.3),
        (0.1, "cosine", 0.65),
        (0.2, "cosine", 1.0),
        (0.6, "cosine", 0.505),
        (1.0, "cosine", 0.01),
        (0.6, "geometric", 0.1),
        (1.0, "geometric", 0.01),
    ],
)
def test_the_learning_rate_rises_and_falls(progress, decay, expected):
    assert rate(progress, replace(RECIPE, decay=decay)) == pytest.approx(expected)


def test_an_unknown_preset_names_those_that_there_are():
    with pytest.raises(HarnessError, match=r"'huge'.*paper, small, tiny"):
        preset_of("huge")
