"""The Mamba-2 block: a state space whose decay, write and read-out are decided by the input.

Dao and Gu 2024, 10.48550/arXiv.2405.21060. Per head of P values, with a state of N columns:

    h_t = a_t h_{t-1} + w_t u_t B_t^T,    y_t = h_t C_t + D u_t,    a_t = exp(-exp(A_log) dt_t)

where w_t = dt_t in the textbook and 1 with `dt_on_write=False`. `recurrence` is that equation, `chunked_scan` the same
numbers in time linear in length with few operations, `Mamba2Stream` one step of it in NumPy.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from scipy.special import expit

from baselines.mamba_backend import scan

ROTARY_BASE = 10_000.0
EPSILON = 1e-5


@dataclass(frozen=True)
class Mamba2Shape:
    """Sizes and variants of a block.

    width: Values per bin going in and coming out.
    expand: Inner width over `width`; it must give whole heads of `head` values.
    state: Columns of a head's state, shared by B and C of all heads.
    taps: Length of the causal convolution in bins.
    dt_on_write: Whether what is written is multiplied by the step size, as in the textbook.
    rope: Whether B and C are rotated by the sample index, so that a state tells how old what it holds is.
    gated_norm: Whether the gated outputs are normalised before the last projection, as in the textbook.
    dt_range: Step sizes at first, drawn evenly in their logarithm.
    """

    width: int
    expand: int = 2
    head: int = 64
    state: int = 64
    taps: int = 4
    dt_on_write: bool = True
    rope: bool = False
    gated_norm: bool = True
    dt_range: tuple[float, float] = (1e-3, 1e-1)

    def __post_init__(self) -> None:
        if self.inner % self.head or (self.rope and self.state % 2):
            raise ValueError(
                f"an inner width of {self.inner} (width {self.width} x expand {self.expand}) with heads of {self.head} "
                f"and a state of {self.state} does not fit: heads must divide the inner width, and rotation needs an "
                f"even state"
            )

    @property
    def inner(self) -> int:
        return self.width * self.expand

    @property
    def n_heads(self) -> int:
        return self.inner // self.head

    @property
    def n_parameters(self) -> int:
        """Parameters of a block, counted from its equations."""
        projections = 3 * self.width * self.inner + 2 * self.state * self.inner
        step_sizes = self.n_heads * (self.inner + 1)
        return projections + step_sizes + (self.taps + 1 + self.gated_norm) * self.inner + 2 * self.n_heads


@dataclass(frozen=True)
class Scan:
    """What the state space of a block is driven by.

    log_decay: (batch, n_bins, n_heads), log a_t; at most 0.
    written: (batch, n_bins, n_heads, head), w_t u_t.
    keys, queries: (batch, n_bins, state), B_t and C_t.
    """

    log_decay: Any
    written: Any
    keys: Any
    queries: Any

    def map(self, change: Any) -> "Scan":
        """The same change to all four."""
        return Scan(*map(change, (self.log_decay, self.written, self.keys, self.queries)))


class Mamba2Block(torch.nn.Module):
    """(batch, n_bins, width) -> (batch, n_bins, width), causal. Residual and first normalisation are the caller's."""

    def __init__(self, shape: Mamba2Shape):
        super().__init__()
        self.shape, inner, n_heads = shape, shape.inner, shape.n_heads
        self.enter = torch.nn.Linear(shape.width, 2 * inner, bias=False)
        self.convolution = torch.nn.Conv1d(inner, inner, shape.taps, groups=inner)
        self.keys_and_queries = torch.nn.Linear(inner, 2 * shape.state, bias=False)
        self.step_size = torch.nn.Linear(inner, n_heads)
        self.log_rate = torch.nn.Parameter(torch.log(torch.arange(1, n_heads + 1, dtype=torch.float32)))
        self.skip = torch.nn.Parameter(torch.ones(n_heads))
        self.leave = torch.nn.Linear(inner, shape.width, bias=False)
        self.norm = torch.nn.RMSNorm(inner, eps=EPSILON) if shape.gated_norm else torch.nn.Identity()
        low, high = map(math.log, shape.dt_range)
        first = torch.exp(low + (high - low) * torch.rand(n_heads))
        with torch.no_grad():
            self.step_size.bias.copy_(first + torch.log(-torch.expm1(-first)))  # the inverse of softplus

    def forward(self, x: Any) -> Any:
        u, gate = self.enter(x).chunk(2, dim=-1)
        padded = torch.nn.functional.pad(u.transpose(1, 2), (self.shape.taps - 1, 0))
        u = torch.nn.functional.silu(self.convolution(padded).transpose(1, 2))
        heads = u.unflatten(-1, (self.shape.n_heads, self.shape.head))
        y = scan(self.drive(u, heads), otherwise=chunked_scan) + self.skip[:, None] * heads
        return self.leave(self.norm(y.flatten(-2) * torch.nn.functional.silu(gate)))

    def drive(self, u: Any, heads: Any) -> Scan:
        """u: (batch, n_bins, inner) after the convolution, and the same cut into heads."""
        keys, queries = self.keys_and_queries(u).chunk(2, dim=-1)
        if self.shape.rope:
            angles = rotary_angles(np.arange(u.shape[1]), self.shape.state)
            turns = torch.from_numpy(np.cos(angles)).to(u), torch.from_numpy(np.sin(angles)).to(u)
            keys, queries = rotated(keys, *turns, torch.cat), rotated(queries, *turns, torch.cat)
        dt = torch.nn.functional.softplus(self.step_size(u))
        written = heads * dt[..., None] if self.shape.dt_on_write else heads
        return Scan(-torch.exp(self.log_rate) * dt, written, keys, queries)


def rotary_angles(positions: Any, n: int) -> np.ndarray:
    """Angles (n_positions, n / 2) float64 in [0, 2 pi): exact enough after years of bins, unlike in float32."""
    frequencies = ROTARY_BASE ** (-np.arange(0, n, 2) / n)
    return np.remainder(np.multiply.outer(positions, frequencies), 2 * np.pi)


@lru_cache(maxsize=1)
def turns(position: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines, float32, of one position's angles; all layers of a network ask for the same ones."""
    angles = rotary_angles(position, n)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def rotated(x: Any, cos: Any, sin: Any, joined: Any) -> Any:
    """Turn each pair of values (i, i + n / 2); `joined` is the library's concatenate along the last axis."""
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    return joined((a * cos - b * sin, a * sin + b * cos), -1)


def recurrence(scan: Scan) -> Any:
    """The specification, one bin after the other: h_t C_t, (batch, n_bins, n_heads, head)."""
    state, outputs = 0, []
    for t in range(scan.keys.shape[1]):
        added = scan.written[:, t, :, :, None] * scan.keys[:, t, None, None, :]
        state = scan.log_decay[:, t].exp()[..., None, None] * state + added
        outputs.append((state @ scan.queries[:, t, None, :, None])[..., 0])
    return torch.stack(outputs, dim=1)


def quadratic(scan: Scan) -> Any:
    """Y = (L o C B^T) U with L_ij = a_{j+1} ... a_i, as one masked product: the dual form of `recurrence`."""
    products = (scan.queries @ scan.keys.transpose(1, 2)).tril()[:, None]
    return ((products * _decays(scan.log_decay)) @ _heads_first(scan.written)).transpose(1, 2)


def _decays(log_decay: Any) -> Any:
    """L of `quadratic`, 1 above the diagonal: (batch, n_bins, n_heads) -> (batch, n_heads, n_bins, n_bins)."""
    total = _heads_first(log_decay).cumsum(dim=2)
    return (total[..., None] - total[..., None, :]).clamp(max=0).exp()


def _heads_first(x: Any) -> Any:
    """(batch, n_bins, n_heads, ...) -> (batch, n_heads, n_bins, ...), contiguous: strided matrices multiply slowly."""
    return x.transpose(1, 2).contiguous()


def chunked_scan(scan: Scan, *, chunk_bins: int = 64) -> Any:
    """`recurrence`, by chunks: the dual form inside of each, and between them only the state that each one leaves."""
    n_bins, state, answers = scan.keys.shape[1], None, []
    for start in range(0, max(1, n_bins), chunk_bins):
        chunk = scan.map(lambda x, at=slice(start, start + chunk_bins): x[:, at])
        total = chunk.log_decay.cumsum(dim=1)
        answer = quadratic(chunk)
        if state is not None:
            from_before = (chunk.queries @ state).unflatten(2, scan.written.shape[2:])
            answer = torch.addcmul(answer, from_before, total.exp()[..., None])
        answers.append(answer)
        if start + chunk_bins < n_bins:
            state = _left(chunk, total, state)
    return torch.cat(answers, dim=1)


def _left(chunk: Scan, total: Any, state: Any) -> Any:
    """The state after a chunk, (batch, state, n_heads * head), of that before, None for zero; `total` log decays."""
    kept = ((total[:, -1:] - total).exp()[..., None] * chunk.written).flatten(2)
    left = chunk.keys.transpose(1, 2) @ kept
    if state is None:
        return left
    decay = total[:, -1, :, None].exp().expand(chunk.written[:, 0].shape).flatten(1)
    return torch.addcmul(left, decay[:, None], state)


class Mamba2Stream:
    """One bin at a time through a block's weights, in NumPy: the same work for every bin, and a fixed memory.

    Products with weights are `vecdot`, row by row: for weights larger than the cache half the time of `@`.
    """

    def __init__(self, weights: Mapping[str, np.ndarray], shape: Mamba2Shape):
        self.shape, self.weights = shape, weights
        # Old bins first, as the kernel has them.
        self.kernel = np.ascontiguousarray(weights["convolution.weight"][:, 0].T)
        self.rate = np.exp(weights["log_rate"])
        self.past = np.zeros((shape.taps, shape.inner), np.float32)
        self.state = np.zeros((shape.inner, shape.state), np.float32)
        self.added = np.empty_like(self.state)
        self.position = 0

    def advance(self, row: np.ndarray) -> np.ndarray:
        """(width,) -> (width,)."""
        shape, w = self.shape, self.weights
        entered = np.vecdot(w["enter.weight"], row)
        u, gate = entered[: shape.inner], entered[shape.inner :]
        self.past[:-1] = self.past[1:]
        self.past[-1] = u
        u = silu(np.einsum("kc,kc->c", self.kernel, self.past) + w["convolution.bias"])
        keys, queries = self._keys_and_queries(u)
        dt = np.logaddexp(0, np.vecdot(w["step_size.weight"], u) + w["step_size.bias"])
        heads = u.reshape(shape.n_heads, shape.head)
        written = heads * dt[:, None] if shape.dt_on_write else heads
        by_head = self.state.reshape(shape.n_heads, -1)
        by_head *= np.exp(-self.rate * dt)[:, None]
        self.state += np.multiply(written.reshape(-1, 1), keys, out=self.added)
        y = (self.state @ queries + (heads * w["skip"][:, None]).reshape(-1)) * silu(gate)
        if shape.gated_norm:
            y = normalised(y, w["norm.weight"])
        return np.vecdot(w["leave.weight"], y)

    def _keys_and_queries(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        both = np.vecdot(self.weights["keys_and_queries.weight"], u).reshape(2, self.shape.state)
        if self.shape.rope:
            both = rotated(both, *turns(self.position, self.shape.state), np.concatenate)
            self.position += 1
        return both[0], both[1]


def normalised(row: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """`torch.nn.RMSNorm` of one row."""
    return row * weight / np.sqrt(row @ row / len(row) + EPSILON)


def silu(x: np.ndarray) -> np.ndarray:
    """x times its logistic function."""
    return x * expit(x)
