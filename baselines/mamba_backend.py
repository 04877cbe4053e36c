"""Which code runs the scan of a Mamba-2 block: mamba-ssm's kernel where a GPU and that package are, else our own.

The weights are the same for both. The kernel's recurrence is h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t^T, y_t = h_t C_t
with one A per head (Dao and Gu 2024, 10.48550/arXiv.2405.21060). A scan is driven by log a_t and by what is written,
so it is given A = -1, dt_t = -log a_t, x_t = written_t / dt_t: the same numbers for both kinds of write. A dt below
`SMALLEST_DT` is raised to it, which float32 cannot see in the decay, and the product dt_t x_t stays what is written.
"""

import functools
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch

SMALLEST_DT = 1e-20
CHUNK_BINS = 64
"""Of the kernel, which takes powers of two from 16 on."""


def scan(driven: Any, *, otherwise: Callable[[Any], Any]) -> Any:
    """(batch, n_bins, n_heads, head) answers to a `baselines.mamba2.Scan`; `otherwise` is our own scan.

    The gradient of a decay passes through the quotient and is a difference of two terms: on a GPU it is as exact as
    the kernel's products, some 1e-3, and no more.
    """
    if why_not(driven.written.device, driven.written.dtype):
        return otherwise(driven)
    return by_kernel(kernel(), driven)  # type: ignore[arg-type]  # `why_not` has seen that it is no text


def by_kernel(chunk_scan: Callable[..., Any], driven: Any, *, chunk_bins: int = CHUNK_BINS) -> Any:
    """A `Scan` in the arguments of `mamba_chunk_scan_combined`, which is `chunk_scan`."""
    dt = (-driven.log_decay).clamp(min=SMALLEST_DT)
    rate = torch.full(dt.shape[-1:], -1.0, dtype=dt.dtype, device=dt.device)
    keys, queries = driven.keys[:, :, None].contiguous(), driven.queries[:, :, None].contiguous()
    return chunk_scan((driven.written / dt[..., None]).contiguous(), dt, rate, keys, queries, chunk_bins)


def why_not(device: Any, dtype: Any = torch.float32) -> str:
    """Why mamba-ssm's kernel cannot be used for tensors of this device and type; empty if it can.

    Where only the package is missing, a warning says so once.
    """
    if torch.device(device).type != "cuda" or not torch.cuda.is_available():
        return "the tensors are not on a CUDA device; our own scan runs on every device"
    if dtype != torch.float32:
        return f"the tensors are {dtype}; the kernel is used for torch.float32 only"
    found = kernel()
    if isinstance(found, str):
        message = (
            f"mamba-ssm's kernel cannot be imported ({found}), so our own scan runs on the GPU, slower; install torch "
            f'for CUDA first, then `pip install --no-build-isolation ".[gpu]"`'
        )
        _warn_once(message)
        return message
    return ""


@functools.cache
def kernel() -> Callable[..., Any] | str:
    """mamba-ssm's scan; the text of the error if the package, or the compiled part that its import wants, is not there.

    Python would look for a missing package again at every scan, so a failure is remembered too.
    """
    try:
        from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined
    except ImportError as error:
        return str(error)
    return mamba_chunk_scan_combined  # type: ignore[no-any-return]


def backend_name(device: Any = "cpu") -> str:
    """What runs a float32 scan on this device, with its version: for a record."""
    package = "torch" if why_not(device) else "mamba-ssm"
    return f"{'own scan, torch' if package == 'torch' else package} {_version(package)}"


def backend_note(device: Any = "cpu") -> np.ndarray:
    """`backend_name` as an array (n_bytes,) uint8 of UTF-8 text: what a decoder keeps beside its weights."""
    return np.frombuffer(backend_name(device).encode(), np.uint8).copy()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"


@functools.cache
def _warn_once(message: str) -> None:
    warnings.warn(message, stacklevel=4)
