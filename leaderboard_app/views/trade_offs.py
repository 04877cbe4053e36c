"""Trade-offs: score against what it is paid with."""

import pandas as pd
import streamlit as st

from harness.judge.budget import shipped_tracks
from harness.score.metrics import metric
from leaderboard_app.choices import choose
from leaderboard_app.links import page_link
from leaderboard_app.runs import Board, newest
from leaderboard_app.site import Site, choose_track
from leaderboard_app.trade_off_plot import CROWD, trade_off
from leaderboard_app.trade_offs import Cost, costs_of, limits, points
from leaderboard_app.wording import interval, metric_name, number, plain, short


def show(site: Site) -> None:
    """Choices, the plot, and the decoders on its frontier."""
    st.title("What a score is paid with", anchor=False)
    board = site.choose_board()
    records = site.on(board)
    left, right = st.columns(2)
    with left:
        track = choose_track(records)
    table, latest = site.ranking(board, track), newest(records)
    costs = costs_of(table)
    if not costs:
        st.info("No ranked decoder of this track has a cost to plot; the board says who is not ranked, and why.")
        page_link("board", "To the board", board=board.key, track=track)
        return
    with right:
        name = choose("cost", "Score against", {key: cost.label for key, cost in costs.items()}, next(iter(costs)))
    up = 1 if metric(latest.metric).higher_is_better else -1
    found = points(table, costs[name], higher_is_better=up > 0)
    lines = limits(name, shipped_tracks(), bin_s=latest.bin_s)
    chart = trade_off(found, table, costs[name], lines, metric=latest.metric, up=up)
    st.altair_chart(chart, alt=f"{metric_name(latest.metric)} against {costs[name].title}, with the Pareto frontier")
    st.caption(_legend(found, board, costs[name]))
    _show_frontier(found[found["frontier"]], costs[name], latest.metric)
    _show_links(found[found["frontier"]]["decoder"].tolist(), board, track)


def _legend(found: pd.DataFrame, board: Board, cost: Cost) -> str:
    """What a reader of the plot has to know, and who is missing."""
    unknown = [plain(name) for name in found[found["cost"].isna()]["decoder"]]
    missing = f" Not drawn, for this was not measured: {', '.join(unknown)}." if unknown else ""
    paced = " p99 of bins sent one after the other; tracks limit the p99 of bins sent at their real times."
    late = paced if "p99_ms" in cost.columns else ""
    simulated = " Simulated recordings: they say nothing about a brain." if board.simulated else ""
    crowd = " The legend names the frontier alone." if found["cost"].count() > CROWD else ""
    return (
        "The line is the frontier: no other decoder costs less and scores as well. It goes by the scores themselves; "
        f"whoever has an overlapping interval may belong there too.{crowd}{late}{missing}{simulated}"
    )


def _show_frontier(rows: pd.DataFrame, cost: Cost, name: str) -> None:
    st.subheader("On the frontier", anchor=False)
    rows = rows.sort_values("cost", ignore_index=True)
    spans = [interval(low, high) for low, high in zip(rows["low"], rows["high"], strict=True)]
    text = st.column_config.TextColumn
    shown = pd.DataFrame(
        {
            "decoder": rows["decoder"],
            "score": [number(value) for value in rows["score"]],
            "interval": spans,
            "cost": [short(value) for value in rows["cost"]],
        }
    )
    st.dataframe(
        shown,
        hide_index=True,
        column_config={
            "decoder": text("Decoder", pinned=True, width=125),
            "score": text(metric_name(name), width=70),
            "interval": text("95 % interval", width=95),
            "cost": text(cost.title, width=100),
        },
        alt="Decoders on the frontier, the cheapest first",
    )


def _show_links(names: list[str], board: Board, track: str) -> None:
    """To the two best of these, and back to the board."""
    if len(names) > 1:
        words = f"Compare {plain(names[0])} with {plain(names[1])}"
        page_link("compare", words, board=board.key, decoder=names[0], other=names[1])
    page_link("board", "To the board", board=board.key, track=track)
