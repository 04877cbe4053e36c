"""Choices that live in a page's address, so that a link opens what its sender saw."""

from collections.abc import Mapping

import streamlit as st

from leaderboard_app.wording import plain


def choose(name: str, label: str, titles: Mapping[str, str], otherwise: str) -> str:
    """What the address says under `name`; picking another changes the address.

    Args:
        name: In the address.
        label: Over the box.
        titles: What can be chosen -> how it is written.
        otherwise: Chosen where the address says nothing and this visitor has not chosen before.
    """
    wanted = st.query_params.get(name)
    if wanted is None:
        kept = st.session_state.get(_memory(name))
        wanted = kept if kept in titles else otherwise
    elif wanted not in titles:
        st.info(
            f"The link asks for {plain(wanted)}, which is not here; this is {plain(otherwise)}.",
            icon=":material/link_off:",
        )
        wanted = otherwise
    st.query_params[name] = st.session_state[name] = st.session_state[_memory(name)] = wanted
    st.selectbox(
        label, list(titles), format_func=lambda key: titles.get(key, key), key=name, on_change=_remember, args=(name,)
    )
    return wanted


def _remember(name: str) -> None:
    """Write into the address what was picked."""
    st.query_params[name] = st.session_state[name]


def _memory(name: str) -> str:
    """Where a choice is kept while other pages, which may not show its box, are looked at."""
    return f"last {name}"
