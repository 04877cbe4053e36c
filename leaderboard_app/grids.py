"""The page's two tables: ranked decoders between reference and floor, and those that have no rank."""

import pandas as pd
import streamlit as st
from pandas.io.formats.style import Styler

from leaderboard_app.tracks import EVERYBODY
from leaderboard_app.wording import interval, metric_name, notes, other_tracks, plain, short, without_minus_zero

ROW_PX, EDGE_PX = 35, 3
SHOWN = ("rank", "decoder", "score", "interval", "seed_sd", "p50_ms", "p99_ms", "paced_p99_ms", "misses_percent")
SHOWN += ("parameters", "artifact_kib", "operations_per_s", "notes", "also_in")
UNRANKED = ("decoder", "reason", "score", "also_in", "notes", "sessions", "started_utc")
IF_ANY = ("paced_p99_ms", "operations_per_s", "seed_sd", "notes", "also_in", "score")
"""Columns that are left out where they would be empty."""


def show_ranked(table: pd.DataFrame, metric: str, track: str) -> None:
    """Best first, with the reference and floor rows at their place on grey."""
    if not table["kind"].eq("ranked").any():
        st.info(_nobody(table, track), icon=":material/hourglass_empty:")
        return
    table = table[table["kind"] != "unranked"]
    shown = _shown(table, track)
    bounds = table["kind"].isin(["reference", "floor"])
    styled = shown.style.apply(lambda row: [_look(bounds[row.name])] * len(row), axis=1)
    st.dataframe(
        worded(styled, table),
        hide_index=True,
        height=ROW_PX * (len(shown) + 1) + EDGE_PX,
        column_order=_filled(shown, SHOWN),
        column_config=_columns(metric),
        placeholder="-",
        alt="Ranked decoders with scores, latency and cost",
    )
    st.caption(_legend(table))


def show_unranked(table: pd.DataFrame, metric: str, track: str) -> None:
    """Decoders without a rank, each with its reason."""
    table = table[table["kind"] == "unranked"]
    if table.empty:
        return
    st.subheader("Not ranked", anchor=False)
    shown = _shown(table, track)
    text = st.column_config.TextColumn
    wide = {"reason": text("Reason", width=370), "notes": text("Notes", width=105, help=NOTES_HELP)}
    st.dataframe(
        shown,
        hide_index=True,
        column_order=_filled(shown, UNRANKED),
        column_config=_columns(metric) | wide,
        placeholder="-",
        alt="Decoders without a rank and the reason",
    )
    if table["reason"].str.contains("p99_bins").any():
        st.caption("p99_bins: p99 with bins sent at their real times, in lengths of a bin.")


def _nobody(table: pd.DataFrame, track: str) -> str:
    """What to say where no row has a rank."""
    if track == EVERYBODY or table.query("status == 'ok'")["score"].isna().all():
        return "No decoder here has finished on all its sessions and seeds yet."
    return (
        f"No decoder here is in the track {plain(track)}; the reasons are below. The track {EVERYBODY} ranks all "
        "decoders that have finished on all their sessions and seeds."
    )


def _legend(table: pd.DataFrame) -> str:
    """What a reader of the ranked rows has to know."""
    noisy = " Noisy rows: the machine was busy with something else; do not compare their latencies."
    return (
        "Rows with one number cannot be told from the best of them by the recordings that they share. Grey rows: what "
        "a read-out of the true latents reaches (reference, known for simulated recordings only) and what a decoder "
        "without any neural information reaches (floor). With several seeds, numbers are means over seeds. p50 and p99 "
        "are round trips of one bin by the judge's clock with bins sent one after the other; paced: with bins sent at "
        "their real times. An empty number was not measured."
        f"{noisy if table['noisy'].any() else ''}"
    )


def _look(bound: bool) -> str:
    return "background-color: rgba(125, 133, 144, 0.14)" if bound else ""


def worded(styled: Styler, table: pd.DataFrame) -> Styler:
    """Cells that show a word or a number more than they are sorted by: declared operations, the number of seeds."""
    for how, rows in table.groupby("operations"):
        mark = " declared" if how == "declared" else ""
        styled = styled.format(lambda n, mark=mark: f"{short(n)}{mark}", subset=(rows.index, ["operations_per_s"]))
    for n_seeds, rows in table.groupby("n_seeds"):
        styled = styled.format(lambda sd, n=n_seeds: f"{sd:.3f} ({n:.0f})", subset=(rows.index, ["seed_sd"]))
    return styled


def _filled(shown: pd.DataFrame, names: tuple[str, ...]) -> list[str]:
    """The names of columns to show, without those of which no row has anything."""
    empty = {name for name in IF_ANY if shown[name].isna().all() or shown[name].eq("").all()}
    return [name for name in names if name not in empty]


def _shown(table: pd.DataFrame, track: str) -> pd.DataFrame:
    """The columns that people read, in the units that they read."""
    return table.assign(
        interval=[interval(a, b) for a, b in zip(table["low"], table["high"], strict=True)],
        misses_percent=table["deadline_miss_rate"] * 100,
        artifact_kib=table["artifact_bytes"] / 1024,
        also_in=[other_tracks(names, track) for names in table["tracks"]],
        notes=[notes(row) for _, row in table.iterrows()],
        score=without_minus_zero(table["score"]),
    )[[*dict.fromkeys(SHOWN + UNRANKED)]]


NOTES_HELP = (
    "reproduced: somebody ran it again, and the receipt says so; reference: on a reference machine. learned from test "
    "data: its card says so. noisy: the machine was busy. no sandbox: a separate process, but with files in reach."
)
MISSED_HELP = "Bins answered after their length: with bins sent at their real times, where that was done."
OPERATIONS_HELP = (
    "Effective operations a second: products without a zero, gates included; declared: the decoder says so, nobody "
    "counted. Empty: unknown, and why is below, under latency and cost in detail."
)


def _columns(metric: str) -> dict[str, object]:
    text, num = st.column_config.TextColumn, st.column_config.NumberColumn
    name = metric_name(metric)
    return {
        "rank": num(
            "#", width=35, pinned=True, help="1 and the number of decoders in better groups; see How it is measured."
        ),
        "decoder": text("Decoder", width=165, pinned=True),
        "score": num(name, format="%.2f", width=max(60, 8 * len(name)), help="Mean over sessions and seeds."),
        "interval": text("95 % interval", width=100),
        "seed_sd": num("Seed sd", width=75, help="Standard deviation of the score over seeds, and their number."),
        "p50_ms": num("p50 ms", format="%.3f", width=60, help="Median latency of one bin."),
        "p99_ms": num("p99 ms", format="%.3f", width=60, help="99 of 100 bins were answered faster."),
        "paced_p99_ms": num("Paced p99", format="%.3f", width=75, help="p99 in ms, bins sent at their real times."),
        "misses_percent": num("Missed", format="%.2f %%", width=60, help=MISSED_HELP),
        "parameters": num("Parameters", format="localized", width=85),
        "artifact_kib": num("Artefact", format="%.1f KiB", width=85, help="All that was learned, as stored."),
        "operations_per_s": num("Operations/s", width=100, help=OPERATIONS_HELP),
        "also_in": text("Also in", width=155, help="Other tracks whose rules all seeds kept."),
        "notes": text("Notes", width=70, help=NOTES_HELP),
        "sessions": text("Sessions", width=65, help="Sessions finished, over all seeds."),
        "started_utc": text("Started, UTC", width=145),
    }
