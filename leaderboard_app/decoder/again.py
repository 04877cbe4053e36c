"""Sections of the decoder's page on running it again: the command, hashes, the records themselves, the environment."""

import streamlit as st

from leaderboard_app.decoder.reproduce import cautions, command, hashes
from leaderboard_app.runs import Run, newest
from leaderboard_app.site import Site
from leaderboard_app.wording import plain

MANY_SEEDS = 10


def show_reproduce(site: Site, run: Run) -> None:
    """The command to copy, what has to be known beside it, and what must come out."""
    st.subheader("Run it again", anchor=False)
    typed = command(run.records)
    if typed:
        st.code(typed, language="bash", wrap_lines=True)
        st.caption(
            " ".join(
                [
                    "All hyper-parameters are written out, for a record does not say which of them were given.",
                    *map(plain, cautions(run.records)),
                ]
            )
        )
    else:
        st.markdown("A name in this record has characters that cannot be typed, so there is no command to copy.")
    st.markdown("What pins these records: each one's id is the hash of its own content.")
    text = st.column_config.TextColumn
    config = {
        "seed": st.column_config.NumberColumn("Seed", format="%d", width=60),
        "record": text("Record id", width=240),
        "predictions": text("SHA-256 of the answers", width=240),
        "artefact": text("SHA-256 of what was learned", width=240),
        "source": text("SHA-256 of the source", width=240),
        "started_utc": text("Started, UTC", width=170),
    }
    st.dataframe(hashes(run.records), hide_index=True, column_config=config, alt="Hashes of these records")
    _show_downloads(site, run)


def _show_downloads(site: Site, run: Run) -> None:
    """The files of the records, byte for byte."""
    paths = {row["id"]: row["path"] for row in site.listing.rows}
    records = sorted((r for r in run.records if r.id in paths), key=lambda r: r.seed)[:MANY_SEEDS]
    with st.container(horizontal=True):
        for record in records:
            path = site.root / paths[record.id]
            st.download_button(
                f"Record of seed {record.seed}, JSON",
                path.read_bytes() if path.is_file() else record.model_dump_json(by_alias=True),
                f"{record.id}.json",
                "application/json",
                key=f"record {record.id}",
                icon=":material/download:",
                on_click="ignore",
            )


def show_environment(run: Run) -> None:
    """Where the newest seed ran: machine and versions, as the record has them."""
    latest = newest(run.records)
    others = sum(record.environment != latest.environment for record in run.records)
    with st.expander("Environment"):
        st.markdown(
            f"Profile {plain(latest.profile.name)}, isolation {plain(latest.isolation)}, {latest.seconds:,.0f} s in "
            f"all, seed {latest.seed}." + (f" {others} other seeds ran in another environment." if others else "")
        )
        st.json({"environment": latest.environment, "calibration": latest.profile.calibration}, expanded=False)
