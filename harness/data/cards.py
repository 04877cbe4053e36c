"""Cards of decoders: what they are, after which paper, by whom, under which licence; strict YAML, data only.

A card may come from anybody: it is small, flat, and its links lead to http or https. Who shows it escapes its text.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, urlsplit

import yaml
from pydantic import AfterValidator, Field, StringConstraints, field_validator

from harness.data.suites import SUFFIX, Model, read_model, shipped
from harness.errors import UsageError

MOST_BYTES = 16_384
MOST_NESTED = 4

Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=2000)]


def _web_address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or not text.isprintable() or " " in text:
        raise ValueError("a link begins with https:// or http:// and has no spaces; of a doi: https://doi.org/10....")
    return quote(text, safe="/:?#@&=+,;%~-._")


Link = Annotated[str, StringConstraints(max_length=300), AfterValidator(_web_address)]
"""An address without any character that could end a link in Markdown."""


class Paper(Model):
    """What a decoder is after."""

    authors: Name
    title: Annotated[str, StringConstraints(min_length=1, max_length=300)]
    year: Annotated[int, Field(ge=1800, le=2200)]
    link: Link


class Card(Model):
    """A decoder, or a family of them.

    decoders: Name -> what this one is, in one or two sentences.
    family: What all of them are; empty for a single one.
    papers: None where there is no paper.
    implementation: Who wrote the code.
    licence: Of the code.
    differs: How the code differs from the paper.
    training: What is learned from, in words.
    learned_from: Data that it learned from beside what a suite gives it, such as a public checkpoint's: `dandi:000128`,
        `physionet:eegmmidb`, `zenodo:583331`, a recording's name or the hash of its file.
    tags: Signal and kind.
    """

    title: Name
    decoders: Annotated[dict[Name, Text], Field(min_length=1, max_length=32)]
    family: Annotated[str, StringConstraints(max_length=2000)] = ""
    papers: Annotated[tuple[Paper, ...], Field(max_length=8)]
    implementation: Name
    licence: Name
    differs: Text
    training: Text
    learned_from: Annotated[tuple[Name, ...], Field(max_length=256)] = ()
    tags: Annotated[tuple[Name, ...], Field(min_length=1, max_length=12)]

    @field_validator("title", "implementation", "licence")
    @classmethod
    def _is_one_line(cls, text: str) -> str:
        if not text.isprintable():
            raise ValueError("has a line break or an invisible character; write it on one line")
        return text


def read_card(path: Path) -> Card:
    """Read one card.

    Raises:
        UsageError: If the file is too large, nested, no YAML or no card; the message says where.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise UsageError(f"{path} has {size:,} bytes; a card has at most {MOST_BYTES:,}: shorten it")
    _refuse_nested(path)
    return read_model(path, Card)


def shipped_cards() -> dict[str, Card]:
    """The cards that come with the harness: name of a decoder -> its card."""
    return cards_in(shipped("cards") / "decoders")


def cards_in(folder: Path) -> dict[str, Card]:
    """All cards of a folder: name of a decoder -> its card.

    Raises:
        UsageError: If a file is no card, or two cards are of one decoder.
    """
    found: dict[str, Card] = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        card = read_card(path)
        _refuse_second(path, card, found)
        found |= dict.fromkeys(card.decoders, card)
    return found


def _refuse_second(path: Path, card: Card, found: Mapping[str, Card]) -> None:
    if twice := sorted(found.keys() & card.decoders.keys()):
        raise UsageError(f"{path}: another card is of {twice[0]!r} too; a decoder has one card, remove one of them")


def _refuse_nested(path: Path) -> None:
    """A few bytes of references to references, or of brackets, would take all memory when they are read."""
    depth = 0
    try:
        for event in yaml.parse(path.read_bytes(), Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise UsageError(f"{path} refers to itself by *{event.anchor}; write it out")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MOST_NESTED:
                raise UsageError(f"{path} is nested more than {MOST_NESTED} deep; a card is flat")
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is no valid YAML: {error}") from None
