"""What mamba-ssm's own kernel answers, on small seeded inputs: a golden file for the tests.

    oracle/bin/python tools/mamba_ssm_oracle.py tests/golden/mamba_ssm.safetensors

It runs in an environment of its own, for Triton takes a gigabyte:

    python -m venv oracle
    oracle/bin/pip install "torch>=2.4,<2.14" triton einops transformers numpy safetensors wheel packaging ninja
    MAMBA_FORCE_BUILD=TRUE MAMBA_SKIP_CUDA_BUILD=TRUE oracle/bin/pip install --no-build-isolation --no-deps mamba-ssm

No GPU is needed: Triton's interpreter runs the kernel on the CPU, once three things are out of its way (`on_the_cpu`).
Names in the file are `case/array`; `CASES` says what each case switches on.
"""

import contextlib
import importlib.util
import json
import os
import sys
import types
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

BATCH, N_HEADS, HEAD, STATE, CHUNK = 2, 3, 8, 16, 16
PACKAGES = ("mamba-ssm", "triton", "torch", "einops", "numpy")


@dataclass(frozen=True)
class Case:
    """One call of the kernel.

    softplus: dt is what a softplus makes of the given dt and `dt_bias`.
    skip: Outputs hold D times the inputs.
    dt_on_write: Otherwise the inputs are divided by the step size, so that what is written is not multiplied by it.
    """

    n_bins: int
    softplus: bool
    skip: bool
    dt_on_write: bool = True


CASES = {
    "two_chunks": Case(32, softplus=False, skip=False),
    "ragged": Case(50, softplus=False, skip=False),
    "ragged_softplus_skip": Case(50, softplus=True, skip=True),
    "short_softplus": Case(7, softplus=True, skip=False),
    "write_without_dt": Case(50, softplus=False, skip=True, dt_on_write=False),
}


def inputs_of(case: Case, seed: int) -> dict[str, np.ndarray]:
    """Arrays of one case, float32, named as the kernel's arguments; memories of a few bins to thousands."""
    rng = np.random.default_rng(seed)
    dt = rng.normal(-2, 1.5, (BATCH, case.n_bins, N_HEADS))
    arrays = {
        "x": rng.normal(size=(BATCH, case.n_bins, N_HEADS, HEAD)),
        "dt": dt if case.softplus else np.exp(dt),
        "A": -np.exp(rng.normal(0, 1, N_HEADS)),
        "B": rng.normal(size=(BATCH, case.n_bins, 1, STATE)),
        "C": rng.normal(size=(BATCH, case.n_bins, 1, STATE)),
    }
    if case.softplus:
        arrays["dt_bias"] = rng.normal(size=N_HEADS)
    if case.skip:
        arrays["D"] = rng.normal(size=N_HEADS)
    return {name: values.astype(np.float32) for name, values in arrays.items()}


def on_the_cpu() -> Any:
    """mamba-ssm's scan, made to run without a GPU. Triton and mamba-ssm must not have been imported before."""
    os.environ["TRITON_INTERPRET"] = "1"
    import torch
    import triton

    torch.cuda.device = lambda *_: contextlib.nullcontext()
    tuned = triton.autotune
    triton.autotune = lambda configs, key, **options: tuned(configs[:1], key)  # one setting: nothing to time on a GPU
    # The package itself imports compiled kernels for CUDA, of which the scan needs none: only its folder is made known.
    package = types.ModuleType("mamba_ssm")
    package.__path__ = list(importlib.util.find_spec("mamba_ssm").submodule_search_locations)
    sys.modules["mamba_ssm"] = package
    from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined

    return mamba_chunk_scan_combined


def answer(kernel: Any, case: Case, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """(batch, n_bins, n_heads, head) outputs of the kernel."""
    import torch

    given = {name: torch.from_numpy(values) for name, values in arrays.items()}
    skip = given.pop("D", None)
    if not case.dt_on_write:
        # The kernel multiplies both its write and its skip by what it is given as x, so the skip is added here.
        y = kernel(given.pop("x") / given["dt"][..., None], chunk_size=CHUNK, **given)
        return (y + skip[:, None] * torch.from_numpy(arrays["x"])).numpy()
    return kernel(chunk_size=CHUNK, D=skip, dt_softplus=case.softplus, **given).numpy()


def main() -> None:
    """Run all cases, write the file."""
    kernel, arrays = on_the_cpu(), {}
    for seed, (name, case) in enumerate(CASES.items()):
        given = inputs_of(case, seed)
        arrays |= {f"{name}/{k}": v for k, v in (given | {"y": answer(kernel, case, given)}).items()}
    from safetensors.numpy import save_file

    about = {"versions": {name: version(name) for name in PACKAGES}, "chunk_bins": CHUNK}
    about |= {"cases": {name: asdict(case) for name, case in CASES.items()}}
    save_file(arrays, Path(sys.argv[1]), {"about": json.dumps(about)})


if __name__ == "__main__":
    main()
