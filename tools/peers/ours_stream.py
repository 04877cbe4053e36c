"""This project streaming a linear decoder: `python -m tools.peers.ours_stream WORK INPUTS OUT.json`."""

from pathlib import Path

import numpy as np

from harness import Decoder, Inputs, SessionInfo, StreamInfo
from harness.judge.artifact import pack
from harness.judge.hardware import pinned
from harness.judge.host import Worker
from harness.judge.profiles import load_profile
from harness.judge.stream import stream
from harness.registry import construct, find
from tools.peers.timing import Done, serve, timed, used_s

DECODERS = {"numpy": "linear.py:Linear", "torch": "linear_torch.py:LinearTorch"}
N_BINS = {"numpy": 20_000, "torch": 5000}
BIN_S, ROUNDS = 0.02, 2


def judged(inputs: Path, kind: str) -> Done:
    """Bin by bin to another process, in the sandbox where there is one, each answer waited for and timed."""
    recorded, session, state = _m2(inputs, N_BINS[kind])
    profile = load_profile("cpu-1")
    with pinned(profile.n_cores), Worker(find(_decoder(kind)), {}, profile) as worker:
        worker.restore(pack(state), [session])

        def cpu_s() -> float:
            return used_s() + (worker.resources.processor_ns() or 0) / 1e9

        rounds = timed(lambda: stream(worker, recorded, session), rounds=ROUNDS, cpu_s=cpu_s)
        found = rounds.found
        said = {"isolation": worker.isolation, "p50_us": float(np.median(found.round_trip_ns)) / 1e3}
    return Done(rounds, len(recorded), said, {"outputs": found.outputs})


def here(inputs: Path, kind: str) -> Done:
    """The same steps in this process, as a decoder's author would try them: no judge, no clock on each bin."""
    recorded, session, state = _m2(inputs, N_BINS[kind])
    decoder = construct(find(_decoder(kind)), {})
    decoder.restore(state, [session])
    rounds = timed(lambda: Decoder.predict(decoder, recorded, session), rounds=ROUNDS)
    return Done(rounds, len(recorded), {}, {"outputs": rounds.found})


def _decoder(kind: str) -> str:
    return f"{Path(__file__).with_name('decoders')}/{DECODERS[kind]}"


def _m2(inputs: Path, n_bins: int) -> tuple[Inputs, SessionInfo, dict[str, np.ndarray]]:
    with np.load(inputs / "m2.npz") as kept:
        counts, decoder = kept["counts"][:n_bins].astype(np.float32), kept["decoder"]
    session = SessionInfo("s", "m", {"spikes": StreamInfo(counts.shape[1])}, BIN_S, ("index", "mrs"))
    return Inputs({"spikes": counts}, np.arange(len(counts)) == 0, BIN_S), session, {"map_": decoder}


WORKS = {
    "stream-m2": lambda inputs: judged(inputs, "numpy"),
    "stream-m2-here": lambda inputs: here(inputs, "numpy"),
    "stream-m2-torch": lambda inputs: judged(inputs, "torch"),
    "stream-m2-torch-here": lambda inputs: here(inputs, "torch"),
}

if __name__ == "__main__":
    serve(WORKS, ("neural-decoder-harness", "numpy", "torch"))
