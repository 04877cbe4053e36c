"""Made-up EEG for tests: contents with runs and trials, in which one class is louder in the first channel."""

import numpy as np

from harness.data.contents import Contents, Signal
from harness.data.protocol import ClassesAt, Layout, SignalAt, SignalStream, Task
from harness.data.suites import File, Session

RATE_HZ, BIN_S = 160.0, 0.1
RUN_S, FIRST_CUE_S, PERIOD_S, TRIAL_S = 60.0, 4.2, 8.3, 4.1
AT = ClassesAt(column="class", classes={"left": ("left_fist",), "right": ("right_fist",)})
LAYOUT = Layout(targets={"side": AT}, signals={"eeg": SignalAt(path="acquisition/eeg")}, trials="intervals/trials")
TASK = Task(
    inputs=("eeg", "cue"),
    target="side",
    kind="classification",
    bin_s=BIN_S,
    signals={"eeg": SignalStream(signal="eeg", samples_per_bin=16)},
)
SESSION = Session(
    id="S001", subject="S001", group="g", layout="l", split="s", tiers=("t",), source=File(host="file", path="a.nwb")
)


def contents(n_runs: int = 3, n_channels: int = 4, *, effect: float = 0.0, seed: int = 0) -> Contents:
    """Runs of a minute, 10 s apart, six trials in each; `effect` is how much louder channel 0 is in `left` trials."""
    rng = np.random.default_rng(seed)
    n = round(RUN_S * RATE_HZ)
    begins_s = (RUN_S + 10) * np.arange(n_runs)
    times_s = (begins_s[:, None] + np.arange(n) / RATE_HZ).reshape(-1)
    cue_s = (begins_s[:, None] + np.arange(FIRST_CUE_S, RUN_S - TRIAL_S, PERIOD_S)).reshape(-1).round(6)
    sides = rng.permuted(np.tile(["left_fist", "right_fist"], (n_runs, len(cue_s) // n_runs // 2 + 1)), axis=1)
    chosen = sides[:, : len(cue_s) // n_runs].reshape(-1)
    values = rng.normal(scale=10.0, size=(len(times_s), n_channels))
    for start_s, side in zip(cue_s, chosen, strict=True):
        inside = (times_s > start_s) & (times_s <= start_s + TRIAL_S)
        values[inside, 0] *= 1 + effect * (side == "left_fist")
    names = tuple(f"C{i}" for i in range(n_channels))
    eeg = Signal(values, np.ones(n_channels), 0.0, times_s, 1 / RATE_HZ, "uV", names)
    trials = {"start_time": cue_s, "stop_time": cue_s + TRIAL_S, "class": chosen}
    return Contents(None, trials=trials, signals={"eeg": eeg})
