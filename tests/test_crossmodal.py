"""The cross-modal networks: tokens, attention, masks, losses and sizes, each against a slow or closed form."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch

from baselines.crossmodal.distillation import misalignment, scored_mean
from baselines.crossmodal.encoder import (
    Band,
    Encoder,
    Layer,
    Reach,
    banded_attention,
    full_attention,
    look_near,
    near_attention,
)
from baselines.crossmodal.masking import (
    Autoencoder,
    Masking,
    Predictor,
    hidden_mean,
    masking,
    poisson_loss,
    squared_loss,
)
from baselines.crossmodal.shape import PRESETS, Shape, preset_named
from baselines.crossmodal.streaming import EncoderStream
from baselines.crossmodal.tokens import LfpTokens, SpikeTokens
from baselines.mamba2 import rotary_angles, rotated
from harness import HarnessError

SHAPE = Shape(8, 2, 2, predictor_width=4, predictor_layers=1, spike_patch=4, lfp_patch=3, taps=3)
PAPER = PRESETS["paper"].shape


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def counts(*shape, seed=0):
    return np.random.default_rng(seed).poisson(1.0, size=shape).astype(np.float32)


def loud(module, seed=0):
    """Weights far from their start, so that attention is far from even."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(0.4 * torch.randn_like(weight))
    return module.eval()


def run(module, *given):
    with torch.no_grad():
        return module(*(torch.from_numpy(x)[None] if isinstance(x, np.ndarray) else x for x in given))[0].numpy()


def n_parameters(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


def slow_lfp_tokens(values, tokens, over):
    """Tap by tap: over time a tap looks at its own patch, flat it looks at earlier tokens whatever their patch."""
    weight, bias = tokens.mix.weight.detach().numpy(), tokens.mix.bias.detach().numpy()
    n_bins, patch = len(values), SHAPE.lfp_patch
    n_patches = -(-values.shape[1] // patch)
    padded = np.zeros((n_bins, n_patches * patch))
    padded[:, : values.shape[1]] = values
    answers = np.tile(bias, (n_bins, n_patches, 1)).astype(float)
    for t, p, k in np.ndindex(n_bins, n_patches, SHAPE.taps):
        back = SHAPE.dilation_bins * k
        bin, place = (t - back, p) if over == "time" else divmod(t * n_patches + p - back, n_patches)
        if bin >= 0:
            row = padded[bin, place * patch : (place + 1) * patch]
            answers[t, p] += weight[:, k * patch : (k + 1) * patch] @ row
    return answers


@pytest.mark.parametrize("over", ["time", "flat"])
@pytest.mark.parametrize("n_channels", [2, 3, 8])
def test_tokens_of_lfp_are_a_causal_convolution(over, n_channels):
    tokens, values = LfpTokens(SHAPE, over=over), normal(11, n_channels)
    np.testing.assert_allclose(run(tokens, values), slow_lfp_tokens(values, tokens, over), atol=1e-5)


def test_a_spike_token_is_its_units_vectors_side_by_side_counts_above_five_as_five():
    tokens = loud(SpikeTokens(SHAPE))
    table = tokens.counts.weight.detach().numpy()
    given = np.array([[0, 1, 2, 3, 9, 5]], np.float32)
    first, second = run(tokens, given)[0]
    np.testing.assert_array_equal(first, np.concatenate([table[c] for c in (0, 1, 2, 3)]))
    np.testing.assert_array_equal(second, np.concatenate([table[c] for c in (5, 5, 6, 6)]))


def test_patches_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="patches of 5 units"):
        SpikeTokens(Shape(8, 1, 2, predictor_width=4, predictor_layers=1, spike_patch=5))


def slow_attention(queries, keys, values, band):
    """Token by token in float64; without a band all see all."""
    answers = np.zeros_like(values, dtype=float)
    for h, i in np.ndindex(queries.shape[:2]):
        now, then = (i // band.n_patches, np.arange(queries.shape[1]) // band.n_patches) if band else (0, np.zeros(1))
        seen = np.flatnonzero((then <= now) & (then > now - band.context_bins)) if band else slice(None)
        scores = keys[h, seen].astype(float) @ queries[h, i] / np.sqrt(queries.shape[2])
        weights = np.exp(scores - scores.max())
        answers[h, i] = weights @ values[h, seen] / weights.sum()
    return answers


@pytest.mark.parametrize("band", [None, Band(3, 2), Band(1, 3)])
@pytest.mark.parametrize("n_bins", [1, 3, 7])
def test_attention_sees_all_or_a_band_of_whole_bins(band, n_bins):
    n_tokens = n_bins * (band.n_patches if band else 2)
    three = [2 * normal(2, n_tokens, 4, seed=seed) for seed in range(3)]
    attend = full_attention if band is None else banded_attention
    answers = attend(*(torch.from_numpy(x)[None] for x in three), band)[0].numpy()
    np.testing.assert_allclose(answers, slow_attention(*three, band), atol=1e-5)


@pytest.mark.parametrize("reach_bins", [0, 2, 50])
def test_within_a_reach_a_token_sees_its_bin_and_those_around_it(reach_bins):
    three = [2 * normal(2, 14, 4, seed=seed) for seed in range(3)]
    found = near_attention(*(torch.from_numpy(x)[None] for x in three), Reach(reach_bins, 2))[0].numpy()
    for i in range(14):
        seen = np.flatnonzero(np.abs(np.arange(14) // 2 - i // 2) <= reach_bins)
        alone = slow_attention(three[0][:, [i]].repeat(len(seen), axis=1), *(x[:, seen] for x in three[1:]), None)
        np.testing.assert_allclose(found[:, i], alone[:, 0], atol=1e-5)


def test_local_heads_begin_with_attention_that_falls_with_distance():
    layer, n_bins = Layer(48, 2, ratio=1, dropout=0), 30
    look_near(layer, 4.0)
    torch.nn.init.zeros_(layer.project.weight)  # what is left of queries and keys is their biases
    angles = rotary_angles(np.arange(n_bins), 24)
    turns = [torch.from_numpy(f(angles)).float()[None, None] for f in (np.cos, np.sin)]
    queries, keys = layer.project.bias.detach().view(3, 1, 2, 1, 24).expand(-1, 1, 2, n_bins, 24)[:2]
    scores = rotated(queries, *turns, torch.cat)[0] @ rotated(keys, *turns, torch.cat)[0].mT / 24**0.5
    assert np.ptp(scores[0].numpy()) < 1e-4
    from_first = scores[1, 0].numpy()
    assert from_first[0] == pytest.approx(4.0, rel=1e-4)
    assert (np.diff(from_first[:4]) < 0).all() and from_first[0] > from_first[10:].max() + 1


@pytest.mark.parametrize("context_bins", [None, 4])
def test_only_the_causal_encoder_is_blind_to_the_future(context_bins):
    encoder = loud(Encoder(SHAPE, "lfp", {"a": 3}, context_bins=context_bins))
    given, changed = normal(30, 8), normal(30, 8)
    changed[20:] += 1
    differs = np.abs(run(encoder, given, "a") - run(encoder, changed, "a")).max(axis=1) > 1e-5
    assert differs[20:].all()
    assert differs[:20].any() == (context_bins is None)


@pytest.mark.parametrize("over", ["time", "flat"])
@pytest.mark.parametrize("n_channels", [3, 8])
@pytest.mark.parametrize("n_bins", [1, 4, 5, 40])
def test_the_stream_gives_what_the_whole_gives(over, n_channels, n_bins):
    encoder = loud(Encoder(SHAPE, "lfp", {"a": SHAPE.n_patches("lfp", n_channels)}, context_bins=4, over=over))
    weights = {k: v.numpy() for k, v in encoder.state_dict().items()}
    stream = EncoderStream(weights, SHAPE, key="a", context_bins=4, over=over)
    values = normal(n_bins, n_channels)
    np.testing.assert_allclose([stream.advance(row) for row in values], run(encoder, values, "a"), atol=1e-4)


def test_an_answer_late_in_an_endless_stream_is_as_good_as_an_early_one():
    encoder = loud(Encoder(SHAPE, "lfp", {"a": 3}, context_bins=4))
    weights = {k: v.numpy() for k, v in encoder.state_dict().items()}
    stream = EncoderStream(weights, SHAPE, key="a", context_bins=4, over="time")
    stream.position = 10**9
    values = normal(20, 8)
    np.testing.assert_allclose([stream.advance(row) for row in values], run(encoder, values, "a"), atol=1e-4)


def test_masks_hide_sixty_percent_of_each_window_evenly():
    drawn = masking(2000, 30)
    assert (drawn.hidden.sum(dim=1) == 18).all()
    assert drawn.visible.shape == (2000, 12)
    assert not drawn.hidden.gather(1, drawn.visible).any()
    often = drawn.hidden.float().mean(dim=0).numpy()  # its sd is sqrt(0.6 * 0.4 / 2000) = 0.011
    assert np.abs(often - 0.6).max() < 0.05


def test_the_loss_of_spikes_is_poisson_up_to_what_the_counts_alone_give():
    log_rates, given = normal(2, 5, 2, 4), counts(2, 5, 7)
    losses = poisson_loss(torch.from_numpy(log_rates), torch.from_numpy(given)).numpy().reshape(2, 5, 8)[..., :7]
    clipped, rates = np.minimum(given, 5), np.exp(log_rates.reshape(2, 5, 8)[..., :7].astype(float))
    full = -scipy.stats.poisson.logpmf(clipped, rates)
    constant = -scipy.stats.poisson.logpmf(clipped, np.ones_like(clipped)) - 1  # log k!
    np.testing.assert_allclose(losses, full - constant, rtol=1e-4, atol=1e-5)


def test_losses_count_hidden_tokens_and_channels_that_exist_only():
    losses, hidden = np.abs(normal(3, 6, 2, 4)), np.random.default_rng(1).random((3, 6, 2)) < 0.6
    wanted = [
        losses[b, t, p, c] for b, t, p, c in np.ndindex(losses.shape) if hidden[b, t, p] and p * 4 + c < 7
    ]  # channel 7 of the last patch is padding
    found = hidden_mean(torch.from_numpy(losses), 7, torch.from_numpy(hidden))
    assert float(found) == pytest.approx(np.mean(wanted), rel=1e-5)


def test_an_autoencoder_that_says_nothing_of_spikes_has_the_loss_of_their_means():
    means, given = np.array([0.2, 0.5, 1.0, 2.0], np.float32), counts(3, 8, 4)
    made = Autoencoder(Encoder(SHAPE, "spikes", {"a": 1}), Predictor(SHAPE, "spikes"), {"a": torch.from_numpy(means)})
    torch.nn.init.zeros_(made.predictor.leave.weight)
    torch.nn.init.zeros_(made.predictor.leave.bias)
    torch.manual_seed(5)
    hidden = masking(3, 8).hidden.numpy()
    torch.manual_seed(5)
    losses = means - np.minimum(given, 5) * np.log(means)
    assert float(made(torch.from_numpy(given), "a").detach()) == pytest.approx(losses[hidden].mean(), rel=1e-5)


def test_squared_losses_compare_patch_by_patch():
    answers, values = normal(2, 5, 3, 3), normal(2, 5, 8, seed=1)
    losses = squared_loss(torch.from_numpy(answers), torch.from_numpy(values)).numpy().reshape(2, 5, 9)[..., :8]
    np.testing.assert_allclose(losses, (answers.reshape(2, 5, 9)[..., :8] - values) ** 2, rtol=1e-5)


def test_a_predictor_with_a_reach_answers_from_latents_of_near_bins_alone():
    shape = replace(SHAPE, predictor_reach_bins=2)
    made, latents = loud(Predictor(shape, "spikes")), torch.from_numpy(normal(1, 9, 8))
    masked = Masking(torch.arange(0, 18, 2)[None], torch.arange(18)[None] % 2 == 1)  # one patch of a bin is seen
    changed = latents.clone()
    changed[0, 4] += 1
    answers, others = (made(x, masked, torch.zeros(2, 8)).detach()[0] for x in (latents, changed))
    differs = (answers - others).abs().amax(dim=(1, 2)) > 1e-6
    assert differs.tolist() == [2 <= bin <= 6 for bin in range(9)]


@pytest.mark.parametrize("signal", ["spikes", "lfp"])
def test_what_is_hidden_does_not_reach_the_latents(signal):
    made = loud(Autoencoder(Encoder(SHAPE, signal, {"a": 2}), Predictor(SHAPE, signal), {"a": torch.full((8,), 0.5)}))
    seen = []
    made.predictor.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    n_channels = 2 * SHAPE.patch(signal)
    values = torch.from_numpy(counts(1, 9, n_channels))
    torch.manual_seed(3)
    drawn = masking(1, 18)
    # Change the last bins' tokens where they are hidden; the convolution would carry earlier ones into visible tokens.
    changed = values.clone()
    last = drawn.hidden[0].view(9, 2)[-1].repeat_interleave(SHAPE.patch(signal))
    changed[0, -1, last] += 1
    for given in (values, changed):
        torch.manual_seed(3)
        made(given, "a")
    assert last.any()
    torch.testing.assert_close(seen[0], seen[1])


def test_misalignment_is_one_minus_the_mean_cosine():
    a, b = normal(2, 5, 4), normal(2, 5, 4, seed=1)
    cosines = [a[i] @ b[i] / np.linalg.norm(a[i]) / np.linalg.norm(b[i]) for i in np.ndindex(2, 5)]
    found = misalignment(torch.from_numpy(a), torch.from_numpy(b))
    assert float(found) == pytest.approx(1 - np.mean(cosines), rel=1e-4)


def test_errors_of_bins_that_are_not_scored_do_not_count():
    errors, scored = np.abs(normal(2, 5, 3)), np.random.default_rng(0).random((2, 5, 1)) < 0.5
    found = scored_mean(torch.from_numpy(errors), torch.from_numpy(scored.astype(np.float32)))
    assert float(found) == pytest.approx(errors[scored[..., 0]].mean(), rel=1e-5)


def test_the_published_sizes_are_met():
    assert n_parameters(Layer(256, 8, ratio=4, dropout=0)) == 1_052_416
    student = Encoder(PAPER, "lfp", {"a": 3})
    assert n_parameters(student.trunk) == 10_524_416
    convolution, places, reconstruction = 32 * 256 * 5 + 256, 3 * 256, 256 * 96 + 96
    assert n_parameters(student) == 10_524_416 + convolution + places == 10_566_400
    assert n_parameters(student) + reconstruction == 10_591_072


def test_the_published_teacher_with_its_predictor_is_met():
    teacher, predictor = Encoder(PAPER, "spikes", {}), Predictor(PAPER, "spikes")
    lookup, mask, enter, leave = 7 * 4, 256, 256 * 192 + 192, 192 * 64 + 64
    layer = 4 * (192 * 192 + 192) + 3 * 192 * 768 + 2 * 768 + 192 + 2 * 192
    assert n_parameters(teacher) == 10_524_416 + lookup
    assert n_parameters(predictor) == mask + enter + 4 * layer + 192 + leave
    assert n_parameters(teacher, predictor) == 12_957_404


def test_an_unknown_preset_is_refused_with_those_that_are_known():
    with pytest.raises(HarnessError, match="'huge'.*paper, small, tiny"):
        preset_named("huge")
