"""One short recording, and one decoder of a file judged on it: what tests of the judge share."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness import Inputs, Recording, SessionInfo, StreamInfo
from harness.judge import cell
from harness.judge.cell import Asked, Candidate
from harness.judge.conformance_data import TRIAL_BINS, make_data
from harness.judge.profiles import Profile, load_profile
from harness.registry import find
from harness.score.metrics import metric

HOSTILE = Path(__file__).parent / "hostile"
N_BINS, N_UNITS = 1200, 20
SESSION = SessionInfo("a-session", "a-monkey", {"spikes": StreamInfo(N_UNITS)}, 0.02, ("x", "y"))
ASKED = Asked(metric("r2"))
PACED = replace(ASKED, paced=True)


def recording(inputs: Sequence[str] = ("spikes",)) -> Recording:
    """24 s of made-up counts with a break; the targets are the first two units, also where signals are read instead.

    With `eeg`, they are trials of two classes.
    """
    if "eeg" in inputs:
        return _of_trials(inputs)
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.5, (N_BINS, N_UNITS)).astype(np.float32)
    starts = np.isin(np.arange(N_BINS), [0, 700])
    infos = {name: _signal_info(name) for name in inputs if name != "spikes"}
    streams = {name: _signal(counts, info, rng) for name, info in infos.items()}
    session = replace(SESSION, streams=infos) if infos else SESSION
    given = Inputs(streams or {"spikes": counts}, starts, 0.02)
    return Recording(session, given, counts[:, :2], np.ones(N_BINS, bool), {"spikes": counts} if infos else {})


def _of_trials(inputs: Sequence[str]) -> Recording:
    """30 s with ten trials, a break after four of them."""
    trials = make_data(inputs, with_gaps=False).train
    starts = np.isin(np.arange(len(trials)), [0, 4 * TRIAL_BINS])
    return replace(trials, inputs=replace(trials.inputs, starts=starts))


def _signal_info(name: str) -> StreamInfo:
    n = 1 if name == "lfp" else 10
    return StreamInfo(8, n, n / 0.02, "uV")


def _signal(counts: np.ndarray, info: StreamInfo, rng: np.random.Generator) -> np.ndarray:
    """(n_bins, samples_per_bin, n_channels): the first two units, mixed, in noise."""
    mixed = counts[:, :2] @ rng.normal(size=(2, info.n_channels))
    return np.asarray(mixed[:, None] + rng.normal(size=(len(counts), *info.shape)), np.float32)


def strict() -> Profile:
    """cpu-1 with little patience."""
    profile = load_profile("cpu-1")
    limits = profile.limits.model_copy(update={"step_seconds": 1.5, "count_seconds": 5.0})
    timing = profile.timing.model_copy(update={"paced_s": 1.0, "repeats": 1})
    return profile.model_copy(update={"limits": limits, "timing": timing})


def candidate(name: str, file: str = "misbehaving.py", *, causal: bool = True, **settings: object) -> Candidate:
    """A decoder of one of the files in tests/hostile."""
    return Candidate(find(f"{HOSTILE / file}:{name}"), settings, causal, strict())


def judge(one: Candidate, asked: Asked = ASKED) -> cell.Tested:
    """Fit it and test it on the same recording."""
    r = recording()
    return cell.test(one, cell.fit(one, [r], [r]), r, asked)
