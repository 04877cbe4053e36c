"""An excerpt, counted as the judge does it: both counters on, in the last bins, and what is told of it."""

import gc
import json
from pathlib import Path

import numpy as np
import pytest

from harness.judge.conformance_data import make_data
from harness.judge.count.excerpt import Subject, count, declaration, to_json
from harness.registry import construct, find

FILE = Path(__file__).parent / "hostile" / "working.py"
N_BINS = 64
DATA = make_data(("spikes",))
SPIKES = DATA.test.inputs.streams["spikes"][:N_BINS]


def fitted(name, settings=None):
    ref = find(f"{FILE}:{name}")
    decoder = construct(ref, settings or {})
    decoder.fit([DATA.train], [DATA.validation])
    return Subject(ref, decoder.parameters(), decoder.state(), [DATA.train.session])


def counted(subject, n_bins=N_BINS):
    return count(subject, DATA.test.inputs[:n_bins], DATA.test.session)


def by_loops(state):
    """Products of a bin whose factors are both not zero, in a network of linear layers and rectifiers, on average."""
    n, x = 0, SPIKES[-32:]
    for i in range(0, 10, 2):
        weight = state[f"{i}__weight_"]
        n += sum(bool(w and v) for values in x for row in weight for w, v in zip(row, values, strict=True))
        x = np.maximum(x @ weight.T + state[f"{i}__bias_"], 0)
    return n / 32


@pytest.mark.parametrize("name", ["FiveLayers", "Scripted"])
def test_a_deep_network_that_steps_in_pytorch_is_counted_by_its_products_alone(name):
    subject = fitted(name)
    one = counted(subject)
    assert (one.why, one.n_bins) == ("", 32)
    assert (one.tally.macs + one.tally.acs) / 32 == by_loops(subject.arrays)
    assert (one.tally.dense / 32, one.tally.elementwise) == (20 * 16 + 3 * 16 * 16 + 16 * 2, 0)
    assert sum(n for n, _ in one.tally.weights.values()) == 20 * 16 + 3 * 16 * 16 + 16 * 2


@pytest.mark.parametrize("name, dense, elementwise", [("Recurrent", 3 * 16 * 36 + 32, 2 * 16), ("Convolving", 336, 0)])
def test_layers_of_pytorch_have_their_closed_form_with_both_counters_on(name, dense, elementwise):
    """A GRU multiplies r * h and z * (h - n); a convolution has 3 kernels of 5 in 16 places, and 48 x 2 follow."""
    one = counted(fitted(name))
    assert one.why == ""
    assert (one.tally.dense / 32, one.tally.elementwise / 32) == (dense, elementwise)


@pytest.mark.parametrize("every", [2, 8, 16, 32])
@pytest.mark.parametrize("at", [0, 1])
def test_work_that_is_done_every_few_bins_is_counted_with_its_mean(every, at):
    one = counted(fitted("SeldomWorking", {"every": every, "at": at}))
    assert one.tally.dense / one.n_bins == 2 * 20 + 900 / every


@pytest.mark.parametrize("n_bins, n_counted", [(1, 1), (9, 5), (50, 25), (64, 32), (100, 32)])
def test_at_most_half_of_a_short_excerpt_is_counted(n_bins, n_counted):
    assert counted(fitted("Linear"), n_bins).n_bins == n_counted


def test_a_thread_in_the_last_bin_is_refused():
    one = counted(fitted("LateThread"))
    assert one.n_bins == 31
    assert "working.py" in one.why and "thread" in one.why


@pytest.mark.parametrize("name", ["Flat", "Enumerated", "Whole"])
def test_products_of_numbers_that_left_numpy_are_never_zero(name):
    one = counted(fitted(name))
    assert "Python's numbers at working.py" in one.why


def test_memory_that_views_share_is_counted_once():
    assert 160_000 <= counted(fitted("HoldsViews")).state_bytes <= 162_000


def test_a_decoder_whose_size_nobody_can_tell_is_counted_all_the_same():
    one = counted(fitted("HoldsSparse"))
    assert (one.state_bytes, one.why, one.tally.dense) == (None, "", 32 * 40)


def test_what_is_told_is_plain_json_also_of_numpy_s_numbers():
    subject = fitted("Declares")
    one = counted(subject)
    one.tally.macs = np.float32(one.tally.macs)
    told = to_json(one) | declaration(construct(subject.ref, subject.settings), DATA.test.session)
    assert json.loads(json.dumps(told)) == told
    assert (told["macs"] + told["acs"], told["declared"]["bits"]) == (2 * np.count_nonzero(SPIKES[-32:]), {"map_": 4})
    assert (told["declared"]["macs_per_bin"], told["declared"]["acs_per_bin"]) == (40.0, 3.0)


@pytest.mark.parametrize(
    "kind, error",
    [
        ("text", "ValueError: could not convert string to float: 'many'"),
        ("fractions of a bit", "TypeError: 'float' object cannot be interpreted as an integer"),
        ("no cost", "AttributeError: 'NoneType'"),
        ("unheard of", "KeyError: 'unheard of'"),
    ],
)
def test_a_declaration_that_cannot_be_read_is_told_with_its_reason(kind, error):
    told = declaration(construct(find(f"{FILE}:Declares"), {"kind": kind}), DATA.test.session)
    assert told["declared"] is None
    assert told["declared_error"].startswith(error)


@pytest.mark.parametrize("name, settings", [("Linear", {}), ("Declares", {"kind": "nothing known"})])
def test_who_declares_nothing_has_no_error(name, settings):
    told = declaration(construct(find(f"{FILE}:{name}"), settings), DATA.test.session)
    assert told["declared_error"] == ""
    assert (told["declared"] or {"macs_per_bin": None})["macs_per_bin"] is None


def test_what_the_collector_of_garbage_calls_is_nobodys_work():
    def told(*_):
        sorted(range(9))

    gc.callbacks.append(told)
    before = gc.get_threshold()
    try:
        gc.set_threshold(1, 1, 1)  # A collection at nearly every step.
        one = counted(fitted("Linear"))
        assert gc.isenabled()
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(told)
    assert (one.why, one.n_bins) == ("", 32)
