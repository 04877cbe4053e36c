"""The page's two tables: ranked decoders between reference and floor, and those that have no rank."""

import pandas as pd
import streamlit as st

from leaderboard_app.wording import interval, metric_name

ROW_PX, EDGE_PX = 35, 3
SHOWN = ("rank", "decoder", "score", "interval", "p50_ms", "p99_ms", "misses_percent", "seeds", "seed_sd", "parameters")
SHOWN += ("artifact_kib", "fit_s", "sessions", "isolation", "status")


def show_ranked(table: pd.DataFrame, metric: str) -> None:
    """Best first, with the reference and floor rows at their place on grey."""
    if not table["kind"].eq("ranked").any():
        st.info("No decoder here has finished on all its sessions and seeds yet.", icon=":material/hourglass_empty:")
        return
    shown = _shown(table)
    bounds = table["kind"].isin(["reference", "floor"])
    styled = shown.style.apply(lambda row: [_look(bounds[row.name])] * len(row), axis=1)
    st.dataframe(
        styled,
        hide_index=True,
        height=ROW_PX * (len(shown) + 1) + EDGE_PX,
        column_order=[c for c in SHOWN if c in shown],
        column_config=_columns(metric),
        placeholder="-",
        alt="Ranked decoders with scores, latency and cost",
    )
    st.caption(
        "Grey rows: what a read-out of the true latents reaches (reference, known for simulated recordings only) and "
        "what a decoder without any neural information reaches (floor). With several seeds, score and interval ends "
        "are means over seeds. Latency is the round trip of one bin by the judge's clock."
    )


def show_unranked(table: pd.DataFrame) -> None:
    """Decoders without a rank, each with its reason."""
    if table.empty:
        return
    st.subheader("Not ranked", anchor=False)
    st.dataframe(
        table[["decoder", "status", "reason", "sessions", "isolation", "started_utc"]],
        hide_index=True,
        column_config={
            "decoder": st.column_config.TextColumn("Decoder", pinned=True),
            "status": st.column_config.TextColumn("Status"),
            "reason": st.column_config.TextColumn("Reason", width="large"),
            "sessions": st.column_config.TextColumn("Sessions", width="small", help=SESSIONS_HELP),
            "isolation": st.column_config.TextColumn("Isolation", width="small"),
            "started_utc": st.column_config.TextColumn("Started, UTC"),
        },
        alt="Decoders without a rank and the reason",
    )


def _look(bound: bool) -> str:
    return "background-color: rgba(125, 133, 144, 0.14)" if bound else ""


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """The columns that people read; columns that say the same for all or nothing are left out."""
    shown = table.assign(
        interval=[interval(a, b) for a, b in zip(table["low"], table["high"], strict=True)],
        misses_percent=table["deadline_miss_rate"] * 100,
        artifact_kib=table["artifact_bytes"] / 1024,
        status=table["status"].where(~table["noisy"].astype(bool), table["status"] + ", noisy"),
        score=table["score"].where(table["score"].abs() >= 0.005, table["score"].abs()),  # no "-0.00"
        seeds=table["n_seeds"].astype("Int64"),
    )
    return shown[[c for c in SHOWN if c != "seed_sd" or shown["seed_sd"].notna().any()]]


SESSIONS_HELP = "Sessions finished, over all seeds."
NOISY_HELP = "noisy: the machine was busy with something else; do not compare these latencies."


def _columns(metric: str) -> dict[str, object]:
    text, num = st.column_config.TextColumn, st.column_config.NumberColumn
    return {
        "rank": num("#", width=35, pinned=True),
        "decoder": text("Decoder", width=165, pinned=True),
        "score": num(metric_name(metric), format="%.2f", width=60, help="Mean over sessions and seeds."),
        "interval": text("95 % interval", width=110),
        "p50_ms": num("p50 ms", format="%.3f", width=65, help="Median latency of one bin."),
        "p99_ms": num("p99 ms", format="%.3f", width=65, help="99 of 100 bins were answered faster."),
        "misses_percent": num("Missed", format="%.2f %%", width=65, help="Bins answered after their length."),
        "seeds": num("Seeds", width=50),
        "seed_sd": num("Seed sd", format="%.3f", width=60, help="Standard deviation of the score over seeds."),
        "parameters": num("Parameters", format="localized", width=90),
        "artifact_kib": num("Artefact", format="%.1f KiB", width=85, help="All that was learned, as stored."),
        "fit_s": num("Fit", format="%.1f s", width=70, help="Time of one fit run over all sessions."),
        "sessions": text("Sessions", width=65, help=SESSIONS_HELP),
        "isolation": text("Isolation", width=75, help="sandbox: no network, no data folder, no home."),
        "status": text("Status", width=70, help=NOISY_HELP),
    }
