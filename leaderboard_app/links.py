"""Links from page to page, with the state that the other page should open in."""

from collections.abc import Mapping

import streamlit as st

PAGES, BOARD = "pages by name", "board that is looked at"


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
        st.page_link(found, label=label, query_params=kept("store", "track") | query)


def show_ways(titles: Mapping[str, str]) -> None:
    """Links to all pages, which open on the board that is looked at.

    Args:
        titles: Name of a page -> what its link says.
    """
    board = {"board": st.session_state[BOARD]} if BOARD in st.session_state else {}
    with st.container(horizontal=True, gap="small", key="ways"):
        for page, title in titles.items():
            page_link(page, title, **(board | kept("board")))


def looked_at(board: str) -> None:
    """Remember, for links to other pages, which board is shown where the address names none."""
    st.session_state[BOARD] = board


def kept(*names: str) -> dict[str, str]:
    """What the address says under these names."""
    return {name: st.query_params[name] for name in names if name in st.query_params}
