"""Compare: two decoders of one board on the same recordings."""

from pathlib import Path

import streamlit as st

from leaderboard_app.choices import choose
from leaderboard_app.compare_blocks import show_blocks
from leaderboard_app.compare_plot import differences
from leaderboard_app.comparison import (
    by_recording,
    comparable,
    how_found,
    own_score,
    reach,
    sentence,
    side_by_side,
    wins,
)
from leaderboard_app.draws import draws_of
from leaderboard_app.links import page_link
from leaderboard_app.pairs import Difference, difference
from leaderboard_app.runs import Board, Run, runs_of
from leaderboard_app.site import Site
from leaderboard_app.wording import interval, metric_name, plain, without_minus_zero


def show(site: Site) -> None:
    """Choose two decoders; then their difference, where each one wins, and what each costs."""
    st.title("Compare two decoders", anchor=False)
    board = site.choose_board(forgets=["decoder", "other", "recording"])
    runs = comparable(runs_of(site.on(board)))
    if len(runs) < 2:
        st.info("A comparison takes two decoders that finished a recording; this board has fewer.")
        return
    titles = {label: label for label in runs}
    left, right = st.columns(2)
    with left:
        a = runs[choose("decoder", "Decoder", titles, next(iter(titles)))]
    with right:
        b = runs[choose("other", "Other decoder", titles, next(label for label in titles if label != a.label))]
    if a.label == b.label:
        st.info("Both are the same decoder; choose another one on one side.", icon=":material/content_copy:")
        return
    found = _difference(site.root, a, b)
    if not found.recordings:
        st.info("There is no recording that both finished with all their seeds, by the same file.")
        return
    _show_difference(found, board, a)
    _show_recordings(found)
    show_blocks(site, board, found, (a, b))
    _show_costs(a, b)
    for run in (a, b):
        page_link("decoder", f"More of {plain(run.label)}", board=board.key, decoder=run.label)
    page_link("trade-offs", "All decoders: score against cost", board=board.key)


def _seeds(run: Run) -> list[str]:
    return [run.label, *(record.id for record in run.records)]


@st.cache_data(max_entries=64, ttl=60, show_spinner="Comparing …", hash_funcs={Run: _seeds})
def _difference(root: Path, a: Run, b: Run) -> Difference:
    return difference(a, b, (draws_of(root, a), draws_of(root, b)))


def _show_difference(found: Difference, board: Board, a: Run) -> None:
    st.code(sentence(found, board.title), language=None, wrap_lines=True)
    trials = any(s.trials is not None for r in a.records for s in r.sessions)
    st.caption(f"{how_found(found, trials=trials)} {reach(found)}")
    if board.simulated:
        st.caption(":material/science: Simulated recordings: they say nothing about a brain.")


def _show_recordings(found: Difference) -> None:
    st.subheader("Recording by recording", anchor=False)
    st.markdown(plain(wins(found)))
    st.altair_chart(differences(found), alt=f"By how much {found.a} is better than {found.b} on each recording")
    table = by_recording(found)
    table[["a", "b"]] = table[["a", "b"]].apply(without_minus_zero)
    table["difference"] = without_minus_zero(table["difference"], digits=3)
    table["interval"] = [interval(low, high) for low, high in zip(table["low"], table["high"], strict=True)]
    num, text = st.column_config.NumberColumn, st.column_config.TextColumn
    columns = ["session", "a", "b", "difference", *(["interval"] if table["interval"].any() else [])]
    st.dataframe(
        table,
        hide_index=True,
        column_order=columns,
        column_config={
            "session": text("Recording", pinned=True, width=115),
            "a": num(found.a, format="%.2f", width=80),
            "b": num(found.b, format="%.2f", width=80),
            "difference": num(
                "Difference", format="%.3f", width=80, help=f"The first minus the second, {found.metric}."
            ),
            "interval": text("95 % interval", width=105),
        },
        alt=f"{metric_name(found.metric)} of both decoders on each recording",
    )


def _show_costs(a: Run, b: Run) -> None:
    st.subheader("Latency and cost", anchor=False)
    table = side_by_side(a, b)
    text = st.column_config.TextColumn
    st.dataframe(
        table,
        hide_index=True,
        column_config={
            "quantity": text("Less is better", pinned=True, width=135),
            "a": text(a.label, width=80),
            "b": text(b.label, width=80),
            "ratio": text("Ratio", width=60, help="The first over the second."),
        },
        alt="Latency and cost of both decoders, with their ratio",
    )
    own = [f"{run.label}: {own_score(run) or 'no score of all seeds'}" for run in (a, b)]
    noisy = [run.label for run in (a, b) if any(r.profile.noisy for r in run.records)]
    busy = f" The machine was busy while it timed {', '.join(noisy)}: do not compare latencies." if noisy else ""
    st.caption(plain(f"Each by itself, with its own 95 % interval: {'; '.join(own)}.{busy}"))
