"""Changes: corrections and moves of data."""

import streamlit as st

from leaderboard_app.site import Site
from leaderboard_app.views.method import text


def show(site: Site) -> None:
    """The text."""
    st.title("Changes", anchor=False)
    st.markdown(text("changes"))
