"""The card of a decoder as Markdown; all of its text is foreign, so none of it can be a link, a picture or HTML."""

import functools
from pathlib import Path

from harness.data.cards import Card, Paper, read_card, shipped_cards
from harness.errors import HarnessError
from harness.results import names
from harness.results.records import DecoderIdentity
from harness.results.store import folder_name
from leaderboard_app.wording import plain

SHIPPED_CODE = "baselines."
"""Where the code of the decoders that come with the harness is; another package's may have one of their names."""


@functools.cache
def _shipped() -> dict[str, Card]:
    return shipped_cards()


def card_of(decoder: DecoderIdentity, root: Path | None = None, suite: str = "") -> Card | None:
    """The card that came with the harness, if this decoder did, or that was submitted with its record.

    Args:
        decoder: Of a record.
        root: A published folder.
        suite: Of the record.
    """
    if decoder.entry_point.startswith(SHIPPED_CODE):
        return _shipped().get(decoder.name)
    if root is None or not (names.DECODER.fullmatch(decoder.name) and names.VERSION.fullmatch(decoder.version)):
        return None
    path = root / folder_name(suite) / decoder.name / decoder.version / "card.yaml"
    if not names.SUITE.fullmatch(suite) or not path.is_file():
        return None
    try:
        card = read_card(path)
    except (HarnessError, OSError):
        return None
    return card if decoder.name in card.decoders else None


def as_markdown(card: Card, name: str) -> str:
    """What a card says of one of its decoders."""
    lines = [
        plain(f"{card.decoders[name]} {card.family}"),
        f"**{'Papers' if len(card.papers) > 1 else 'Paper'}:** {'; '.join(map(_cited, card.papers)) or 'no paper'}",
        f"**How it differs from the paper:** {plain(card.differs)}" if card.papers else "",
        f"**Learns from:** {plain(card.training)}",
        f"**And, outside any suite, from:** {plain(', '.join(card.learned_from))}" if card.learned_from else "",
        f"**Code:** {plain(card.implementation)}, licence {plain(card.licence)}",
        f"**Kind:** {plain(', '.join(card.tags))}",
    ]
    return "\n\n".join(filter(None, lines))


def _cited(paper: Paper) -> str:
    """The address has no character that could end the link: `harness.data.cards.Link`."""
    return f"{plain(paper.authors)} ({paper.year}), [{plain(paper.title)}]({paper.link})"
