"""Work that no counting of operations sees is refused by name, and what can be counted is left alone."""

import ctypes
import dataclasses
import math
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.fft
import scipy.linalg.blas
import scipy.signal
import torch
from scipy.linalg._solve_toeplitz import levinson
from scipy.special import expit
from sklearn.linear_model import Ridge

from harness.judge.count.foreign import Watch, decoder_line
from harness.judge.count.tally import UncountedOperation

HERE = Path(__file__)
LIBC = ctypes.CDLL(None)
RIDGE = Ridge().fit(np.eye(3), np.arange(3.0))
X = np.arange(9.0)


class HoldsLibrary:
    def __init__(self):
        self.library = ctypes.CDLL(None)

    def step(self):
        return self.library.abs(-1)


def by_ctypes():
    return LIBC.abs(-1)


def by_blas():
    return scipy.linalg.blas.ddot(X, X)


def by_cython():
    return levinson(X, X)


def swallowing():
    try:
        scipy.signal.lfilter([1.0], [1.0, 0.5], X)
    except Exception:
        return 0.0


FOREIGN = {
    "scipy.signal": lambda: scipy.signal.lfilter([1.0], [1.0, 0.5], X),
    "scipy.fft": lambda: scipy.fft.rfft(X),
    "sklearn": lambda: RIDGE.predict(np.eye(3)),
    "_thread.start": lambda: threading.Thread(target=math.sqrt, args=(2.0,)).start(),
    "subprocess": lambda: subprocess.run([sys.executable, "-c", ""], check=True),
    "LIBC": by_ctypes,
    "library (ctypes.CDLL)": HoldsLibrary().step,
    "ddot": by_blas,
    "levinson": by_cython,
    "scipy.signal._signaltools": swallowing,
}


@pytest.mark.parametrize("named", FOREIGN)
def test_work_of_other_libraries_threads_and_processes_is_refused_by_name(named):
    with pytest.raises(UncountedOperation, match=r"declare `cost\(\)`") as refused, Watch([HERE]):
        FOREIGN[named]()
    assert named in str(refused.value)
    assert "test_count_foreign.py:" in str(refused.value)


@dataclasses.dataclass
class Pair:
    left: float
    right: float = 0.0


LINEAR = torch.nn.GRU(3, 4)
ALLOWED = {
    "numpy": lambda: np.linalg.norm(np.concatenate([X, X]).mean(axis=0)),
    "torch": lambda: LINEAR(torch.zeros(1, 1, 3)),
    "random": lambda: np.random.default_rng(0).normal(size=3),
    "ufunc of scipy": lambda: expit(X),
    "standard library": lambda: math.sqrt(dataclasses.replace(Pair(2.0), right=1.0).right),
    "own code": lambda: decoder_line([HERE]),
    "names that are something else": lambda: SimpleNamespace(abs=abs).abs(-1),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_can_be_counted_or_computes_nothing_is_left_alone(name):
    with Watch([HERE]):
        assert ALLOWED[name]() is not None


def test_a_thread_that_runs_since_the_reset_is_refused():
    done = threading.Event()

    def waits():
        done.wait()

    thread = threading.Thread(target=waits)
    thread.start()
    with pytest.raises(UncountedOperation, match=r"a thread runs at test_count_foreign\.py:\d+"), Watch([HERE]):
        pass
    done.set()
    thread.join()


def test_the_profile_function_of_before_is_restored():
    before = sys.getprofile()
    with Watch([HERE]):
        assert sys.getprofile() is not before
    assert sys.getprofile() is before


def test_the_innermost_line_of_the_decoder_is_named():
    def inner():
        return decoder_line([HERE])

    assert inner() == f"test_count_foreign.py:{inner.__code__.co_firstlineno + 1}"
    assert decoder_line([Path("/nowhere")]) != inner()
