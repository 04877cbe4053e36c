"""Links from page to page, with the state that the other page should open in."""

import streamlit as st

PAGES = "pages by name"


def register(pages: "dict[str, st.Page]") -> None:
    """Say which pages there are; done in every run, before one is drawn."""
    st.session_state[PAGES] = pages


def page_link(page: str, label: str, **query: str) -> None:
    """A link to another page.

    Args:
        page: Its name, as in the address.
        label: What the link says, as Markdown.
        **query: State that it should open in: board, track, decoder, recording, other.
    """
    if found := st.session_state.get(PAGES, {}).get(page):
        st.page_link(found, label=label, query_params=query)
