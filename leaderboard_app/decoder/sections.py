"""Sections of the decoder's page: card, headline, tracks, recordings, latency, audit, and what went wrong."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import streamlit as st

from harness.results.records import Latency
from leaderboard_app.decoder import round_trips
from leaderboard_app.decoder.cards import as_markdown, card_of
from leaderboard_app.decoder.recordings import far_below, scores_of, strip_plot
from leaderboard_app.decoder.rules import audited
from leaderboard_app.decoder.standing import Standing
from leaderboard_app.runs import Run, newest
from leaderboard_app.wording import interval, metric_name, number, plain, short

ROOM_FOR = 1_000_000
"""Smaller numbers are written out."""


def show_card(run: Run, root: Path) -> None:
    """What the decoder is, by its card; `root` is the store of its records."""
    latest = newest(run.records)
    decoder, card = latest.decoder, card_of(latest.decoder, root, latest.suite)
    with st.container(border=True):
        st.subheader(plain(f"{card.title} ({decoder.name})" if card else decoder.name), anchor=False)
        if card:
            st.markdown(as_markdown(card, decoder.name))
        else:
            st.markdown(
                "There is no card of this decoder: cards come with the decoders of the harness and with submissions, "
                f"and this one is of another package or file, {plain(decoder.entry_point)}."
            )
        st.caption(plain(_settings(run)))


def _settings(run: Run) -> str:
    decoder = newest(run.records).decoder
    settings = ", ".join(f"{name}={value}" for name, value in sorted(decoder.parameters.items()) if name != "seed")
    return f"Version {decoder.version}, source {decoder.source_sha256[:7]}. Settings: {settings or 'none'}."


def show_headline(run: Run, standing: Standing, tracks: Mapping[str, str]) -> None:
    """The numbers that people ask for first, and the tracks."""
    row, latest = standing.row, newest(run.records)
    within = interval(row["low"], row["high"])
    with st.container(horizontal=True):
        _metric(metric_name(latest.metric), _rounded(row["score"]), f"95 %: {within}" if within else "")
        _metric("Rank", standing.rank, standing.shared)
        _metric("p99 latency, ms", _rounded(row["p99_ms"], 3), f"bins of {short(latest.bin_s * 1000)} ms")
        _metric("Parameters", _count(row["parameters"]), "")
        _metric("Seeds", f"{len(run.records)}", "" if pd.isna(row["seed_sd"]) else f"sd {number(row['seed_sd'], 3)}")
    if row["kind"] == "unranked":
        failed = any(record.status != "ok" for record in run.records)
        st.markdown(f"**No rank:** {'not all seeds finished; why is below.' if failed else plain(row['reason'])}")
    st.markdown("\n".join(_track(name, why) for name, why in tracks.items()))


def _metric(label: str, value: str, note: str) -> None:
    st.metric(label, value, note or None, delta_color="off", delta_arrow="off", border=True, width=165)


def _rounded(value: float, digits: int = 2) -> str:
    return "-" if pd.isna(value) else number(value, digits)


def _count(value: float) -> str:
    """To the last one while there is room for it on a phone."""
    if pd.isna(value):
        return "-"
    return f"{value:,.0f}" if value < ROOM_FOR else short(value)


def _track(name: str, why: str) -> str:
    return f"- ✗ **{plain(name)}**: not in it; {plain(why)}" if why else f"- ✓ **{plain(name)}**: in it"


def show_failures(run: Run) -> None:
    """Every error in full, as it was told; text that may be anything."""
    failed = [record for record in run.records if record.status != "ok"]
    if not failed:
        return
    st.error(f"{len(failed)} of {len(run.records)} seeds did not finish.", icon=":material/error:")
    for record in failed:
        parts = [("the run", record.error)] + [(s.session, s.error) for s in record.sessions if s.status != "ok"]
        told = {error: where for where, error in reversed(parts) if error}
        st.markdown(f"**Seed {record.seed}**: {plain(record.status)}")
        for error, where in reversed(told.items()):
            st.caption(f"Said of {plain(where)}:")
            st.code(error, language=None, wrap_lines=True)


def show_recordings(run: Run) -> None:
    """The strip plot; bounds that are too far away to draw are told."""
    latest = newest(run.records)
    scores = scores_of(run.records)
    if not scores["kind"].eq("seed").any():
        st.info("No recording has a score.", icon=":material/hourglass_empty:")
        return
    st.subheader("Recording by recording", anchor=False)
    names = sorted({s.session for r in run.records for s in r.sessions})
    chart = strip_plot(scores, metric=latest.metric, recordings=names)
    st.altair_chart(chart, alt=f"Scores of {len(names)} recordings, a dot for each seed")
    st.caption(_legend(scores))


def _legend(scores: pd.DataFrame) -> str:
    far = far_below(scores)
    words = [f"{what} ({number(part['score'].mean())} on average)" for what, part in far.groupby("what")]
    text = (
        "A dot is one recording and seed; the line is the mean of all dots. References say what a recording allows "
        "and are known of simulated ones alone; floors say what is reached without neural information."
    )
    return text + (f" Too far below to be drawn: {plain(', '.join(words))}." if words else "")


def show_latency(run: Run) -> None:
    """Both passes on one scale: bins one after the other, and at their real times."""
    passes = {
        "One bin after the other": [r.latency_ms for r in run.records if r.latency_ms],
        "Bins at their real times": [r.paced_latency_ms for r in run.records if r.paced_latency_ms],
    }
    timed = {title: latencies for title, latencies in passes.items() if latencies}
    st.subheader("Latency", anchor=False)
    if not timed:
        st.markdown("Nothing was timed: the run did not finish, or the decoder looks ahead and answers afterwards.")
        return
    bin_ms = newest(run.records).bin_s * 1000
    tables = {title: round_trips.bars(latencies) for title, latencies in timed.items()}
    between_ms = round_trips.span_ms(list(tables.values()), bin_ms)
    for title, latencies in timed.items():
        p99_ms = sum(t.p99 for t in latencies) / len(latencies)
        st.markdown(f"**{title}**: {_percentiles(latencies)}")
        if tables[title].empty:
            st.caption("The record has percentiles and no histogram; a run of today keeps both.")
            continue
        chart = round_trips.histogram(tables[title], p99_ms=p99_ms, bin_ms=bin_ms, between_ms=between_ms)
        st.altair_chart(chart, alt=f"Histogram of round trips: {title.lower()}")
    if any(r.profile.noisy for r in run.records):
        why = next((r.profile.noisy_why for r in run.records if r.profile.noisy_why), "the record does not say by what")
        st.warning(f"The machine was busy with something else: {plain(why)}.", icon=":material/graphic_eq:")


def _percentiles(latencies: list[Latency]) -> str:
    """Means over seeds, of the longest the longest."""
    p50, p99, p999 = (sum(getattr(t, name) for t in latencies) / len(latencies) for name in ("p50", "p99", "p999"))
    missed = sum(t.deadline_miss_rate for t in latencies) / len(latencies)
    return (
        f"p50 {short(p50)} ms, p99 {short(p99)} ms, p99.9 {short(p999)} ms, longest "
        f"{short(max(t.max for t in latencies))} ms; {number(100 * missed)} % of {sum(t.n for t in latencies):,} bins "
        "took longer than a bin"
    )


def show_audit(run: Run) -> None:
    """Every rule in plain words: broken ones at once, kept ones on demand."""
    table = audited(run.records)
    st.subheader("Audit", anchor=False)
    if table.empty:
        st.markdown("Nothing was audited: the run did not get so far.")
        return
    broken, kept = table[~table["ok"]], table[table["ok"]]
    if len(broken):
        st.markdown("\n".join(f"- ✗ **broken:** {_rule(row)}" for _, row in broken.iterrows()))
    with st.expander(f"{len(kept)} of {len(table)} rules kept", expanded=broken.empty and len(kept) < 4):
        st.markdown("\n".join(f"- ✓ {_rule(row)}" for _, row in kept.iterrows()))


def _rule(row: pd.Series) -> str:
    why = f" ({plain(row['why'])})" if row["why"] else ""
    return f"{plain(row['meaning'] or 'A rule that this page does not know.')} `{_as_code(row['rule'])}`{why}"


def _as_code(rule: str) -> str:
    """A rule's name between backticks, which must not hold one."""
    return "".join(c for c in rule if c.isalnum() or c == "_")
