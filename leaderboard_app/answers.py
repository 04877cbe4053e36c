"""What decoders answered, out of a store: one array of one file, checked against the record."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st

from harness.errors import BadData
from harness.results.shown import Shown, read_arrays, read_shown, shown_path
from harness.results.store import Store, file_sha256
from leaderboard_app.recordings import Answered

KEPT = 16
"""Recordings, and answers of one decoder on one recording, that stay in memory: some 5 MB each."""


NO_ANSWERS = "no predictions in this store"


@dataclass(frozen=True)
class Material:
    """What there is to draw of one recording.

    truth: Its test part; None if the store has none, and `no_truth` says why.
    outputs: Decoder -> (n_bins, n_outputs) answers, for those bins that the truth has where there is one.
    missing: Decoder -> why it has no answers here.
    """

    truth: Shown | None
    no_truth: str
    outputs: dict[str, np.ndarray]
    missing: dict[str, str]


def material(store: Store, chosen: Sequence[Answered]) -> Material:
    """Truth and answers of some decoders on one recording.

    Args:
        store: That both lie in.
        chosen: Decoders on the same recording, at least one.
    """
    one = chosen[0]
    truth, no_truth = _truth(store, one.record.suite, one.result.session, one.result.sha256)
    outputs, missing = {}, {}
    for decoder in chosen:
        values, why = _answers(store, decoder)
        why = why or ("" if values is None or truth is None else _why_other_bins(values, truth))
        if values is None or why:
            missing[decoder.label] = why
        else:
            outputs[decoder.label] = values if truth is None else values[: len(truth)]
    return Material(truth, no_truth, outputs, missing)


def _why_other_bins(values: np.ndarray, truth: Shown) -> str:
    there, wanted = values.shape, (truth.about.n_bins, len(truth.about.outputs))
    if there == wanted:
        return ""
    return f"its answers are {there[0]} bins of {there[1]}, the recording kept here has {wanted[0]} of {wanted[1]}"


def _answers(store: Store, decoder: Answered) -> tuple[np.ndarray | None, str]:
    record, result = decoder.record, decoder.result
    if result.status != "ok":
        return None, f"it did not finish here: {result.status}"
    path = store.predictions(record)
    changed_ns = _changed_ns(path)
    if not changed_ns:
        return None, NO_ANSWERS
    return _outputs(path, record.predictions_sha256 or "", result.session, changed_ns)


def _truth(store: Store, suite: str, session: str, sha256: str) -> tuple[Shown | None, str]:
    changed_ns = _changed_ns(shown_path(store, suite, session, sha256))
    return _read_shown(store.root, suite, session, sha256, changed_ns)


def _changed_ns(path: Path) -> int:
    """When a file was written; 0 if there is none."""
    try:
        return path.stat().st_mtime_ns
    except (OSError, ValueError):
        return 0


@st.cache_resource(show_spinner=False, max_entries=KEPT)
def _outputs(path: Path, sha256: str, session: str, changed_ns: int) -> tuple[np.ndarray | None, str]:
    """The answers of one record on one recording; `changed_ns` tells a file from the one that it replaced."""
    try:
        if file_sha256(path) != sha256:
            return None, "its file of predictions is not the one that the record speaks of"
        values = read_arrays(path, [f"{session}/outputs"]).get(f"{session}/outputs")
    except (BadData, OSError) as error:
        return None, str(error)
    if values is None or values.ndim != 2 or values.dtype.kind != "f" or not values.size:
        return None, "its file of predictions has no answers for this recording"
    return values, ""


@st.cache_resource(show_spinner=False, max_entries=KEPT)
def _read_shown(root: Path, suite: str, session: str, sha256: str, changed_ns: int) -> tuple[Shown | None, str]:
    """As `read_shown`; `changed_ns` tells a file from the one that it replaced."""
    return read_shown(Store(root), suite, session, sha256)
