"""Submit: the shortest path from a file to a row."""

import streamlit as st

from leaderboard_app.site import Site
from leaderboard_app.views.method import text


def show(site: Site) -> None:
    """The text."""
    st.title("Submit", anchor=False)
    st.markdown(text("submit"))
