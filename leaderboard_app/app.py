"""The leaderboard's site: `harness board` runs this file with Streamlit."""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import streamlit as st

from leaderboard_app.choices import choose
from leaderboard_app.links import register, show_ways
from leaderboard_app.reading import BadFile, shipped_records
from leaderboard_app.site import Site
from leaderboard_app.views import board, changes, compare, decoder, method, recording, submit, trade_offs
from leaderboard_app.wording import plain

HOW_TO_START = "harness eval --suite primate-reaching"
# Name in the address -> what draws it, its title, its icon. A string here would be shown on the page by Streamlit.
PAGES = {
    "board": (board.show, "Board", "leaderboard"),
    "trade-offs": (trade_offs.show, "Trade-offs", "balance"),
    "decoder": (decoder.show, "Decoder", "memory"),
    "recording": (recording.show, "Recording", "timeline"),
    "compare": (compare.show, "Compare", "compare_arrows"),
}
TEXTS = {
    "method": (method.show, "How it is measured", "straighten"),
    "submit": (submit.show, "Submit", "upload"),
    "changes": (changes.show, "Changes", "history"),
}


def store_folder(arguments: Sequence[str]) -> Path:
    """The `--store` of the command line."""
    parser = argparse.ArgumentParser(prog="leaderboard_app")
    parser.add_argument("--store", type=Path, default=Path("results"))
    return Path(parser.parse_args(arguments).store)


def show_site(root: Path) -> None:
    """Draw the page that the address names, for one store."""
    st.set_page_config(page_title="Neural decoder leaderboard", page_icon="📈", layout="wide")
    shown = {name: (partial(_with_records, show, root), *rest) for name, (show, *rest) in PAGES.items()}
    shown |= {name: (partial(show, Site(root)), *rest) for name, (show, *rest) in TEXTS.items()}
    pages = {
        name: st.Page(show, title=title, icon=f":material/{icon}:", url_path=name, default=name == "board")
        for name, (show, title, icon) in shown.items()
    }
    register(pages)
    chosen = st.navigation(list(pages.values()), position="hidden")
    show_ways({name: title for name, (_, title, _) in shown.items()})
    chosen.run()


def choose_store(root: Path) -> Site:
    """The visitor's own records, or those that come with the harness: never both in one table."""
    own, published = Site(root), Site(shipped_records(), is_published=True)
    if not published.listing.rows or published.root.resolve() == root.resolve():
        return own
    if not own.listing.rows:
        return Site(published.root, is_published=True, instead_of=root)
    titles = {"own": f"Records in {root.name}", "published": "Published with the harness"}
    with st.container(horizontal_alignment="right"), st.container(width=260):
        return {"own": own, "published": published}[choose("store", "Records", titles, "own")]


def _with_records(show: Callable[[Site], None], root: Path) -> None:
    """A page about records, or what to do where there are none."""
    site = choose_store(root)
    show_bad_files(site.listing.bad_files)
    if site.instead_of:
        show_bad_files(Site(site.instead_of).listing.bad_files)
        show_empty(site.instead_of, "What is below was published with the harness.")
    if site.listing.rows:
        show(site)
    elif not site.is_published:
        show_empty(site.root)


def show_empty(root: Path, more: str = "") -> None:
    """Say what to do when there is nothing to show."""
    with st.container(border=True):
        st.subheader("No results yet", anchor=False)
        st.markdown(f"There is no whole record in {plain(str(root))}. {more} Run an evaluation, then reload this page:")
        st.code(HOW_TO_START, language="bash")


def show_bad_files(bad_files: Sequence[BadFile]) -> None:
    """Name the files that were left out, and why."""
    if not bad_files:
        return
    one = len(bad_files) == 1
    st.warning(
        f"{len(bad_files)} {'file is' if one else 'files are'} no whole record and left out: "
        f"{plain(', '.join(b.file for b in bad_files[:3]))}{'' if len(bad_files) <= 3 else ' …'}",
        icon=":material/broken_image:",
    )
    with st.expander("What is wrong"):
        st.dataframe(pd.DataFrame(bad_files), hide_index=True, alt="Files left out and why")


if __name__ == "__main__":
    show_site(store_folder(sys.argv[1:]))
