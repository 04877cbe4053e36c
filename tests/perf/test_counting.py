"""What counting operations costs, as a ratio to the same pass without it. Target (design, section 9): at most 2.

Batches through networks, and the excerpt that the judge counts: bin by bin, its last 32 bins of 256.
"""

import time
from collections.abc import Callable
from statistics import median

import pytest
import torch
from torch import nn

from baselines.gru import Gru
from baselines.lstm import Lstm
from baselines.mlp import Mlp
from baselines.wiener import Wiener
from harness import Decoder
from harness.judge.conformance_data import make_data
from harness.judge.count import excerpt
from harness.judge.count.in_torch import counting, storages
from harness.judge.count.tally import Tally
from harness.registry import find

ROUNDS = 15
NETWORKS = {
    "mlp, 256 samples": (nn.Sequential(nn.Linear(96, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU()), (256, 96)),
    "gru, 64 x 100 bins": (nn.GRU(96, 256, batch_first=True), (64, 100, 96)),
    "lstm, 64 x 100 bins": (nn.LSTM(96, 256, batch_first=True), (64, 100, 96)),
    "conv, 64 x 200 samples": (nn.Sequential(nn.Conv1d(32, 64, 5), nn.ReLU(), nn.Conv1d(64, 64, 5)), (64, 32, 200)),
    "transformer, 32 x 50": (nn.TransformerEncoderLayer(128, 8, batch_first=True).eval(), (32, 50, 128)),
}


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@pytest.mark.parametrize("name", NETWORKS)
def test_a_batch(name):
    torch.set_num_threads(1)
    network, shape = NETWORKS[name]
    x, learned, ratios = torch.randn(shape), storages(network), []
    with torch.inference_mode():
        for _ in range(ROUNDS):
            plain = seconds(lambda: network(x))
            with counting(Tally(), learned):
                ratios.append(seconds(lambda: network(x)) / plain)
    print(f"\n{name}: {median(ratios):.2f} times a plain pass")
    assert median(ratios) > 0


@pytest.mark.parametrize("decoder", [Wiener(), Mlp(updates=2), Gru(updates=2), Lstm(updates=2)], ids=str)
def test_the_judges_excerpt(decoder):
    data = make_data(("spikes",))
    decoder.fit([data.train], [data.validation])
    inputs, session = data.test.inputs[:256], data.test.session
    name = type(decoder).__name__.lower()
    subject = excerpt.Subject(find(name), decoder.parameters(), decoder.state(), [session])
    ratios = []
    for _ in range(ROUNDS):
        plain = seconds(lambda: Decoder.predict(decoder, inputs, session))
        counted = excerpt.Counted(Decoder.predict(decoder, inputs, session), Tally())
        ratios.append(seconds(lambda one=counted: excerpt._tally(subject, inputs, session, one)) / plain)
    print(f"\n{name}: {median(ratios):.2f} times a plain pass of 256 bins, {counted.n_bins} of them counted")
    assert counted.n_bins == 32
