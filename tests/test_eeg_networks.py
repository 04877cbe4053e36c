"""EEGNet, ShallowConvNet and EEG Conformer: published sizes, and the streams against plain PyTorch."""

import numpy as np
import pytest
import torch

from baselines.eeg_networks.conformer import ConformerStream
from baselines.eeg_networks.eegnet import EegNetStream, Shape
from baselines.eeg_networks.maps import MapsShape, shape_for
from baselines.eeg_networks.networks import Conformer, EegNet, ShallowConvNet
from baselines.eeg_networks.shallow import ShallowConvNetStream
from harness import HarnessError

HERE = (64, 320, 160.0)
"""Channels, samples and rate of the suites: two seconds of 64 channels."""
SMALL = (6, 320, 160.0)
N_NEW = 16
NETWORKS = [
    (lambda: EegNet(Shape(6, 320, 3, 80, 5), 0.5), EegNetStream),
    (lambda: ShallowConvNet(shape_for(SMALL, 3, biased=False), 0.5), ShallowConvNetStream),
    (lambda: Conformer(shape_for(SMALL, 3, biased=True), 0.5), ConformerStream),
]
NAMES = ["eegnet", "shallow-convnet", "eeg-conformer"]


def n_parameters(network):
    return sum(weight.numel() for weight in network.parameters())


def stirred(network):
    """A network whose weights and running statistics are all away from where they begin, ready to answer."""
    generator = torch.Generator().manual_seed(1)
    for name, weight in network.state_dict().items():
        if name.endswith("running_var"):
            weight.copy_(0.5 + torch.rand(weight.shape, generator=generator))
        elif weight.dtype.is_floating_point:
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
    return network.eval()


@pytest.mark.parametrize(
    "shape, published",
    [
        (Shape(64, 128, 2), 2258),
        (Shape(22, 256, 4, kernel=32), 1716),
        (Shape(64, 128, 2, n_temporal=4), 1066),
        (Shape(22, 256, 4, kernel=32, n_temporal=4), 796),
    ],
)
def test_eegnet_has_the_parameters_of_its_paper(shape, published):
    assert n_parameters(EegNet(shape, 0.5)) == published


@pytest.mark.parametrize(
    "shape, published", [(MapsShape(64, 128, 2, 13, 35, 7), 104_002), (MapsShape(22, 256, 4, 13, 35, 7), 40_644)]
)
def test_shallow_convnet_has_the_parameters_published_for_128_hz(shape, published):
    assert n_parameters(ShallowConvNet(shape, 0.5)) == published


def test_eeg_conformer_has_the_published_parameters_for_four_seconds_of_22_channels():
    assert n_parameters(Conformer(MapsShape(22, 1000, 4, biased=True), 0.5)) == 789_572


@pytest.mark.parametrize("n_classes", [2, 4])
def test_at_160_hz_parameters_follow_from_the_sizes_of_the_layers(n_classes):
    eegnet = 8 * 80 + 16 + 16 * 64 + 32 + 16 * 16 + 16 * 16 + 32 + (16 * 8 + 1) * n_classes
    front = 40 * 16 + 40 + 40 * 40 * 64 + 80
    layer = 2 * 80 + 4 * (40 * 40 + 40) + 40 * 160 + 160 + 160 * 40 + 40
    head = (26 * 40 + 1) * 256 + 257 * 32 + 33 * n_classes
    assert n_parameters(EegNet(Shape(64, 320, n_classes, 80, 5), 0.5)) == eegnet
    shallow = ShallowConvNet(shape_for(HERE, n_classes, biased=False), 0.5)
    assert n_parameters(shallow) == front + (26 * 40 + 1) * n_classes
    conformer = Conformer(shape_for(HERE, n_classes, biased=True), 0.5)
    assert n_parameters(conformer) == front + 40 + (40 * 40 + 40) + 6 * layer + head


def test_kernels_last_as_long_at_any_rate():
    at_250, at_160 = (shape_for((22, round(2 * rate), rate), 2, biased=False) for rate in (250.0, 160.0))
    assert (at_250.kernel, at_250.pool, at_250.stride) == (25, 75, 15)
    assert (at_160.kernel, at_160.pool, at_160.stride) == (16, 48, 10)


def test_a_window_shorter_than_a_pooling_is_refused():
    with pytest.raises(HarnessError, match="window_s to at least 0.39"):
        shape_for((22, 50, 160.0), 2, biased=False)


@pytest.mark.parametrize("build, stream", NETWORKS, ids=NAMES)
def test_a_stream_answers_as_the_network_does_on_each_window_after_zeros(build, stream):
    network, samples = stirred(build()), np.random.default_rng(0).normal(size=(30 * N_NEW, 6)).astype(np.float32)
    streaming = stream({name: weight.numpy() for name, weight in network.state_dict().items()}, network.shape)
    history = np.concatenate([np.zeros((320, 6), np.float32), samples])
    for k in range(0, len(samples), N_NEW):
        window = torch.from_numpy(np.ascontiguousarray(history[k + N_NEW :][:320].T))[None]
        with torch.no_grad():
            expected = network(window).log_softmax(1)[0].numpy()
        answer = streaming.advance(samples[k : k + N_NEW])
        np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-4)


def in_published_order(network, windows):
    """EEGNet's first block as the paper draws it: all channels through filters in time, then normalised, then mixed."""
    s, (left, right) = network.shape, (39, 40)
    padded = torch.nn.functional.pad(windows[:, None], (left, right))
    filtered = torch.nn.functional.conv2d(padded, network.temporal[:, None, None])
    n = network.first_norm
    normalised = torch.nn.functional.batch_norm(filtered, n.running_mean, n.running_var, n.weight, n.bias, eps=n.eps)
    mixed = torch.nn.functional.conv2d(normalised, network.spatial[:, None, :, None], groups=s.n_temporal)[:, :, 0]
    maps = torch.nn.functional.elu(network.second_norm(mixed))
    return torch.nn.functional.avg_pool1d(maps, s.pool)


def test_mixing_channels_before_filtering_gives_what_the_published_order_gives():
    network, windows = stirred(EegNet(Shape(6, 320, 3, 80, 5), 0.5)), torch.randn(4, 6, 320)
    with torch.no_grad():
        maps = in_published_order(network, windows)
        padded = torch.nn.functional.pad(maps, (7, 8))
        maps = torch.nn.functional.conv1d(padded, network.depthwise[:, None], groups=16)
        maps = torch.nn.functional.conv1d(maps, network.pointwise[:, :, None])
        maps = torch.nn.functional.avg_pool1d(torch.nn.functional.elu(network.third_norm(maps)), 8)
        expected = network.readout(maps.flatten(1))
        torch.testing.assert_close(network(windows), expected, rtol=1e-4, atol=1e-5)


def test_attention_is_pytorchs_own_with_the_width_of_a_token_in_its_scale():
    network, tokens = stirred(NETWORKS[2][0]()), torch.randn(2, 26, 40)
    layer = network.layers[0]
    theirs = torch.nn.MultiheadAttention(40, 10, batch_first=True)
    # Theirs divides by the root of a head's width, 4; a factor on the queries makes it a token's, 40.
    scale = torch.cat([torch.full((40, 1), np.sqrt(4 / 40)), torch.ones(80, 1)]).float()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(scale * layer.queries_keys_values.weight)
        theirs.in_proj_bias.copy_(scale[:, 0] * layer.queries_keys_values.bias)
        theirs.out_proj.load_state_dict(layer.merge.state_dict())
        torch.testing.assert_close(
            layer.merge(layer._attended(tokens)), theirs(tokens, tokens, tokens)[0], rtol=1e-4, atol=1e-5
        )
