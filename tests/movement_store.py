"""A store as a test pass leaves it: two decoders' answers on one made-up recording, and what was true."""

import numpy as np

from harness.results.cells import arrays_to_npz
from harness.results.excerpt import DrawnStream
from harness.results.records import sha256
from harness.results.shown import About, Shown, packed, shown_path
from harness.results.store import Store
from tests.records_factory import make_record, make_session

N_BINS, BIN_S = 1500, 0.02
SESSION = "made-up-1"


def movement_store(root, *, truth=True, predictions=True, n_bins=N_BINS) -> Store:
    """Two decoders on one recording, with what a test pass leaves."""
    store, rng = Store(root), np.random.default_rng(0)
    targets = rng.normal(size=(N_BINS, 2)).astype(np.float32)
    for name in ("close", "far"):
        outputs = targets[:n_bins] + (0.1 if name == "close" else 0.9)
        content = arrays_to_npz({f"{SESSION}/outputs": outputs.astype(np.float32)})
        record = make_record(name, sessions=[make_session(SESSION, len(name) / 10)], predictions_sha256=sha256(content))
        store.save(record)
        if predictions:
            store.predictions(record).parent.mkdir(exist_ok=True)
            store.predictions(record).write_bytes(content)
    if truth:
        keep_truth(store, targets)
    return store


def keep_truth(store, targets, **changes):
    data, rng = make_session(SESSION, 0).sha256, np.random.default_rng(1)
    streams = {
        "spikes": DrawnStream(kind="counts", unit="1", channels=tuple("abc"), n_channels=30),
        "lfp": DrawnStream(kind="signal", unit="uV", channels=tuple("xy"), n_channels=96),
        "none": DrawnStream(kind="signal", unit="uV", channels=(), n_channels=96),
    }
    content = {"suite": "made-up-reaching@1", "session": SESSION, "data": data, "kind": "regression", "bin_s": BIN_S}
    content |= {"n_bins": len(targets), "outputs": ("x", "y"), "quantity": "velocity", "decision_s": None}
    about = About(**(content | {"streams": streams} | changes))
    n = len(targets)
    values = {"spikes": rng.poisson(0.5, (n, 3)).astype(np.uint8), "none": np.zeros((n, 2, 0), np.float32)}
    values["lfp"] = np.sort(rng.normal(size=(n, 2, 2)).astype(np.float32), axis=1)
    shown = Shown(about, targets, np.arange(n) > 120, np.arange(n) % 500 == 0, values)
    path = shown_path(store, about.suite, SESSION, data)
    path.parent.mkdir(parents=True)
    path.write_bytes(packed(shown))
