"""The public PyTorch helper: arrays in and out, one training loop, the same numbers in every process."""

import math
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from harness import HarnessError, SessionInfo, StreamInfo
from harness.torch_decoder import Schedule, Segment, TorchDecoder, batches, mean_r2, one_cycle, run, train

SESSION = SessionInfo("s", "monkey", {"spikes": StreamInfo(4)}, 0.02, ("x", "y"))


@dataclass
class Line(TorchDecoder):
    """The smallest network there is, plus an array of its own."""

    inputs = ("spikes",)

    def build(self, session):
        return torch.nn.Linear(session.streams["spikes"].n_channels, len(session.outputs))

    def fit(self, recordings, validation):
        self.start(recordings[0].session)
        self.offset_ = np.array([1.0, 2.0])

    def reset(self, session):
        pass

    def step(self, bin):
        return run(self.network, bin["spikes"][None])[0] + self.offset_


def line(seed=0):
    decoder = Line(seed)
    decoder.start(SESSION)
    decoder.offset_ = np.array([1.0, 2.0])
    return decoder


def segment(seed, *, n_bins=300, noise=0.1, scored=None):
    """Targets are a fixed linear map of white features, plus noise."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n_bins, 4)).astype(np.float32)
    weights = np.array([[1, 0], [0, -1], [0.5, 0.5], [0, 0]])
    targets = (features @ weights + noise * rng.normal(size=(n_bins, 2))).astype(np.float32)
    return Segment(features, targets, np.ones(n_bins, bool) if scored is None else scored)


@dataclass
class LineInNumpy(Line):
    """The same, and its step needs no network."""

    steps_in_numpy = True

    def step(self, bin):
        weights = self.weights()
        return weights["weight"] @ bin["spikes"] + weights["bias"] + self.offset_


def test_what_steps_in_numpy_is_restored_without_a_network_and_gets_one_when_it_is_asked_for(monkeypatch):
    fitted, fresh, built = line(seed=3), LineInNumpy(seed=3), []
    build = LineInNumpy.build
    monkeypatch.setattr(LineInNumpy, "build", lambda self, session: built.append(self) or build(self, session))
    fresh.restore({k: v + 1 for k, v in fitted.state().items()}, [SESSION])
    spikes = {"spikes": np.array([1, 0, 2, 1], np.float32)}
    fresh.reset(SESSION)
    answer = fresh.step(spikes)
    assert {k: v.tolist() for k, v in fresh.state().items()} == {k: (v + 1).tolist() for k, v in fitted.state().items()}
    assert built == []
    assert run(fresh.network, spikes["spikes"][None])[0] + fresh.offset_ == pytest.approx(answer)
    assert fresh.network is fresh.network
    assert built == [fresh]
    fresh.network.bias.data += 1
    assert fresh.step(spikes) == pytest.approx(answer + 1)


def test_a_decoder_that_steps_in_pytorch_has_its_network_when_it_is_restored():
    fresh = Line(seed=3)
    fresh.restore(line(seed=3).state(), [SESSION])
    assert isinstance(vars(fresh)["network"], torch.nn.Linear)


def test_a_network_survives_as_arrays():
    fitted, fresh = line(seed=3), Line(seed=3)
    state = fitted.state()
    assert set(state) == {"network.weight", "network.bias", "offset_"}
    fresh.restore({k: v + 1 for k, v in state.items()}, [SESSION])
    spikes = {"spikes": np.array([1, 0, 2, 1], np.float32)}
    expected = (state["network.weight"] + 1) @ spikes["spikes"] + state["network.bias"] + 1 + np.array([2.0, 3.0])
    np.testing.assert_allclose(fresh.step(spikes), expected, rtol=1e-6)


def test_restoring_keeps_no_hold_on_the_arrays_it_was_given():
    decoder, state = Line(), {k: v.copy() for k, v in line().state().items()}
    decoder.restore(state, [SESSION])
    state["network.weight"][:] = 99
    assert np.abs(decoder.weights()["weight"]).max() < 1


@pytest.mark.parametrize("seed, same", [(0, True), (1, False)])
def test_the_seed_alone_decides_the_first_weights(seed, same):
    torch.rand(17)  # whatever was drawn before must not matter
    assert np.array_equal(line(seed).weights()["weight"], line(0).weights()["weight"]) is same


def test_training_finds_the_least_squares_solution():
    network, data = line().network, segment(1, n_bins=1000)
    score = train(
        network, [data], [segment(2)], schedule=Schedule(updates=300, learning_rate=0.05, weight_decay=0), seed=0
    )
    with_one = np.column_stack([data.features, np.ones(1000)])
    exact = np.linalg.lstsq(with_one, data.targets, rcond=None)[0]
    np.testing.assert_allclose(network.weight.detach().numpy(), exact[:4].T, atol=0.02)
    assert score == pytest.approx(mean_r2(network, [segment(2)])) and score > 0.97


def test_unscored_bins_do_not_teach():
    scored = np.arange(300) < 150
    clean = segment(1, scored=scored)
    wild = Segment(clean.features, np.where(scored[:, None], clean.targets, 1e6).astype(np.float32), scored)
    networks = [line().network, line().network]
    for network, data in zip(networks, (clean, wild), strict=True):
        train(network, [data], [], schedule=Schedule(updates=20), seed=0)
    np.testing.assert_array_equal(*(n.weight.detach().numpy() for n in networks))


def test_training_stops_early_and_keeps_the_best_weights():
    pure_noise = [Segment(s.features, s.targets[::-1].copy(), s.scored) for s in (segment(1, n_bins=40), segment(2))]
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(4, 200), torch.nn.ReLU(), torch.nn.Linear(200, 2))
    calls = []
    network.register_forward_hook(lambda *_: calls.append(network.training))
    score = train(network, pure_noise[:1], pure_noise[1:], schedule=Schedule(updates=2000, learning_rate=0.02), seed=0)
    assert sum(calls) < 1000
    assert mean_r2(network, pure_noise[1:]) == pytest.approx(score, abs=1e-6)


def test_without_validation_the_last_weights_are_kept():
    network = line().network
    score = train(network, [segment(1)], [], schedule=Schedule(updates=100, learning_rate=0.05), seed=0)
    assert score == -math.inf
    assert mean_r2(network, [segment(2)]) > 0.9


def test_a_loss_that_runs_away_is_an_error_that_names_the_way_out():
    data = segment(1)
    data.features[7] = np.inf
    with pytest.raises(HarnessError, match="lower the learning rate"):
        train(line().network, [data], [], schedule=Schedule(updates=5), seed=0)


def test_nothing_scored_is_an_error():
    with pytest.raises(HarnessError, match="no scored bin"):
        train(line().network, [segment(1, scored=np.zeros(300, bool))], [], schedule=Schedule(), seed=0)


@pytest.mark.parametrize("warm_up_bins", [0, 7])
def test_an_epoch_of_windows_scores_every_scored_bin_once(warm_up_bins):
    segments = [segment(1, n_bins=95, scored=np.arange(95) % 3 > 0), segment(2, n_bins=12)]
    schedule = Schedule(window_bins=20, warm_up_bins=warm_up_bins, batch_size=100)
    batch = next(batches(segments, schedule, np.random.default_rng(0)))
    seen = batch.features[batch.weights[..., 0] > 0].numpy()
    expected = np.concatenate([s.features[s.scored] for s in segments])
    np.testing.assert_array_equal(np.sort(seen, axis=0), np.sort(expected, axis=0))


def test_windows_move_from_epoch_to_epoch():
    stream = batches([segment(1)], Schedule(window_bins=50, batch_size=100), np.random.default_rng(0))
    firsts = {next(stream).features[:, 0].numpy().tobytes() for _ in range(4)}
    assert len(firsts) == 4


def test_the_learning_rate_rises_to_its_peak_and_falls_to_nothing():
    rates = np.array([one_cycle(p) for p in np.linspace(0, 1, 101)])
    assert rates.argmax() == 10 and rates[10] == pytest.approx(1) and rates[100] == pytest.approx(0)
    assert (np.diff(rates[:11]) > 0).all() and (np.diff(rates[10:]) < 0).all()


@pytest.mark.long
def test_two_fresh_processes_train_the_same_network():
    program = """
import hashlib, numpy as np
from baselines.gru import Gru
from harness import Inputs, Recording, SessionInfo, StreamInfo
rng = np.random.default_rng(0)
session = SessionInfo("s", "m", {"spikes": StreamInfo(6)}, 0.02, ("x",))
inputs = Inputs({"spikes": rng.poisson(2, (300, 6)).astype(np.float32)}, np.arange(300) == 0, 0.02)
data = Recording(session, inputs, rng.normal(size=(300, 1)).astype(np.float32), np.ones(300, bool))
decoder = Gru(seed=5, hidden=16, updates=12)
decoder.fit([data], [data])
print(hashlib.sha256(b"".join(v.tobytes() for v in decoder.state().values())).hexdigest())
"""
    runs = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    hashes = [p.communicate(timeout=60)[0] for p in runs]
    assert len(hashes[0].strip()) == 64 and hashes[0] == hashes[1]


def test_the_judge_does_not_load_torch():
    program = "import harness, harness.registry, sys; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
