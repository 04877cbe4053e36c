"""nlb_tools at work, in its own environment: `python -m tools.peers.with_nlb_tools load-rtt INPUTS OUT.json`."""

import warnings
from pathlib import Path

import numpy as np
from nlb_tools.nwb_interface import NWBDataset

from tools.peers.timing import Done, serve, timed

RTT, BIN_MS, EDGE_BINS = "rtt.nwb", 5, 400


def load_rtt(inputs: Path) -> Done:
    """All of a session on the 1 ms grid, then spikes and position at 5 ms; its notebooks' first two lines."""

    def load() -> NWBDataset:
        dataset = NWBDataset(str(inputs / RTT), split_heldout=False)
        dataset.resample(BIN_MS)
        return dataset

    rounds = timed(load, rounds=1)
    dataset = rounds.found
    counts = dataset.data.spikes.to_numpy().astype(np.float32)
    velocity = np.diff(dataset.data.cursor_pos.to_numpy(), axis=0) / (BIN_MS / 1000)
    # Its filter has a transient at both ends of the recording.
    arrays = {"counts": counts, "velocity": velocity[EDGE_BINS:-EDGE_BINS].astype(np.float32)}
    return Done(rounds, 1, {"spikes": float(counts.sum()), "bins": len(counts)}, arrays)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    serve({"load-rtt": load_rtt}, ("nlb-tools", "pandas", "numpy", "scipy", "pynwb", "h5py"))
