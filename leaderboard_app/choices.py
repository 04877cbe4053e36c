"""Choices that live in a page's address, so that a link opens what its sender saw."""

from collections.abc import Mapping, Sequence

import streamlit as st

from leaderboard_app.wording import plain


def choose(name: str, label: str, titles: Mapping[str, str], otherwise: str, *, forgets: Sequence[str] = ()) -> str:
    """What the address says under `name`; picking another changes the address.

    The address is written to by a visitor's choice alone: each writing is a step of the browser's history, and one that
    a page made by itself would be made again whenever somebody goes back to before it.

    Args:
        name: In the address.
        label: Over the box.
        titles: What can be chosen -> how it is written.
        otherwise: Chosen where the address says nothing.
        forgets: What else in the address belongs to the choice before, and leaves it with another one.
    """
    wanted = st.query_params.get(name, otherwise)
    if wanted not in titles:
        st.info(
            f"The link asks for {plain(wanted)}, which is not here; this is {plain(otherwise)}.",
            icon=":material/link_off:",
        )
        wanted = otherwise
    st.session_state[name] = wanted
    st.selectbox(
        label,
        list(titles),
        format_func=lambda key: titles.get(key, key),
        key=name,
        on_change=_remember,
        args=(name, forgets),
    )
    return wanted


def _remember(name: str, forgets: Sequence[str]) -> None:
    """Write into the address what was picked."""
    kept = {key: st.query_params.get_all(key) for key in st.query_params if key not in (name, *forgets)}
    st.query_params.from_dict({**kept, name: st.session_state[name]})
