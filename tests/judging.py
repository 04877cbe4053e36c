"""One short recording, and one decoder of a file judged on it: what tests of the judge share."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from harness import Inputs, Recording, SessionInfo, StreamInfo
from harness.judge import cell
from harness.judge.cell import Asked, Candidate
from harness.judge.profiles import Profile, load_profile
from harness.registry import find
from harness.score.metrics import metric

HOSTILE = Path(__file__).parent / "hostile"
N_BINS, N_UNITS = 1200, 20
SESSION = SessionInfo("a-session", "a-monkey", {"spikes": StreamInfo(N_UNITS)}, 0.02, ("x", "y"))
ASKED = Asked(metric("r2"))
PACED = replace(ASKED, paced=True)


def recording() -> Recording:
    """24 s of made-up counts with a break; the targets are the first two units."""
    counts = np.random.default_rng(0).poisson(0.5, (N_BINS, N_UNITS)).astype(np.float32)
    starts = np.isin(np.arange(N_BINS), [0, 700])
    return Recording(SESSION, Inputs({"spikes": counts}, starts, 0.02), counts[:, :2], np.ones(N_BINS, bool))


def strict() -> Profile:
    """cpu-1 with little patience."""
    profile = load_profile("cpu-1")
    limits = profile.limits.model_copy(update={"step_seconds": 1.5, "count_seconds": 5.0})
    timing = profile.timing.model_copy(update={"paced_s": 1.0, "repeats": 2})
    return profile.model_copy(update={"limits": limits, "timing": timing})


def candidate(name: str, file: str = "misbehaving.py", *, causal: bool = True, **settings: object) -> Candidate:
    """A decoder of one of the files in tests/hostile."""
    return Candidate(find(f"{HOSTILE / file}:{name}"), settings, causal, strict())


def judge(one: Candidate, asked: Asked = ASKED) -> cell.Tested:
    """Fit it and test it on the same recording."""
    r = recording()
    return cell.test(one, cell.fit(one, [r], [r]), r, asked)
