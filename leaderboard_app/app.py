"""The leaderboard's site: `harness board` runs this file with Streamlit."""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import streamlit as st

from leaderboard_app.reading import BadFile
from leaderboard_app.site import Site
from leaderboard_app.views import board
from leaderboard_app.wording import plain

HOW_TO_START = "harness eval --suite primate-reaching"


def store_folder(arguments: Sequence[str]) -> Path:
    """The `--store` of the command line."""
    parser = argparse.ArgumentParser(prog="leaderboard_app")
    parser.add_argument("--store", type=Path, default=Path("results"))
    return Path(parser.parse_args(arguments).store)


def show_site(root: Path) -> None:
    """Draw the page that the address names, for one store."""
    st.set_page_config(page_title="Neural decoder leaderboard", page_icon="📈", layout="wide")
    site = Site(root)
    pages = [
        st.Page(_page(board.show, site), title="Board", icon=":material/leaderboard:", url_path="board", default=True),
    ]
    st.navigation(pages, position="top").run()


def _page(show: Callable[[Site], None], site: Site) -> Callable[[], None]:
    """A page that shows records, or says that there are none."""
    return partial(_with_records, show, site)


def _with_records(show: Callable[[Site], None], site: Site) -> None:
    show_bad_files(site.listing.bad_files)
    if site.listing.rows:
        show(site)
    else:
        show_empty(site.root)


def show_empty(root: Path) -> None:
    """Say what to do when there is nothing to show."""
    with st.container(border=True):
        st.subheader("No results yet", anchor=False)
        st.markdown(f"There is no record in {plain(str(root))}. Run an evaluation, then reload this page:")
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
