"""What an update of the four systems' training takes, beside the time that its arithmetic alone would take.

    python tools/training_profile.py [--only realm --only dlink] [--updates 24] [--keep docs/results/training.json]

`fit` on one simulated session goes through all stages of a decoder; here with few updates, at the preset `small`, three
times: timed by itself, with its operations counted (PyTorch's own counter: products and convolutions, forward and
backward), and under PyTorch's profiler. Times are of this process' processor, on one thread; the arithmetic alone is
the operations at the rate of a large matrix product in the same run.
"""

import argparse
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from statistics import median
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import torch  # noqa: E402
from torch.optim.optimizer import register_optimizer_step_post_hook  # noqa: E402
from torch.profiler import ProfilerActivity, profile  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from baselines.crossmodal import shape as crossmodal  # noqa: E402
from baselines.dlink import shape as dlink  # noqa: E402
from baselines.realm import shape as realm  # noqa: E402
from harness.data.cache import default_cache  # noqa: E402
from harness.data.download import locate  # noqa: E402
from harness.data.prepare import prepare  # noqa: E402
from harness.data.split import Parts  # noqa: E402
from harness.data.suites import load_suite  # noqa: E402
from harness.registry import construct, find  # noqa: E402

SHORT = "small, few updates"
LFP, SPIKES = ("primate-lfp", "simulated"), ("primate-reaching", "simulated")
EEG = ("eeg-motor-imagery-cross-subject", "simulated-feet")
LOOPS = ("pretraining", "training", "torch_decoder")
"""Modules whose loops serve several stages; a loop is named after who called them."""
CASES = {
    "realm": LFP,
    "realm-scratch": LFP,
    "crossmodal": LFP,
    "crossmodal-causal": LFP,
    "dlink": EEG,
    "hybrid-snn-srt-causal": SPIKES,
}


@dataclass(frozen=True)
class Loop:
    """One training loop of a decoder's `fit`.

    ms: Of an update, the median; from one step of the optimiser to the next.
    gflop: Products and convolutions of an update, forward and backward.
    bare_ms: What these take at the rate of a large matrix product.
    """

    decoder: str
    name: str
    updates: int
    ms: float
    gflop: float
    bare_ms: float


@dataclass(frozen=True)
class Profiled:
    """Where the time of a decoder's `fit` goes.

    outside: Share that is in no operation of PyTorch: Python, and the data path in NumPy.
    most: The operations with the largest shares.
    """

    decoder: str
    outside: float
    most: dict[str, float]


class Steps:
    """What a clock says at every optimiser step, by loop."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._at = clock, dict[tuple[str, int], list[float]]()

    def __enter__(self) -> "Steps":
        self._hook = register_optimizer_step_post_hook(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()

    def _note(self, optimiser: Any, *_: object) -> None:
        self._at.setdefault((_caller(), id(optimiser)), []).append(self._clock())

    def loops(self) -> list[tuple[str, int, float]]:
        """Name, number of updates and median difference between two, of each loop in order; the first is left out."""
        found = []
        for (name, _), at in self._at.items():
            gaps = [later - earlier for earlier, later in itertools.pairwise(at[1:])]
            if gaps:
                found.append((name, len(at), median(gaps)))
        return found


def _caller() -> str:
    """The innermost module of the baselines that runs the present loop, without those that serve several."""
    frame: Any = sys._getframe()
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("baselines.") and module.rsplit(".", 1)[-1] not in LOOPS:
            return f"{module.rsplit('.', 1)[-1]}.{frame.f_code.co_name.lstrip('_')}"
        frame = frame.f_back
    return "?"


@contextmanager
def shortened(updates: int) -> Iterator[None]:
    """Have presets whose loops end after some updates; the hybrid SNN takes its own number."""
    for module in (realm, crossmodal, dlink):
        preset: Any = module.PRESETS["small"]
        parts = {f.name: getattr(preset, f.name) for f in fields(preset)}
        short = {n: replace(p, updates=min(p.updates, updates)) for n, p in parts.items() if hasattr(p, "updates")}
        module.PRESETS[SHORT] = replace(preset, **short)  # type: ignore[index]
    try:
        yield
    finally:
        for module in (realm, crossmodal, dlink):
            del module.PRESETS[SHORT]  # type: ignore[attr-defined]


def parts_of(data: tuple[str, str]) -> Parts:
    """The first session of a suite's tier, prepared."""
    suite = load_suite(data[0]).variants(data[1])[0]
    session = suite.in_tier(data[1])[0]
    return prepare(suite, session, locate([session], default_cache())[session.id])


def fit(name: str, parts: Parts, updates: int) -> None:
    """One decoder's learning from nothing."""
    ref = find(name)
    settings = {"updates": updates} if name.startswith("hybrid") else {"preset": SHORT}
    construct(ref, settings).fit([parts.train], [parts.validation] if len(parts.validation) else [])


def rate_of(rounds: int = 15, n: int = 768) -> float:
    """Floating-point operations a second of a large matrix product, on one thread."""
    a, took = torch.randn(n, n), []
    for _ in range(rounds):
        start = time.process_time()
        a @ a
        took.append(time.process_time() - start)
    return 2 * n**3 / median(took)


def loops_of(name: str, parts: Parts, updates: int) -> list[Loop]:
    """All training loops of a decoder, timed and counted in two runs."""
    rate = rate_of()
    with Steps(time.process_time) as timed:
        fit(name, parts, updates)
    with FlopCounterMode(display=False) as counter, Steps(lambda: float(counter.get_total_flops())) as counted:
        fit(name, parts, updates)
    return [
        Loop(name, loop, n, seconds * 1e3, flop / 1e9, flop / rate * 1e3)
        for (loop, n, seconds), (_, _, flop) in zip(timed.loops(), counted.loops(), strict=True)
    ]


def profile_of(name: str, parts: Parts, updates: int) -> Profiled:
    """Where the time goes."""
    start = time.process_time()
    fit(name, parts, updates)
    whole_s = time.process_time() - start
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        fit(name, parts, updates)
    own = {event.key: event.self_cpu_time_total / 1e6 for event in seen.key_averages()}
    inside_s = sum(own.values())
    ranked = sorted(own, key=lambda key: -own[key])[:4]
    return Profiled(name, max(0.0, 1 - inside_s / whole_s), {key: own[key] / whole_s for key in ranked})


def _words(loops: list[Loop], profiled: Profiled) -> Iterator[str]:
    for one in (loop for loop in loops if loop.decoder == profiled.decoder):
        times = f"{one.ms / one.bare_ms:.1f} times its arithmetic"
        yield f"{one.decoder}, {one.name}: {one.ms:.1f} ms an update of {one.gflop:.2f} GFLOP, {times}"
    shares = ", ".join(f"{name} {share:.0%}" for name, share in profiled.most.items())
    yield f"{profiled.decoder}: outside of PyTorch {profiled.outside:.0%}; {shares}"


def main() -> None:
    """Print both tables; keep them if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=CASES, help="Repeat it; else all.")
    parser.add_argument("--updates", type=int, default=24)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    loops: list[Loop] = []
    profiles: list[Profiled] = []
    with shortened(given.updates):
        for name in given.only or CASES:
            parts = parts_of(CASES[name])
            loops += loops_of(name, parts, given.updates)
            profiles.append(profile_of(name, parts, given.updates))
            print("\n".join(_words(loops, profiles[-1])), flush=True)
    if given.keep:
        found = {"loops": [asdict(one) for one in loops], "profiles": [asdict(one) for one in profiles]}
        given.keep.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
