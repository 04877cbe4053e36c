"""What each contracting function of NumPy costs: called with the books, its plain result and its plain arguments."""

from typing import Any

import numpy as np

from harness.judge.count.numpy_arrays import Plain
from harness.judge.count.numpy_products import Books, only_signs, wider_dtype
from harness.judge.count.tally import UncountedOperation


def matmul(books: Books, _: Any, a: Plain, b: Plain) -> None:
    a, b = np.asarray(a), np.asarray(b)
    books.contraction(a, b, ((a.ndim - 2,) if a.ndim > 1 else (), (b.ndim - 1,) if b.ndim > 1 else ()))


def matvec(books: Books, _: Any, a: Plain, b: Plain) -> None:
    books.contraction(a, b, ((a.ndim - 2,), ()))


def vecmat(books: Books, _: Any, a: Plain, b: Plain) -> None:
    books.contraction(a, b, ((), (b.ndim - 1,)))


def vecdot(books: Books, _: Any, a: Plain, b: Plain) -> None:
    books.contraction(a, b, ((), ()))


def dot(books: Books, result: Any, a: Any, b: Any, out: Any = None) -> None:
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        books.products(result, a, b)
    else:
        a, b = np.asarray(a), np.asarray(b)
        books.tensor_product(a, b, ([a.ndim - 1], [max(b.ndim - 2, 0)]))


def inner(books: Books, result: Any, a: Any, b: Any) -> None:
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        books.products(result, a, b)
    else:
        a, b = np.asarray(a), np.asarray(b)
        books.tensor_product(a, b, ([a.ndim - 1], [b.ndim - 1]))


def vdot(books: Books, _: Any, a: Any, b: Any) -> None:
    books.contraction(np.asarray(a).reshape(-1), np.asarray(b).reshape(-1), ((), ()))


def tensordot(books: Books, result: Any, a: Any, b: Any, axes: Any = 2) -> None:
    a, b = np.asarray(a), np.asarray(b)
    if isinstance(axes, int):
        pair = list(range(a.ndim - axes, a.ndim)), list(range(axes))
    else:
        pair = list(np.atleast_1d(axes[0])), list(np.atleast_1d(axes[1]))
    if pair[0]:
        books.tensor_product(a, b, ([i % a.ndim for i in pair[0]], [i % b.ndim for i in pair[1]]))
    else:
        books.products(result, a, b)


def outer(books: Books, result: Any, a: Any, b: Any, out: Any = None) -> None:
    books.products(result, a, b)


def rounding(books: Books, result: Any, a: Any, decimals: int = 0, out: Any = None) -> None:
    """To digits after the point: times a power of ten and back."""
    for _ in range(2 if decimals else 0):
        books.products(result, a)


def convolve(books: Books, _: Any, a: Any, v: Any, mode: str = "full") -> None:
    _sliding(books, np.convolve, (np.asarray(a), np.asarray(v)), mode)


def correlate(books: Books, _: Any, a: Any, v: Any, mode: str = "valid") -> None:
    _sliding(books, np.correlate, (np.asarray(a), np.asarray(v)), mode)


def _sliding(books: Books, slide: Any, pair: tuple[Plain, Plain], mode: str) -> None:
    nonzero = [(x != 0).astype(np.float64) for x in pair]
    books.tally.contraction(
        effective=float(slide(*nonzero, mode=mode).sum()),
        dense=float(slide(*(np.ones_like(x) for x in nonzero), mode=mode).sum()),
        accumulates=any(map(only_signs, pair)),
        dtype=wider_dtype(pair, pair[0]),
    )


def norm(books: Books, _: Any, x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> None:
    """Only those that are a root of a sum of squares, or need no product."""
    x = np.asarray(x)
    of_matrix = (x.ndim > 1 and axis is None) or (np.ndim(axis) > 0 and len(axis) > 1)
    if ord is None or ord == "fro" or (ord == 2 and not of_matrix):
        vdot(books, None, x, x)
    elif ord not in (0, 1, np.inf, -np.inf, -1):
        raise UncountedOperation(f"norm of order {ord!r}")


def einsum(books: Books, result: Any, *operands: Any, **options: Any) -> None:
    """One operand costs nothing; two are counted from their shared labels; more are refused.

    Raises:
        UncountedOperation: For three operands or more, or subscripts that are no string.
    """
    if not isinstance(operands[0], str) or len(operands) > 3:
        raise UncountedOperation("einsum of more than two operands, or with lists as subscripts")
    if len(operands) == 3:
        terms, _, output = operands[0].replace(" ", "").partition("->")
        _two_terms(books, result, (np.asarray(operands[1]), np.asarray(operands[2])), (terms, output, operands[0]))


def _two_terms(books: Books, result: Any, pair: tuple[Plain, Plain], text: tuple[str, str, str]) -> None:
    terms = text[0].split(",")
    labels = set("".join(terms)) - {"."}
    output = text[1] if "->" in text[2] else {c for c in labels if "".join(terms).count(c) == 1}
    if labels <= set(output):
        books.products(result, *pair)
        return
    shared = "".join(sorted(set(terms[0]) & set(terms[1]) - {"."}))
    kept = [("..." if "..." in term else "") + shared for term in terms]
    books.contraction(pair[0], pair[1], (f"{terms[0]}->{kept[0]}", f"{terms[1]}->{kept[1]}"))


COSTS = {
    "dot": dot,
    "inner": inner,
    "vdot": vdot,
    "tensordot": tensordot,
    "outer": outer,
    "kron": outer,
    "round": rounding,
    "around": rounding,
    "convolve": convolve,
    "correlate": correlate,
    "einsum": einsum,
    "linalg.norm": norm,
}
UFUNC_COSTS = {"matmul": matmul, "matvec": matvec, "vecmat": vecmat, "vecdot": vecdot}
