"""What is read off an artefact, and what is believed of what a worker tells."""

import numpy as np
import pytest

from harness.judge.energy import energy_model, energy_nj
from harness.score.cost import Operations, WrongDeclaration, footprint_bytes, operations_from, packed_bytes

ARRAYS = {
    "weights_": np.arange(100, dtype=np.float32) % 4,
    "bias_": np.zeros(10, np.float64),
    "mask_": np.array([True, False] * 8),
}
TOLD = {
    "n_bins": 4,
    "why": "",
    "state_bytes": 400,
    "macs": 80.0,
    "acs": 20,
    "dense": 400,
    "elementwise": 8,
    "activation_sparsity": 0.25,
    "connection_sparsity": None,
    "precision": {"float32": 88.0, "float32 accumulate": 20.0},
    "declared": None,
}
DECLARED = {"macs_per_bin": 0, "acs_per_bin": 0, "elementwise_per_bin": 0, "activation_sparsity": None, "bits": {}}


def test_a_footprint_is_in_the_dtypes_in_which_it_is_stored():
    assert footprint_bytes(ARRAYS) == 100 * 4 + 10 * 8 + 16


def test_declared_widths_pack_whole_arrays_into_bytes():
    assert packed_bytes(ARRAYS, {"weights_": 2, "mask_": 1}) == 25 + 80 + 2


@pytest.mark.parametrize(
    "bits, said",
    [
        ({"weights_": 1}, "1 bits are declared for 'weights_', which holds 4 different values; declare at least 2"),
        ({"weight_": 2}, "bits are declared for 'weight_'; state\\(\\) has bias_, mask_, weights_"),
        ({"weights_": 65}, "65 bits"),
        ({"weights_": 0}, "0 bits"),
    ],
)
def test_widths_that_cannot_hold_are_refused(bits, said):
    with pytest.raises(WrongDeclaration, match=said):
        packed_bytes(ARRAYS, bits)


def test_counted_operations_are_per_bin():
    found, bits = operations_from(TOLD)
    assert bits == {}
    assert (found.how, found.macs, found.acs, found.dense, found.elementwise) == ("counted", 20.0, 5.0, 100.0, 2.0)
    assert found.effective == 27.0
    assert found.precision == {"float32": 22.0, "float32 accumulate": 5.0}


def test_what_cannot_be_counted_is_declared_or_unknown_and_never_zero():
    declared = DECLARED | {"macs_per_bin": 30, "elementwise_per_bin": 2}
    stopped = TOLD | {"why": "np.fft.rfft at mine.py:7"}
    assert operations_from(stopped | {"declared": declared})[0].effective == 32.0
    unknown, _ = operations_from(stopped)
    assert (unknown.how, unknown.effective, unknown.macs) == ("unknown", None, None)
    assert "np.fft.rfft" in unknown.why


@pytest.mark.parametrize(
    "changes",
    [
        {"macs": -1},
        {"macs": float("nan")},
        {"macs": "many"},
        {"macs": True},
        {"acs": None},
        {"dense": 50},
        {"activation_sparsity": 1.5},
        {"state_bytes": float("inf")},
        {"n_bins": -4},
        {"precision": {"float32": -1.0}},
        {"precision": ["abc"]},
        {"precision": None},
        {"macs": 10**400},
        {"n_bins": 1e-300},
        {"n_bins": True},
        {"why": 3},
        {"state_bytes": 1e300},
        {"declared": [1]},
        {"declared": "x"},
        {"declared": DECLARED | {"macs_per_bin": 1e308}},
        {"declared": DECLARED | {"bits": {"weights_": "two"}}},
        {"declared_error": "TypeError: no"},
        {"more": 1},
    ],
    ids=lambda changes: str(changes)[:40].encode("ascii", "replace").decode(),
)
def test_a_count_that_no_counter_gives_is_refused(changes):
    with pytest.raises(WrongDeclaration):
        operations_from(TOLD | changes)


@pytest.mark.parametrize("told", [{}, {"n_bins": 1}, [], None, "x"])
def test_a_reply_that_is_no_count_is_refused(told):
    with pytest.raises(WrongDeclaration):
        operations_from(told)


def test_what_a_worker_writes_is_made_printable():
    assert operations_from(TOLD | {"why": "\ud800 \x1b[31m"})[0].why == "? ?[31m"


def test_rounding_does_not_make_more_effective_products_than_there_are():
    assert operations_from(TOLD | {"n_bins": 15, "macs": 387, "acs": 193, "dense": 580})[0].how == "counted"


def test_energy_is_the_sum_of_the_tables_products():
    operations = Operations("counted", precision={"float32": 1000.0, "float32 accumulate": 500.0, "int8": 200.0})
    assert energy_nj(operations, energy_model()) == pytest.approx((1000 * 4.6 + 500 * 0.9 + 200 * 0.23) / 1e3)


def test_energy_of_a_dtype_that_no_table_has_is_not_invented():
    assert energy_nj(Operations("counted", precision={"float64": 1.0}), energy_model()) is None
    assert energy_nj(Operations("declared", macs=5.0), energy_model()) is None
