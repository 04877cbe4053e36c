"""mamba-ssm's kernel: its own answers from a file, and how a scan is put into its arguments."""

import functools
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from baselines import mamba_backend
from baselines.mamba2 import Mamba2Block, Mamba2Shape, Scan, chunked_scan, recurrence
from tools.mamba_ssm_oracle import CASES, inputs_of

GOLDEN = Path(__file__).parent / "golden" / "mamba_ssm.safetensors"
TOOL = Path(__file__).parent.parent / "tools" / "mamba_ssm_oracle.py"
ON_A_GPU = pytest.mark.skipif(
    bool(mamba_backend.why_not("cuda")), reason="needs a CUDA device and mamba-ssm (pip install '.[gpu]')"
)


def golden(name):
    """Arrays of one case, float32 tensors, named as the kernel's arguments, and `y`, its answer."""
    with safe_open(GOLDEN, "pt") as file:
        return {key.split("/")[1]: file.get_tensor(key) for key in file.keys() if key.startswith(f"{name}/")}  # noqa: SIM118


def driven_by(given, case):
    """The scan of a case, from the equations of the kernel."""
    dt = given["dt"]
    if case.softplus:
        dt = torch.nn.functional.softplus(dt + given["dt_bias"])
    written = given["x"] * dt[..., None] if case.dt_on_write else given["x"]
    return Scan(dt * given["A"], written, given["B"][:, :, 0], given["C"][:, :, 0])


def skipped(given):
    return given["D"][:, None] * given["x"] if "D" in given else 0


def relative_error(found, expected):
    return ((found - expected).abs().max() / expected.abs().max()).item()


def equations_of_the_kernel(x, dt, rate, keys, queries, chunk_bins):
    """What the kernel computes of its arguments, as the golden file has it, by the recurrence in their own type."""
    return recurrence(Scan(dt * rate, x * dt[..., None], keys[:, :, 0], queries[:, :, 0]))


@pytest.mark.parametrize("name", CASES)
def test_our_scan_gives_what_the_kernel_gave(name):
    given = golden(name)
    driven = driven_by(given, CASES[name])
    for form in (lambda scan: chunked_scan(scan, chunk_bins=16), chunked_scan, recurrence):
        assert relative_error(form(driven) + skipped(given), given["y"]) < 1e-5


@pytest.mark.parametrize("seed, name", list(enumerate(CASES)))
def test_the_file_holds_the_inputs_that_the_tool_makes(seed, name):
    for key, values in inputs_of(CASES[name], seed).items():
        np.testing.assert_allclose(golden(name)[key].numpy(), values, rtol=1e-6)


@pytest.mark.skipif(find_spec("mamba_ssm") is None or find_spec("triton") is None, reason="needs mamba-ssm and Triton")
def test_the_kernel_still_gives_what_the_file_holds(tmp_path):
    again = tmp_path / "again.safetensors"
    subprocess.run([sys.executable, TOOL, again], check=True)
    with safe_open(again, "pt") as new, safe_open(GOLDEN, "pt") as old:
        for key in old.keys():  # noqa: SIM118
            assert relative_error(new.get_tensor(key), old.get_tensor(key)) < 1e-5


def test_the_file_names_the_versions_that_made_it():
    with safe_open(GOLDEN, "pt") as file:
        about = json.loads(file.metadata()["about"])
    assert about["versions"]["mamba-ssm"].startswith("2.3") and set(about["cases"]) == set(CASES)
    assert GOLDEN.stat().st_size < 200_000


@pytest.mark.parametrize("name", CASES)
def test_a_scan_in_the_kernels_arguments_means_the_same(name):
    given = golden(name)
    answers = mamba_backend.by_kernel(equations_of_the_kernel, driven_by(given, CASES[name]))
    assert relative_error(answers + skipped(given), given["y"]) < 1e-5


@pytest.mark.parametrize("log_decay", [0.0, -1e-42, -1e-30, -1e-9, -1e-3, -80.0])
def test_extreme_decays_survive_the_quotient(log_decay):
    torch.manual_seed(0)
    driven = Scan(torch.full((1, 40, 2), log_decay), *(torch.randn(1, 40, *shape) for shape in ((2, 3), (4,), (4,))))
    answers = mamba_backend.by_kernel(equations_of_the_kernel, driven)
    assert relative_error(answers, recurrence(driven)) < 1e-5


def test_gradients_pass_the_quotient_as_they_pass_our_scan():
    def gradients(form):
        torch.manual_seed(0)
        leaves = [torch.rand(2, 30, 3).neg(), *(torch.randn(2, 30, *shape) for shape in ((3, 4), (5,), (5,)))]
        driven = Scan(*(leaf.double().requires_grad_() for leaf in leaves))
        form(driven).square().sum().backward()
        return [x.grad for x in (driven.log_decay, driven.written, driven.keys, driven.queries)]

    through = gradients(lambda scan: mamba_backend.by_kernel(equations_of_the_kernel, scan))
    for one, other in zip(through, gradients(recurrence), strict=True):
        assert relative_error(one, other) < 1e-10


def test_tensors_on_the_cpu_take_our_scan_and_the_name_says_so():
    torch.manual_seed(0)
    block = Mamba2Block(Mamba2Shape(8, head=8, state=4))
    taken = []
    mamba_backend.scan(block.drive(torch.randn(1, 5, 16), torch.randn(1, 5, 2, 8)), otherwise=taken.append)
    assert len(taken) == 1 and "CUDA" in mamba_backend.why_not("cpu")
    assert bytes(mamba_backend.backend_note("cpu")).decode() == f"own scan, torch {torch.__version__}"


def test_a_gpu_without_the_package_warns_once_and_takes_our_scan(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(mamba_backend, "kernel", lambda: "No module named 'selective_scan_cuda'")
    mamba_backend._warn_once.cache_clear()
    with pytest.warns(UserWarning, match=r"selective_scan_cuda.*no-build-isolation") as warned:
        whys = [mamba_backend.why_not("cuda") for _ in range(2)]
    assert len(warned) == 1 and all(whys)
    assert mamba_backend.backend_name("cuda").startswith("own scan")


def test_a_package_that_is_not_there_is_looked_for_once(monkeypatch):
    looked_for = []

    class Nowhere:
        """Python asks it first, for every package that is not imported yet."""

        def find_spec(self, name, path=None, target=None):
            if name.startswith("mamba_ssm"):
                looked_for.append(name)
                raise ModuleNotFoundError(f"No module named {name!r}")

    for name in [name for name in sys.modules if name.startswith("mamba_ssm")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Nowhere(), *sys.meta_path])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(mamba_backend, "kernel", functools.cache(mamba_backend.kernel.__wrapped__))
    with pytest.warns(UserWarning, match="No module named 'mamba_ssm'"):
        mamba_backend._warn_once.cache_clear()
        assert all(mamba_backend.why_not("cuda") for _ in range(5))
    assert looked_for == ["mamba_ssm"]


def test_a_gpu_with_the_package_takes_its_kernel(monkeypatch):
    monkeypatch.setattr(mamba_backend, "why_not", lambda *_: "")
    monkeypatch.setattr(mamba_backend, "kernel", lambda: equations_of_the_kernel)
    driven = driven_by(golden("ragged"), CASES["ragged"])
    answers = mamba_backend.scan(driven, otherwise=None)
    assert relative_error(answers, golden("ragged")["y"]) < 1e-5
    assert mamba_backend.backend_name("cuda").startswith("mamba-ssm")


@ON_A_GPU
@pytest.mark.parametrize("dt_on_write", [True, False])
def test_the_kernel_on_a_gpu_gives_a_blocks_answers_and_gradients(dt_on_write):
    torch.manual_seed(0)
    block = Mamba2Block(Mamba2Shape(64, head=32, state=32, dt_on_write=dt_on_write, rope=True)).cuda()
    x = torch.randn(2, 100, 64, device="cuda")
    heads = torch.randn(2, 100, 4, 32, device="cuda", requires_grad=True)
    driven = block.drive(torch.randn(2, 100, 128, device="cuda"), heads)
    own, theirs = chunked_scan(driven), mamba_backend.scan(driven, otherwise=None)
    assert relative_error(theirs, own) < 1e-3
    assert block(x).isfinite().all()
    gradients = [torch.autograd.grad(y.square().sum(), heads, retain_graph=True)[0] for y in (own, theirs)]
    assert relative_error(gradients[1], gradients[0]) < 5e-3
