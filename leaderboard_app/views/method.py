"""How it is measured: the protocol in equations, the cheats that are caught, and what is not known."""

import importlib.resources

import pandas as pd
import streamlit as st

from harness.judge.budget import Track, shipped_tracks
from leaderboard_app.site import Site

HERE = "<!-- tracks -->\n"
"""Where the text leaves room for the table of tracks."""

BUDGETS = {
    "answer_delay_bins": ("Answers about earlier bins", lambda n: "none" if n == 0 else f"{n:g} bins"),
    "delay_ms": ("Whole delay, ms", "{:g}".format),
    "p99_bins": ("p99, bins", "{:g}".format),
    "p99_ms": ("p99, ms", "{:g}".format),
    "deadline_miss_rate": ("Missed deadlines", lambda share: f"{share * 100:g} %"),
    "parameters": ("Parameters", "{:,.0f}".format),
    "artifact_bytes": ("Artefact, bytes", "{:,.0f}".format),
    "state_bytes": ("State, bytes", "{:,.0f}".format),
    "synaptic_operations_per_s": ("Effective operations/s", "{:,.0f}".format),
    "energy_nj_per_bin": ("Modelled nJ/bin", "{:g}".format),
}
"""Budget -> heading, and how its limit is written."""


def show(site: Site) -> None:
    """The text, with the rules of the tracks as the judge reads them."""
    st.title("How it is measured", anchor=False)
    before, after = text("method").split(HERE)
    st.markdown(before)
    st.dataframe(tracks_table(shipped_tracks()), hide_index=True, alt="Tracks and their limits")
    st.markdown(after)


def text(name: str) -> str:
    """A page's text, as checked out or installed."""
    return (importlib.resources.files("leaderboard_app") / "text" / f"{name}.md").read_text(encoding="utf-8")


def tracks_table(tracks: list[Track]) -> pd.DataFrame:
    """One row per track, with the limits that any of them has."""
    limited = [name for name in BUDGETS if any(getattr(track, name) is not None for track in tracks)]
    return pd.DataFrame([_row(track, limited) for track in tracks])


def _row(track: Track, limited: list[str]) -> dict[str, str]:
    limits = {BUDGETS[name][0]: _limit(track, name) for name in limited}
    audit = "all rules" if track.causal else ""
    return {"Track": track.label, "Audit": audit, **limits, "What it is": track.description}


def _limit(track: Track, name: str) -> str:
    limit = getattr(track, name)
    if limit is None:
        return ""
    words = BUDGETS[name][1](limit)
    return words if limit == 0 else f"≤ {words}"
