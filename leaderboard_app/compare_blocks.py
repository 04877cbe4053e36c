"""The part of the page Compare that shows where in time one decoder is better, on a chosen recording."""

import altair as alt
import pandas as pd
import streamlit as st

from harness.results.published import open_store
from harness.results.shown import Shown
from leaderboard_app.answers import Material, material
from leaderboard_app.blocks import gains, who_gains
from leaderboard_app.choices import choose
from leaderboard_app.compare_plot import LOOKS
from leaderboard_app.links import page_link
from leaderboard_app.pairs import Difference
from leaderboard_app.plots import GREY
from leaderboard_app.recordings import Answered, answered, recordings_of, seeds_of
from leaderboard_app.runs import Board, Run
from leaderboard_app.site import Site
from leaderboard_app.trace_plots import PADDING, SECONDS
from leaderboard_app.wording import metric_name, plain

HEIGHT_PX = 250
GAP_S = 0.5
"""Left free of a block of 10 s, so that neighbours can be told apart."""


def show_blocks(site: Site, board: Board, found: Difference, runs: tuple[Run, Run]) -> None:
    """Choose one of the recordings that both finished; then each block's gain.

    Args:
        site: Where answers are.
        board: Of both.
        found: Their difference, with at least one recording.
        runs: The first decoder and the other.
    """
    st.subheader("Within a recording", anchor=False)
    names = sorted({row.session for row in found.recordings})
    session = choose("recording", "Recording", {name: name for name in names}, names[0])
    a, b = _pair(runs, session)
    store = open_store(site.root)
    there = material(store, [a, b])
    if why := _why_not(there):
        st.caption(plain(f"Where in time one is better cannot be shown here: {why}."))
    elif there.truth is not None:
        _show(there.truth, there, found)
    page_link("recording", f"Open {plain(session)}", board=board.key, recording=session)


def _pair(runs: tuple[Run, Run], session: str) -> tuple[Answered, Answered]:
    """What both did on a recording, by a seed that both have if there is one."""
    shared = set(seeds_of(runs[:1])) & set(seeds_of(runs[1:]))
    seed = min(shared, default=None)
    data = recordings_of(runs)[session]
    a, b = (answered([run], session, data, seed)[0] for run in runs)
    return a, b


def _why_not(found: Material) -> str:
    """Why there is nothing to compare; empty if there is."""
    missing = [f"{label}: {why}" for label, why in found.missing.items()]
    if found.truth is None:
        missing.append(f"what was true is not in this store ({found.no_truth})")
    return "; ".join(missing)


def _show(truth: Shown, there: Material, found: Difference) -> None:
    table = gains(found.metric, truth, there.outputs[found.a], there.outputs[found.b])
    st.markdown(plain(who_gains(table, found.a, found.b)))
    st.altair_chart(
        block_chart(table, found), alt=f"By how much {found.a} is ahead of {found.b} in each block of the recording"
    )
    st.caption(plain(f"A bar is what {found.b}'s score would gain with {found.a}'s answers in these 10 s alone."))
    if len(truth) < truth.about.n_bins:
        st.caption(f"Of the first {len(truth) * truth.about.bin_s:.0f} s, which is what the store keeps.")


def block_chart(table: pd.DataFrame, d: Difference) -> alt.LayerChart:
    """Bars over time, upwards where the first decoder is ahead.

    Args:
        table: What `blocks.gains` returns.
        d: Whose names and metric are written.
    """
    words = {"a": f"{d.a} is ahead", "b": f"{d.b} is ahead"}
    who = table["gain"].map(lambda gain: words["a"] if gain >= 0 else words["b"])
    shown = table.assign(who=who, end_s=table["until_s"] - GAP_S * (table["until_s"] - table["from_s"] > 2 * GAP_S))
    colour = alt.Color(
        "who:N",
        title=None,
        scale=alt.Scale(domain=list(words.values()), range=[LOOKS["a"][0], LOOKS["b"][0]]),
        legend=alt.Legend(orient="bottom", columns=1, labelLimit=300),
    )
    title = f"Gain, {metric_name(d.metric)}"
    bars = (
        alt.Chart(shown)
        .mark_bar()
        .encode(
            x=alt.X("from_s:Q", title=SECONDS, axis=alt.Axis(grid=False)),
            x2="end_s:Q",
            y=alt.Y("gain:Q", title=title, axis=alt.Axis(tickCount=5, grid=False)),
            y2=alt.datum(0),
            color=colour,
            tooltip=[
                alt.Tooltip("from_s:Q", title="From second", format=".1f"),
                alt.Tooltip("until_s:Q", title="Until second", format=".1f"),
                alt.Tooltip("gain:Q", title=title, format=".4f"),
                alt.Tooltip("who:N", title="Ahead"),
            ],
        )
    )
    zero = alt.Chart(pd.DataFrame({"zero": [0.0]})).mark_rule(color=GREY).encode(y="zero:Q")
    return alt.layer(bars, zero).properties(height=HEIGHT_PX, padding=PADDING)
