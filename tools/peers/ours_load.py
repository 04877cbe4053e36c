"""This project loading what its peers load: `python -m tools.peers.ours_load WORK INPUTS OUT.json`."""

from pathlib import Path

from harness.data.align import align
from harness.data.nwb import read_contents
from harness.data.protocol import Layout, SpikesAt, TargetAt, Task
from harness.data.suites import File, Session, load_suite
from harness.types import Recording
from tools.peers.timing import Done, serve, timed

RTT, MAT = "rtt.nwb", "indy_20000101_01.mat"
M2 = "sub-MonkeyN-held-in-calib_ses-2020-10-19-Run1_behavior+ecephys.nwb"
ROUNDS, EDGE_BINS = 2, 400
"""Bins at both ends whose velocities are not compared: nlb_tools' filter has a transient there."""
AT_RTT = Layout(
    spikes=SpikesAt(units="units"),
    targets={"velocity": TargetAt(path="processing/behavior/cursor_pos", outputs=("x", "y"), derive="difference")},
    trials="intervals/trials",
)
SESSION = Session(
    id="s", subject="s", group="g", layout="l", split="s", tiers=("t",), source=File(host="file", path="s.nwb")
)


def load_rtt(inputs: Path) -> Done:
    """Read with every check, cut into 5 ms bins, velocity at each."""
    task = Task(inputs=("spikes",), target="velocity", bin_s=0.005)
    done = _loaded(inputs / RTT, AT_RTT, task, SESSION)
    # Positions end 1 ms before the last bin does, so its velocity is not known.
    velocity = done.arrays["velocity"][:-1]
    return Done(done.rounds, 1, done.result, {**done.arrays, "velocity": velocity[EDGE_BINS:-EDGE_BINS]})


def load_m2(inputs: Path) -> Done:
    """The same of a file in FALCON's layout, 20 ms bins."""
    layout = load_suite("primate-reaching").layouts["falcon-m2"]
    done = _loaded(inputs / M2, layout, Task(inputs=("spikes",), target="velocity", bin_s=0.02), SESSION)
    return Done(done.rounds, 1, done.result, {**done.arrays, "velocity": done.arrays["velocity"][:-1]})


def load_mat(inputs: Path) -> Done:
    """The same of one of O'Doherty's files, by NeuroBench's protocol."""
    suite = next(v for v in load_suite("primate-reaching").variants() if v.name == "primate-reaching/neurobench")
    session = suite.in_tier("neurobench")[0]
    return _loaded(inputs / MAT, suite.layouts[session.layout], suite.task, session)


def _loaded(path: Path, layout: Layout, task: Task, session: Session) -> Done:
    def load() -> Recording:
        return align(read_contents(path, layout, task.target), session, task=task, layout=layout).recording

    rounds = timed(load, rounds=ROUNDS)
    found = rounds.found
    counts = found.inputs.streams["spikes"]
    said = {"spikes": float(counts.sum()), "bins": len(counts)}
    return Done(rounds, 1, said, {"counts": counts, "velocity": found.targets})


if __name__ == "__main__":
    works = {"load-rtt": load_rtt, "load-m2": load_m2, "load-mat": load_mat}
    serve(works, ("neural-decoder-harness", "numpy", "h5py", "pynwb"))
