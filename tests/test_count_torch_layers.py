"""Counting whole layers of PyTorch, in closed form, however they are run."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.counted import MODES, count

# One step of a cell with I inputs and H units multiplies I * gates * H and H * gates * H times in its contractions.
# Its gates: none in a plain RNN; in a GRU reset * (hidden part of the candidate) and (h - candidate) * update, so 2 H;
# in an LSTM forget * c, input * candidate and output * tanh(c), so 3 H.
CELLS = [(nn.RNN, nn.RNNCell, 1, 0, 1), (nn.GRU, nn.GRUCell, 3, 2, 3), (nn.LSTM, nn.LSTMCell, 4, 3, 5)]


@pytest.mark.parametrize("grad", MODES)
@pytest.mark.parametrize("layer, _, n_blocks, n_products, n_functions", CELLS)
def test_a_recurrent_layer_has_its_closed_form(layer, _, n_blocks, n_products, n_functions, grad):
    n_in, n, n_steps, n_samples = 5, 7, 4, 3
    recurrent = layer(n_in, n, batch_first=True).eval()
    with grad():
        tally = count(recurrent, torch.randn(n_samples, n_steps, n_in))
    steps = n_samples * n_steps
    assert tally.dense == steps * n_blocks * n * (n_in + n)
    # The first hidden state is zero, and so is the first cell state.
    assert tally.macs + tally.acs == tally.dense - n_samples * n_blocks * n * n
    zeros = {nn.RNN: 0, nn.GRU: 0, nn.LSTM: n_samples * n}[layer]
    assert tally.elementwise == steps * n_products * n - zeros
    assert tally.activations == steps * n_functions * n
    assert sorted(n for n, _ in tally.weights.values()) == [n_blocks * n * n_in, n_blocks * n * n]


@pytest.mark.parametrize("_, cell, n_blocks, n_products, n_functions", CELLS)
def test_a_recurrent_cell_has_its_closed_form(_, cell, n_blocks, n_products, n_functions):
    step, state = cell(5, 7), torch.randn(3, 7)
    hidden = (state, state + 1) if cell is nn.LSTMCell else state
    tally = count(step, torch.randn(3, 5), hidden)
    assert (tally.macs, tally.elementwise) == (3 * n_blocks * 7 * 12, 3 * n_products * 7)


@pytest.mark.parametrize("options", [{"bidirectional": True}, {"num_layers": 2}, {"bias": False}])
@pytest.mark.parametrize("grad", MODES)
def test_an_lstm_of_any_shape_is_counted_and_unchanged(options, grad):
    lstm = nn.LSTM(5, 7, **options)
    with grad():
        tally = count(lstm, torch.randn(4, 3, 5))
    second = {"num_layers": 14, "bidirectional": 12}.get(next(iter(options)), 0)
    assert tally.dense == 4 * 3 * 4 * 7 * (12 + second)


@pytest.mark.parametrize("grad", MODES)
def test_attention_has_projections_similarities_and_mixtures(grad):
    n, width, n_heads, batch = 6, 8, 2, 3
    attention, x = nn.MultiheadAttention(width, n_heads, batch_first=True).eval(), torch.randn(batch, n, width)
    with grad():
        tally = count(lambda: attention(x, x, x, need_weights=False)[0], learned=attention)
    assert tally.dense == batch * (4 * n * width * width + 2 * n * n * width)
    # PyTorch scales queries and keys, and the softmax divides.
    assert tally.elementwise == batch * (2 * n * width + n_heads * n * n)


@pytest.mark.parametrize("grad", MODES)
def test_a_transformer_layer_has_its_closed_form(grad):
    n, width, wide, batch = 6, 8, 16, 3
    layer = nn.TransformerEncoderLayer(width, 2, wide, batch_first=True).eval()
    with grad():
        tally = count(layer, torch.randn(batch, n, width))
    assert tally.dense == batch * (4 * n * width**2 + 2 * n * n * width + 2 * n * width * wide)
    # Both norms square, scale and amplify each element.
    assert tally.elementwise == batch * (2 * n * width + 2 * n * n + 2 * 3 * n * width)


class StateSpaceStep(nn.Module):
    """One step in the manner of Mamba-2: projection, short convolution, decay and update of a state, read-out."""

    def __init__(self, width, n_state):
        super().__init__()
        self.into, self.out = nn.Linear(width, 2 * width + 2 * n_state + 1), nn.Linear(width, width)
        self.taps = nn.Parameter(torch.randn(4, width))
        self.n_state = n_state

    def forward(self, x, past, state):
        width = x.shape[-1]
        u, gate, b, c, rate = self.into(x).split([width, width, self.n_state, self.n_state, 1], dim=-1)
        u = functional.silu((torch.cat([past, u[None]]) * self.taps).sum(0))
        step = functional.softplus(rate)
        state = state * torch.exp(-step) + (step * u)[:, None] * b
        return self.out((state @ c) * functional.silu(gate))


@pytest.mark.parametrize("grad", MODES)
def test_a_state_space_step_has_its_closed_form(grad):
    width, n_state = 6, 5
    step = StateSpaceStep(width, n_state)
    with grad():
        tally = count(step, torch.randn(width), torch.randn(3, width), torch.randn(width, n_state))
    assert tally.dense == width * (2 * width + 2 * n_state + 1) + width * n_state + width**2
    # Taps, two gates of silu, step * u, decay and outer product of the state, gate.
    assert tally.elementwise == 4 * width + 2 * width + width + 2 * width * n_state + width


@pytest.mark.parametrize("dtype, booked", [(torch.qint8, "qint8"), (torch.float16, "float16")])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_dynamically_quantised_layer_is_counted(dtype, booked):
    layer = nn.Linear(6, 4)
    layer.weight.data = torch.tensor([1.0, 0, 2, 0, -2, 0]).repeat(4, 1)
    net = torch.ao.quantization.quantize_dynamic(nn.Sequential(layer), {nn.Linear}, dtype=dtype)
    x = torch.full((3, 6), 0.5)
    tally = count(lambda: net(x) + net(x), learned=net)
    assert (tally.macs, tally.precision) == (2 * 3 * 3 * 4, {booked: 72})
    assert list(tally.weights.values()) == [(24, 12)]


@pytest.mark.parametrize("compiled", [torch.jit.script, lambda net: torch.jit.trace(net, torch.ones(2, 3, 9))])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_counted_as_the_module_it_was_made_of(compiled):
    net = nn.Sequential(nn.Conv1d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(28, 2)).eval()
    x, script = torch.randn(2, 3, 9), compiled(net)
    for _ in range(3):
        assert count(script, x) == count(net, x)


def test_a_compiled_function_runs_plainly_while_it_is_counted():
    def hide(graph, inputs):
        answer = graph(*inputs)
        return lambda *_: answer

    x, w = torch.randn(3, 4), torch.randn(4, 5)
    fast = torch.compile(lambda a, b: torch.tanh(a @ b), backend=hide)
    fast(x, w)
    assert count(fast, x, w, learned=w).macs == 60
