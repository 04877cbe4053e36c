"""What counting operations costs, as a ratio to the same pass without it. Target (design, section 9): at most 2.

Batches through networks, and the excerpt that the judge counts: bin by bin, its last 32 bins of 256.
"""

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
from tests.perf.rows import keep, seconds

ROUNDS = 15
NETWORKS = {
    "mlp, 256 samples": (nn.Sequential(nn.Linear(96, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU()), (256, 96)),
    "gru, 64 x 100 bins": (nn.GRU(96, 256, batch_first=True), (64, 100, 96)),
    "lstm, 64 x 100 bins": (nn.LSTM(96, 256, batch_first=True), (64, 100, 96)),
    "conv, 64 x 200 samples": (nn.Sequential(nn.Conv1d(32, 64, 5), nn.ReLU(), nn.Conv1d(64, 64, 5)), (64, 32, 200)),
    "transformer, 32 x 50": (nn.TransformerEncoderLayer(128, 8, batch_first=True).eval(), (32, 50, 128)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_batch(name, benchmark):
    torch.set_num_threads(1)
    network, shape = NETWORKS[name]
    x, learned, ratios = torch.randn(shape), storages(network), []
    with torch.inference_mode():
        for _ in range(ROUNDS):
            plain = seconds(lambda: network(x))
            with counting(Tally(), learned):
                ratios.append(seconds(lambda: network(x)) / plain)
        benchmark.pedantic(network, (x,), rounds=5)
    keep(
        benchmark,
        f"counting operations, a batch through {name}: over a plain pass",
        median(ratios),
        limit=2,
        unit="times",
    )


@pytest.mark.parametrize("decoder", [Wiener(), Mlp(updates=2), Gru(updates=2), Lstm(updates=2)], ids=str)
def test_the_judges_excerpt(decoder, benchmark):
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
    benchmark.pedantic(Decoder.predict, (decoder, inputs, session), rounds=5)
    what = f"counting operations, {counted.n_bins} bins of an excerpt of 256 through {name}: over a plain pass"
    keep(benchmark, what, median(ratios), limit=2, unit="times")
    assert counted.n_bins == 32
