"""What all pages share: the store that is shown, the choice of a board, and links from page to page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from harness.results.records import Record
from leaderboard_app.choices import choose
from leaderboard_app.links import looked_at
from leaderboard_app.reading import Listing, Row, listing, records
from leaderboard_app.runs import Board
from leaderboard_app.table import ranking
from leaderboard_app.tracks import EVERYBODY, first_choice, tracks_of
from leaderboard_app.trust import Mark, marks_of

LOOK_AGAIN_S = 10.0
"""A store that is being written to is listed anew after this time."""


@st.cache_resource(ttl=LOOK_AGAIN_S, show_spinner=False)
def _listing(root: Path) -> Listing:
    return listing(root)


@st.cache_resource(show_spinner="Reading records …", max_entries=8)
def _records(root: Path, _rows: Sequence[Row], state: int) -> tuple[Record, ...]:
    """`state` stands for the rows, which are long to hash."""
    return records(root, _rows)


@st.cache_resource(ttl=LOOK_AGAIN_S, show_spinner=False, max_entries=32)
def _marks(root: Path, _records: Sequence[Record], state: int) -> dict[str, Mark]:
    """`state` stands for the records; receipts come beside them without a change of theirs."""
    return marks_of(root, _records)


@st.cache_resource(show_spinner=False, max_entries=32)
def _ranking(_records: Sequence[Record], state: int, track: str, marks: dict[str, Mark]) -> pd.DataFrame:
    """`state` stands for the records."""
    return ranking(_records, track, marks)


def _state(rows: Sequence[Row]) -> int:
    return hash(tuple((row["path"], row["changed_ns"], row["size"]) for row in rows))


@dataclass(frozen=True)
class Site:
    """A store, as pages ask of it.

    is_published: Whether these records came with the harness.
    instead_of: The visitor's own store, which is empty, so that these are shown.
    """

    root: Path
    is_published: bool = False
    instead_of: Path | None = None

    @property
    def listing(self) -> Listing:
        return _listing(self.root)

    def read(self, rows: Sequence[Row]) -> tuple[Record, ...]:
        """The records of these rows, read again only when one of them changed."""
        return _records(self.root, rows, _state(rows))

    def on(self, board: Board) -> tuple[Record, ...]:
        """All records of one board."""
        return self.read(self.listing.boards[board.key][1])

    def ranking(self, board: Board, track: str) -> pd.DataFrame:
        """A board's table, as `table.ranking` makes it; it is shared, so do not write into it."""
        return _ranking(self.on(board), _state(self.listing.boards[board.key][1]), track, self.marks(board))

    def marks(self, board: Board) -> dict[str, Mark]:
        """Id of a record -> its mark, for those of a board that have one."""
        return _marks(self.root, self.on(board), _state(self.listing.boards[board.key][1]))

    def boards(self) -> dict[str, Board]:
        """Key -> board, in order."""
        return {key: board for key, (board, _) in self.listing.boards.items()}

    def choose_board(self, boards: dict[str, Board] | None = None, *, forgets: Sequence[str] = ()) -> Board:
        """The board that the address names or that is picked; else the newest record's.

        Args:
            boards: Those that may be chosen; all unless given.
            forgets: What else in the address is about the board before.
        """
        found = self.boards() if boards is None else boards
        titles = {key: board.title for key, board in found.items()}
        newest = max(found, key=self._newest)
        chosen = choose("board", "Suite, tier and profile", titles, newest, forgets=forgets)
        looked_at(chosen)
        return found[chosen]

    def _newest(self, key: str) -> tuple[str, str]:
        return max((row["started_utc"], row["id"]) for row in self.listing.boards[key][1])


def choose_track(found: Sequence[Record]) -> str:
    """The track whose rules decide who is ranked."""
    titles = {name: f"{name}@{version}" for name, version in tracks_of(found).items()} or {EVERYBODY: EVERYBODY}
    return choose("track", "Track", titles, first_choice(titles))
