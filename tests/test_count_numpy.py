"""Operations of NumPy, counted: against slow loops, the same function of zeros and ones, and closed forms."""

import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit

from harness.judge.count.in_numpy import NumpyCounter
from harness.judge.count.tally import Tally, UncountedOperation

HERE = Path(__file__)


def holed(*shape, seed=0, dtype=np.float64):
    """Numbers between 2 and 3, a third of them replaced by zero."""
    rng = np.random.default_rng([seed, *shape])
    return (rng.uniform(2, 3, shape) * (rng.random(shape) > 0.3)).astype(dtype)


def counted(function, *arrays, learned=False):
    """What a function of arrays gives, and the tally of it."""
    tally = Tally()
    with NumpyCounter([HERE]) as counter:
        given = counter.wrap({str(i): a for i, a in enumerate(arrays)}, learned=learned)
        with counter.on(tally):
            result = function(*given.values())
    return result, tally


def effective_by_loops(a, b):
    """Products of matmul whose factors are both not zero, one by one."""
    a, b = a[None] if a.ndim == 1 else a, b[:, None] if b.ndim == 1 else b
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = np.broadcast_to(a, batch + a.shape[-2:]), np.broadcast_to(b, batch + b.shape[-2:])
    n, dense = 0, 0
    for where in np.ndindex(*batch):
        for i, k, j in np.ndindex(a.shape[-2], a.shape[-1], b.shape[-1]):
            dense += 1
            n += bool(a[(*where, i, k)] and b[(*where, k, j)])
    return n, dense


@pytest.mark.parametrize(
    "left, right",
    [
        [(4,), (4,)],
        [(3, 4), (4,)],
        [(4,), (4, 5)],
        [(3, 4), (4, 5)],
        [(2, 3, 4), (4, 5)],
        [(2, 3, 4), (4,)],
        [(4,), (2, 4, 5)],
        [(2, 3, 4), (2, 4, 5)],
        [(2, 1, 3, 4), (6, 4, 5)],
        [(1, 3, 4), (7, 4, 5)],
        [(3, 0), (0, 5)],
    ],
)
def test_a_matrix_product_counts_pairs_of_factors_that_are_not_zero(left, right):
    a, b = holed(*left), holed(*right, seed=1)
    result, tally = counted(lambda a, b: a @ b, a, b)
    assert (tally.macs, tally.dense) == effective_by_loops(a, b)
    np.testing.assert_array_equal(result, a @ b)


BILINEAR = {
    "dot of vectors": (lambda a, b: np.dot(a, b), (5,), (5,)),
    "dot as a method": (lambda a, b: a.dot(b), (3, 5), (5, 2)),
    "dot of stacks": (lambda a, b: np.dot(a, b), (2, 3, 5), (4, 5, 2)),
    "inner": (lambda a, b: np.inner(a, b), (3, 5), (2, 5)),
    "vdot": (lambda a, b: np.vdot(a, b), (3, 5), (5, 3)),
    "tensordot": (lambda a, b: np.tensordot(a, b, axes=([2, 0], [0, 1])), (2, 3, 4), (4, 2, 5)),
    "tensordot by number": (lambda a, b: np.tensordot(a, b, 1), (2, 3), (3, 4)),
    "transposed": (lambda a, b: a.T @ b[::-1].T, (5, 3), (2, 5)),
    "matvec": (lambda a, b: np.matvec(a, b), (2, 3, 5), (2, 5)),
    "vecmat": (lambda a, b: np.vecmat(a, b), (5,), (2, 5, 3)),
    "vecdot": (lambda a, b: np.vecdot(a, b), (2, 5), (2, 5)),
    "linalg.multi_dot": (lambda a, b: np.linalg.multi_dot([a, b]), (3, 5), (5, 2)),
    "linalg.tensordot": (lambda a, b: np.linalg.tensordot(a, b, axes=1), (2, 3), (3, 4)),
    "linalg.matmul": (lambda a, b: np.linalg.matmul(a, b), (3, 5), (5, 2)),
    "linalg.vecdot": (lambda a, b: np.linalg.vecdot(a, b), (2, 5), (2, 5)),
    "with a place for the result": (lambda a, b: np.dot(a, b, out=np.empty((3, 2))), (3, 5), (5, 2)),
    "convolve": (lambda a, b: np.convolve(a, b), (7,), (3,)),
    "convolve, valid": (lambda a, b: np.convolve(a, b, "valid"), (7,), (3,)),
    "correlate": (lambda a, b: np.correlate(a, b, mode="same"), (7,), (3,)),
    "einsum": (lambda a, b: np.einsum("ij,jk->ik", a, b), (3, 5), (5, 2)),
    "einsum, implicit": (lambda a, b: np.einsum("ij,j", a, b), (3, 5), (5,)),
    "einsum in batches": (lambda a, b: np.einsum("bij, bjk -> bki", a, b), (4, 3, 5), (4, 5, 2)),
    "einsum, private sum": (lambda a, b: np.einsum("ij,k->k", a, b), (3, 5), (2,)),
    "einsum with dots": (lambda a, b: np.einsum("...ij,...j->...i", a, b), (4, 3, 5), (4, 5)),
    "einsum, diagonal": (lambda a, b: np.einsum("ii,ij->j", a, b), (3, 3), (3, 4)),
}


@pytest.mark.parametrize("name", BILINEAR)
def test_a_contraction_counts_what_it_gives_for_zeros_and_ones(name):
    function, *shapes = BILINEAR[name]
    a, b = holed(*shapes[0]), holed(*shapes[1], seed=1)
    result, tally = counted(function, a, b)
    assert tally.macs == function((a != 0) * 1.0, (b != 0) * 1.0).sum()
    assert tally.dense == function(np.ones_like(a), np.ones_like(b)).sum()
    assert (tally.acs, tally.elementwise) == (0, 0)
    np.testing.assert_array_equal(result, function(a, b))


def test_a_power_of_a_matrix_is_counted_by_its_products():
    a = holed(3, 3)
    _, tally = counted(lambda a: np.linalg.matrix_power(a, 3), a)
    assert tally.macs == effective_by_loops(a, a)[0] + effective_by_loops(a @ a, a)[0]


X = np.array([0.0, 2.0, 3.0, 0.0, 4.0])
POSITIVE = np.array([2.0, 3.0, 4.0])
PRODUCTS = [
    ("x * 2", lambda x: x * 2, X, 3),
    ("2 / x", lambda x: 2 / x, POSITIVE, 3),
    ("x * x.T", lambda x: np.outer(x, x), X, 9),
    ("multiply.outer", lambda x: np.multiply.outer(x, x), X, 9),
    ("einsum without a sum", lambda x: np.einsum("i,j->ij", x, x), X, 9),
    ("kron", lambda x: np.kron(x, x), X, 9),
    ("square", lambda x: x**2, X, 3),
    ("power", lambda x: np.power(x, 3.0), X, 3),
    ("reciprocal", lambda x: np.reciprocal(x), POSITIVE, 3),
    ("only some", lambda x: np.multiply(x, 2, where=x > 2.5, out=np.zeros_like(x)), X, 2),
    ("prod", lambda x: np.prod(x), POSITIVE, 2),
    ("prod as a method", lambda x: x.prod(), POSITIVE, 2),
    ("prod of rows", lambda x: np.prod(x.reshape(2, 3), axis=1), np.arange(6.0), 2),
    ("cumprod", lambda x: np.cumprod(x), POSITIVE, 2),
    ("mean", lambda x: np.mean(x), X, 1),
    ("mean as a method", lambda x: x.mean(), X, 1),
    ("var", lambda x: np.var(x), POSITIVE, 1 + 2 + 1),
    ("std as a method", lambda x: x.std(), POSITIVE, 1 + 2 + 1),
    ("weighted average", lambda x: np.average(x, weights=x), POSITIVE, 3 + 1),
    ("mean without the missing", lambda x: np.nanmean(x), np.array([2.0, np.nan, 4.0]), 1),
    ("prod without the missing", lambda x: np.nanprod(x), np.array([2.0, np.nan, 4.0]), 2),
    ("median", lambda x: np.median(x), POSITIVE, 1),
    ("rounding", lambda x: np.round(x) + x.round(), POSITIVE, 0),
    ("rounding to digits", lambda x: x.round(1), POSITIVE, 3 + 3),
    ("cumprod as a method", lambda x: x.cumprod(), POSITIVE, 2),
    ("linalg.outer", lambda x: np.linalg.outer(x, x), X, 9),
    ("polynomial", lambda x: np.polyval(np.array([5.0, 6.0, 7.0]), x), POSITIVE, 2 * 3),
    ("one element", lambda x: x[1] * x[2] + x[0] * x[1], X, 1),
    ("a sum over elements", lambda x: sum(v * v for v in x), X, 3),
    ("a number's power", lambda x: 2 ** x[1] - x[2] ** 2, X, 2),
    ("in place", lambda x: np.add(x, 0).__imul__(3), X, 3),
    ("of integers", lambda x: x.astype(np.int64) * 3, X, 3),
]


@pytest.mark.parametrize("function, x, n", [p[1:] for p in PRODUCTS], ids=[p[0] for p in PRODUCTS])
def test_element_wise_products_that_are_not_zero_are_counted(function, x, n):
    result, tally = counted(function, x.copy())
    assert (tally.elementwise, tally.macs, tally.acs) == (n, 0, 0)
    np.testing.assert_array_equal(result, function(x.copy()))


FREE = {
    "addition": lambda x: x + x - 1,
    "exponential": lambda x: np.exp(-x) + np.sqrt(x),
    "sum": lambda x: np.sum(x) + x.sum() + x.max(),
    "shape": lambda x: np.concatenate([x.reshape(1, -1), np.stack([x])]).T.ravel(),
    "fancy indexing": lambda x: x[[0, 2, 1]][x[:3] > 1],
    "where": lambda x: np.where(x > 1, x, 0),
    "sorting": lambda x: np.argsort(x)[np.argmax(x)],
    "writing": lambda x: np.add.at(y := np.zeros(9), np.arange(5), x) or y,
    "making": lambda x: np.array([x[0], x[1]]) + np.zeros(2),
    "rolling": lambda x: np.roll(np.pad(x, 2), 1),
    "einsum of one": lambda x: np.einsum("ij->ji", x[None]),
    "writing flat": lambda x: setattr(y := np.zeros((2, 2)), "flat", x[:4]) or y,
    "maximum norm": lambda x: np.linalg.norm(x, np.inf),
}


@pytest.mark.parametrize("name", FREE)
def test_what_multiplies_nothing_is_free_and_gives_the_same(name):
    result, tally = counted(FREE[name], X.copy())
    assert (tally.elementwise, tally.macs, tally.acs, tally.activations) == (0, 0, 0, 0)
    np.testing.assert_array_equal(result, FREE[name](X.copy()))
    assert getattr(result, "dtype", None) == getattr(FREE[name](X.copy()), "dtype", None)


SIGNED = np.array([-1.0, 0.0, 2.0, 3.0])
ACTIVATIONS = [
    ("rectifier", lambda x: np.maximum(x, 0), 4, 2),
    ("the other way round", lambda x: np.maximum(0.0, x), 4, 2),
    ("clip", lambda x: np.clip(x, 0, 1), 4, 2),
    ("clip as a method", lambda x: x.clip(0), 4, 2),
    ("tanh", lambda x: np.tanh(x), 4, 1),
    ("logistic", lambda x: expit(x), 4, 0),
    ("heaviside", lambda x: np.heaviside(x, 0), 4, 2),
    ("spikes", lambda x: (x > 2.5).astype(np.float32), 4, 3),
    ("spikes in arithmetic", lambda x: x - (x > 2.5), 4, 3),
    ("spikes used twice", lambda x: (spikes := x > 2.5) + x - spikes, 4, 3),
    ("no activation", lambda x: np.maximum(x, 1) + x.clip(1), 0, 0),
]


@pytest.mark.parametrize("function, n, zeros", [a[1:] for a in ACTIVATIONS], ids=[a[0] for a in ACTIVATIONS])
def test_activations_are_counted_with_their_zeros(function, n, zeros):
    result, tally = counted(function, SIGNED.copy())
    assert (tally.activations, tally.zero_activations) == (n, zeros)
    np.testing.assert_array_equal(result, function(SIGNED))


@pytest.mark.parametrize("inputs", [[0, 1, 0, 1], [-1, 1, 0, 1], [True, False, True, True]])
def test_a_product_with_signs_accumulates(inputs):
    _, tally = counted(lambda w, x: w @ x, holed(3, 4) + 1, np.array(inputs))
    assert (tally.acs, tally.macs) == (3 * np.count_nonzero(inputs), 0)
    assert tally.precision == {"float64 accumulate": tally.acs}


def test_a_weight_seen_in_many_bins_and_views_is_one_weight_with_its_zeros():
    weight, tally = np.array([[1.5, 0, 2], [0, 0, 3]]), Tally()
    with NumpyCounter() as counter:
        w = counter.wrap({"w": weight}, learned=True)["w"]
        for seed in range(3):
            x = counter.wrap({"x": holed(3, seed=seed)}, learned=False)["x"]
            with counter.on(tally):
                x @ (w.T @ (w @ x))
    assert list(tally.weights.values()) == [(6, 3)]


def test_a_copy_of_a_weight_is_a_weight_and_what_was_computed_is_not():
    copies = {"copy": lambda w: w.copy(), "float32": lambda w: w.astype(np.float32), "np.array": lambda w: np.array(w)}
    for function in copies.values():
        _, tally = counted(lambda w, f=function: f(w) @ np.arange(4.0), holed(3, 4), learned=True)
        assert [n for n, _ in tally.weights.values()] == [12]
    _, tally = counted(lambda w: (w + 1) @ np.arange(4.0), holed(3, 4), learned=True)
    assert tally.weights == {}


def test_copies_of_weights_made_in_every_bin_are_counted_right_and_not_kept():
    with NumpyCounter() as counter:
        w = counter.wrap({"w": np.zeros((2, 3))}, learned=True)["w"]
        for k in range(1, 50):
            w[0] = k % 3
            with counter.on(tally := Tally()):
                copied = w.copy()
                copied @ np.arange(1.0, 4.0)
            assert tally.macs + tally.acs == (3 if k % 3 else 0)
            alive = weakref.ref(copied)
            del copied
            assert alive() is None


@pytest.mark.parametrize("change", ["assigned", "in place", "between bins"])
def test_a_weight_that_is_changed_is_counted_anew(change):
    tally = Tally()
    with NumpyCounter() as counter:
        w = counter.wrap({"w": np.ones((2, 3)) + 1}, learned=True)["w"]
        with counter.on(tally):
            w @ np.arange(1.0, 4.0)
            if change == "assigned":
                w[0] = 0
            elif change == "in place":
                w -= w
        if change == "between bins":
            w -= w
        with counter.on(second := Tally()):
            w @ np.arange(1.0, 4.0)
    assert (tally.macs, second.macs) == (6, 3 if change == "assigned" else 0)


def test_results_keep_the_types_and_identities_that_they_had():
    def look(x):
        y = x
        y *= 2
        total = np.add(x, 1, out=(kept := np.empty_like(x)))
        assert y is x and total is kept
        assert isinstance(x[0], np.float64) and isinstance(x.sum(), float) and hash(x[0]) == hash(float(x[0]))
        assert {np.argmax(x): 1}[4] == 1 and list(range(np.argmax(x)))[-1] == 3
        assert f"{x[1]:.1f}" == "4.0" and isinstance(x[1] + x[2], np.float64) and divmod(x[1], 3.0) == (1, 1)
        return torch.from_numpy(x).sum().item()

    assert counted(look, X.copy())[0] == 18


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.int32])
def test_precision_is_the_wider_factor_s(dtype):
    _, tally = counted(lambda w, x: (w @ x) * 2, holed(3, 4, dtype=dtype), np.full(4, 2, dtype))
    assert set(tally.precision) == {np.dtype(dtype).name}
    _, tally = counted(lambda w, x: w @ x, holed(3, 4, dtype=dtype), np.full(4, 2.0))
    assert set(tally.precision) == {"float64"}


UNSEEN = {n: np.arange(float(n)) for n in (3, 5, 6)}
REFUSED = {
    "np.fft.rfft": lambda x: np.fft.rfft(x),
    "np.linalg.solve": lambda x: np.linalg.solve(np.eye(5), x),
    "np.linalg.inv": lambda x: np.linalg.inv(np.diag(x + 1)),
    "np.interp": lambda x: np.interp(x, x, x),
    "np.multiply.at": lambda x: np.multiply.at(x, [0], 2.0),
    "vectorized": lambda x: np.vectorize(lambda v: v * v)(x),
    "np.matmul over chosen axes": lambda x: np.matmul(x[None], x[None], axes=[(0, 1), (1, 0), (0, 1)]),
    "einsum of more than two operands": lambda x: np.einsum("i,i,i", x, x, x),
    "norm of order 2": lambda x: np.linalg.norm(x[None], 2),
    "Python's numbers": lambda x: [v * v for v in np.tile(x, 30).tolist()],
    "more than 64 values": lambda x: [float(v) ** 2 for v in np.tile(x, 30)],
    "64 values that became": lambda x: [int(v) ** 2 for v in np.tile(x, 30)],
    "values that became": lambda x: [v**2 for v in np.tile(x, 30).astype(np.int32).tolist()],
    "became Python's numbers": lambda x: [v * v for v in np.tile(x, 30).flat],
    "an array of shape (5,)": lambda x: x + UNSEEN[5],
    "of shape (6,)": lambda x: np.asarray(UNSEEN[6]) * 2,
    "an array of shape (6,)": lambda x: np.array([x[:1], UNSEEN[6]], dtype=object),
    "of shape (3,)": lambda x: x.__setitem__(slice(3), UNSEEN[3]),
}


@pytest.mark.parametrize("named", REFUSED)
def test_what_is_not_known_is_refused_by_name_with_the_line_and_the_way_out(named):
    with pytest.raises(UncountedOperation, match=r"test_count_numpy\.py:\d+.*declare `cost\(\)`") as refused:
        counted(REFUSED[named], X.copy())
    assert named in str(refused.value)


def test_weights_are_not_taken_out_of_numpy_before_the_first_bin():
    with NumpyCounter() as counter, pytest.raises(UncountedOperation, match="Python's numbers"):
        counter.wrap({"w": holed(30, 30)}, learned=True)["w"].tolist()


def test_an_answer_from_elsewhere_is_refused():
    unseen = np.arange(2.0)
    with NumpyCounter() as counter, counter.on(Tally()):
        counter.check_answer(np.zeros(2) + 1)
        with pytest.raises(UncountedOperation, match=r"shape \(2,\)"):
            counter.check_answer(unseen)


def test_numpy_is_as_it_was_afterwards():
    before = dict(vars(np))
    counted(lambda x: np.zeros(3) + x, np.ones(3))
    assert {name for name, value in vars(np).items() if value is not before.get(name)} == set()
    assert type(np.zeros(2)) is np.ndarray and type(torch.zeros(2).numpy()) is np.ndarray


def test_names_imported_from_numpy_and_constants_of_a_module_are_seen(tmp_path, monkeypatch):
    file = tmp_path / "a_decoder_module.py"
    file.write_text(
        "from numpy import arange, array\nTABLE = array([2.0, 3.0])\ndef f():\n    return TABLE * arange(2.0)"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import a_decoder_module

    tally = Tally()
    with NumpyCounter([file]) as counter, counter.on(tally):
        a_decoder_module.f()
    assert tally.elementwise == 1
