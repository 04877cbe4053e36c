"""The hybrid spiking network and its parents: shapes, streaming, few bits."""

import copy

import numpy as np
import pytest
import torch

from baselines.choose import mean_r2
from baselines.hybrid_snn.hybrid import HybridSnnBm, HybridSnnRt, HybridSnnRtCausal, HybridSnnSrt, HybridSnnSrtCausal
from baselines.hybrid_snn.quantise import BUFFERS, FLAGS, WEIGHTS, Grid, most_terms
from baselines.hybrid_snn.shape import Block, Shape
from baselines.hybrid_snn.streaming import BlockBuffer
from baselines.hybrid_snn.training import Terms, _Course
from baselines.keypoint_networks.decoder import GruT1, GruT2, LifT1, LifT2, SpikingGruT1, SpikingGruT2
from harness import Delay, HarnessError, Inputs
from harness.judge import artifact
from harness.judge.count.in_numpy import NumpyCounter
from harness.judge.count.tally import Tally
from harness.torch_decoder import Schedule, Segment, batches, run
from tests.keypoint_cases import QUICK, SMALL, drawn, recording, session

STREAMED = [
    (HybridSnnRt, SMALL, 0.004),
    (HybridSnnRt, {**SMALL, "membrane_reset": "zero", "leaky": True}, 0.004),
    (HybridSnnRt, {**SMALL, "interpolated": False}, 0.004),
    (HybridSnnBm, {"kernels": [3, 6, 12]}, 0.004),
    (GruT2, {"interpolated": False}, 0.004),
    (HybridSnnRtCausal, {**SMALL, "kernels_s": [0.036, 0.144]}, 0.004),
    (HybridSnnRtCausal, {**SMALL, "coding": "counts", "n_layers": 2}, 0.02),
    (HybridSnnRtCausal, SMALL, 0.05),
    *[(parent, {}, 0.004) for parent in (GruT1, GruT2, SpikingGruT1, SpikingGruT2, LifT1, LifT2)],
]


@pytest.mark.parametrize(
    "kernels, receptive_bins, latency_ms, rate_hz",
    [((9, 18), 46, 96, 62.5), ((31, 62, 124), 652, 1308, 31.25)],
)
def test_the_published_shapes_have_the_published_latency_and_rate(kernels, receptive_bins, latency_ms, rate_hz):
    shape = Shape.centred(kernels)
    assert shape.receptive_bins == receptive_bins
    assert (shape.last_bin + 1) * 4 == latency_ms  # the bin itself is the one more
    assert 250 / shape.step_bins == rate_hz


@pytest.mark.parametrize("decoder, look_ahead, interpolation", [(HybridSnnRt, 23, 3), (HybridSnnBm, 326, 7)])
def test_interpolating_is_declared_apart_from_looking_ahead_and_can_be_left_out(decoder, look_ahead, interpolation):
    assert decoder().delay() == Delay(look_ahead, interpolation)
    assert decoder(interpolated=False).delay() == Delay(look_ahead, 0)


def test_a_keypoint_is_held_until_the_next_one_where_nothing_is_interpolated():
    made, counts = drawn(HybridSnnRt(**SMALL, interpolated=False), session(), n_bins=399)
    answers = made.predict(Inputs({"spikes": counts}, np.arange(399) == 0, 0.004), session())
    on_lines, _ = drawn(HybridSnnRt(**SMALL), session(), n_bins=399)
    points = on_lines.predict(Inputs({"spikes": counts}, np.arange(399) == 0, 0.004), session())[26::4]
    np.testing.assert_allclose(answers[23:], np.repeat(points, 4, axis=0), atol=1e-6)
    assert not answers[:23].any() and np.ptp(points) > 0


@pytest.mark.parametrize("bin_s, kernels, step_bins", [(0.004, [9, 18], 4), (0.02, [2, 7], 1), (0.05, [3], 1)])
def test_without_look_ahead_kernels_and_poolings_follow_the_bins(bin_s, kernels, step_bins):
    shape = Shape.without_look_ahead([0.036, 0.144], bin_s=bin_s, keypoint_s=0.016)
    assert [b.kernel for b in shape.blocks] == kernels
    assert shape.step_bins == step_bins == shape.last_bin + 1


@pytest.mark.parametrize("shape", [Shape.centred([3, 6]), GruT2().shape(0.004), Shape((Block(3, 2, 1), Block(4, 3)))])
def test_a_keypoint_depends_on_the_bins_that_its_shape_tells(shape):
    decoder, counts = drawn(HybridSnnRt(**SMALL), session(), n_bins=120)
    decoder.shape = lambda bin_s: shape
    decoder, counts = drawn(decoder, session(), n_bins=120)
    x = torch.from_numpy(decoder.coded(counts)).requires_grad_()
    m = 12
    rows = decoder.network.front(x[None])[0]
    depends = torch.zeros(120)
    for noise in range(5):  # a maximum hides one of its two columns from any single gradient
        y = (torch.rand(120, 5, generator=torch.Generator().manual_seed(noise)) * 4).requires_grad_()
        decoder.network.front(y[None])[0, m].sum().backward()
        depends += y.grad.abs().sum(1)
    last = m * shape.step_bins + shape.last_bin
    assert np.flatnonzero(depends.numpy()).tolist() == list(range(last - shape.receptive_bins + 1, last + 1))
    assert len(rows) == shape.n_keypoints(120)


@pytest.mark.parametrize("n_units, n_weights", [(96, 75_200), (192, 109_760)])
def test_the_published_number_of_weights_is_that_without_leaks_and_thresholds(n_units, n_weights):
    decoder = HybridSnnRt()
    decoder.start(session(n_units))
    counted = [p.numel() for p in decoder.network.parameters() if p.ndim]  # biases of convolutions are among them
    assert sum(counted) == n_weights


def test_the_second_convolution_takes_the_published_operations_at_the_published_sparsity():
    rng = np.random.default_rng(0)
    kernel = rng.uniform(1, 2, (40, 40, 18)).astype(np.float32)
    kernel.reshape(-1)[rng.permutation(kernel.size)[: round(0.15 * kernel.size)]] = 0
    columns, tally = rng.uniform(1, 2, (62, 40)).astype(np.float32), Tally()
    with NumpyCounter() as counter:
        weights = counter.wrap({"weight": kernel, "bias": np.zeros(40, np.float32)}, learned=True)
        buffer = BlockBuffer(weights, Block(18, 9))
        buffer.push(columns[:60])
        new = counter.wrap({"columns": columns[60:]}, learned=False)["columns"]
        with counter.on(tally):
            buffer.push(new)
    assert tally.macs / 4 == 14_400 * 0.85 == 12_240  # two columns are four bins


@pytest.mark.parametrize("decoder, options, bin_s", STREAMED)
def test_a_stream_equals_the_batch_for_every_length_of_a_segment(decoder, options, bin_s):
    made, counts = drawn(decoder(**options), session(bin_s=bin_s))
    network = copy.deepcopy(made.network).double()  # in single precision a sum's order may decide about a spike
    stream = made.stream(session(bin_s=bin_s), {k: v.numpy() for k, v in network.state_dict().items()})
    rows = made.coded(counts)
    answers = np.stack([stream.advance(row) for row in rows])
    assert answers.std() > 1e-3
    for n_bins in (1, 2, 3, 4, 5, 7, 24, 31, 32, 33, 34, 35, 36, 37, 150, 400):
        with torch.inference_mode():
            batch = network(torch.from_numpy(rows[:n_bins]).double()[None])[0].numpy()
        np.testing.assert_allclose(answers[:n_bins], batch, atol=1e-5 * answers.std())


def test_nothing_is_computed_until_a_keypoint_is_due():
    decoder, counts = drawn(HybridSnnRt(**SMALL), session())
    decoder.reset(session())
    front, asked = decoder._stream._front, []
    push = front._blocks[0].push
    front._blocks[0].push = lambda columns: asked.append(n_seen) or push(columns)
    for n_seen, row in enumerate(counts[:60]):  # noqa: B007
        decoder.step({"spikes": row})
    assert asked == list(range(23 % 4, 60, 4))


def test_numbers_on_a_grid_are_the_nearest_multiples_and_never_beyond_its_ends():
    grid = Grid(whole=1, fraction=2)
    values = np.array([0.1, 0.13, -0.4, 1.74, 1.9, 5.0, -9.0], np.float32)
    expected = [0.0, 0.25, -0.5, 1.75, 1.75, 1.75, -1.75]
    assert grid.bits == 4 and grid.rounded(values).tolist() == expected
    assert grid.values(grid.integers(values)).tolist() == expected
    tensor = torch.from_numpy(values).requires_grad_()
    held = grid.straight_through(tensor)
    held.sum().backward()
    assert held.tolist() == expected and tensor.grad.tolist() == [1, 1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize("decoder, bin_s", [(HybridSnnSrt, 0.004), (HybridSnnSrtCausal, 0.02)])
def test_on_the_grids_a_step_is_exactly_the_batch(decoder, bin_s):
    made, counts = drawn(decoder(), session(40, bin_s=bin_s), n_bins=300)
    made.reset(session(40, bin_s=bin_s))
    answers = np.stack([made.step({"spikes": row}) for row in counts])
    assert answers.std() > 1e-3
    np.testing.assert_array_equal(answers, run(made.network, made.coded(counts)))
    membrane = made._stream._units._layers[0].membrane
    np.testing.assert_array_equal(membrane, BUFFERS.rounded(membrane))


def test_the_small_network_is_kept_in_nine_bits_a_weight():
    made, _ = drawn(HybridSnnSrt(), session(96))
    bits, state = made.cost(session(96)).bits, made.state()
    content = artifact.pack(state, bits=bits)
    assert 75_200 * 9 / 8 < len(content) <= 128 * 1024
    again = HybridSnnSrt()
    again.restore(artifact.unpack(content), [session(96)])
    for name, values in made.weights().items():
        np.testing.assert_array_equal(again.weights()[name], values)
        assert bits["network." + name] == 9 and state["network." + name].dtype == np.int16
        np.testing.assert_array_equal(values, WEIGHTS.rounded(values))


@pytest.mark.long
def test_spikes_that_cost_something_are_fewer():
    def n_spikes(penalty):
        made = HybridSnnRtCausal(**{**QUICK, "updates": 20}, spike_penalty=penalty)
        made.fit([recording(bin_s=0.02)], [])
        with torch.no_grad():
            made.network(torch.from_numpy(made.coded(recording(bin_s=0.02).inputs.streams["spikes"]))[None])
        return made.network.recurrence.n_spikes.item()

    assert n_spikes(10.0) < 0.7 * n_spikes(0.0)


@pytest.mark.long
@pytest.mark.parametrize(
    "decoder, options",
    [
        (HybridSnnRtCausal, {}),
        (HybridSnnRt, {"kernels": [3, 6]}),
        (HybridSnnRt, {"kernels": [3, 6], "interpolated": False}),
        (GruT2, {}),
        (LifT2, {}),
    ],
)
def test_a_movement_is_decoded_where_its_delay_says(decoder, options):
    made = decoder(**options, updates=40, n_channels=20, batch_size=8, window_keypoints=30)
    about = {"n_units": 20, "bin_s": 0.02}
    made.fit([recording(900, **about)], [])
    test = recording(400, seed=2, **about)
    answers, n_late = made.predict(test.inputs, test.session), made.delay().bins
    assert mean_r2(test.targets[: 400 - n_late], answers[n_late:]) > 0.6


def test_the_penalty_is_on_what_multiplies_and_not_on_leaks_thresholds_and_biases():
    made, counts = drawn(HybridSnnRtCausal(**SMALL, input_dropout=0, dropout=0, spike_dropout=0), session())
    schedule = Schedule()
    segment = Segment(made.coded(counts), np.zeros((400, 2), np.float32), np.ones(400, bool))
    batch = next(batches([segment], schedule, np.random.default_rng(0)))
    free, costly = (
        _Course(made.network, schedule, Terms(weight_penalty=w))._loss(batch, quantised=False).item() for w in (0, 1)
    )
    names = ("convolutions.", "currents.", "recurrent", "linear.")
    of = [v for k, v in made.weights().items() if any(n in k for n in names) and not k.endswith("bias")]
    assert costly - free == pytest.approx(sum(np.abs(v).sum() for v in of), rel=1e-5)


@pytest.mark.parametrize("factors", [FLAGS, BUFFERS])
def test_a_convolution_whose_sums_might_not_be_exact_is_refused(factors):
    largest, bias = WEIGHTS.largest * factors.largest, WEIGHTS.largest * 2**factors.fraction
    assert most_terms(factors) * largest + bias <= 2**24 < (most_terms(factors) + 2) * largest
    with pytest.raises(HarnessError, match="18 columns x 200 channels adds 3600 .* 2121 at most"):
        HybridSnnSrt(n_channels=200).start(session())
