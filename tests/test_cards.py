"""Cards of decoders: which there are, what they may hold, and that hostile ones do no harm."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt

from harness.data.cards import MOST_BYTES, Card, cards_in, read_card, shipped_cards
from harness.errors import UsageError
from leaderboard_app.decoder.cards import as_markdown, card_of
from tests.records_factory import make_decoder

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "datasets" / "cards" / "decoders"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SHIPPED = PROJECT["entry-points"]["harness.decoders"]
HOSTILE = "<img src=x onerror=alert(1)> [x](javascript:alert(1)) ![p](http://h.invalid/p) :red[a] `b` $c$"


def content(**changes) -> dict:
    """A card as YAML has it."""
    paper = {"authors": "Nobody", "title": "A title", "year": 2020, "link": "https://doi.org/10.1/x"}
    card = {"title": "Made up", "decoders": {"made-up": "It is made up."}, "papers": [paper], "implementation": "Me"}
    return card | {"licence": "MIT", "differs": "In all.", "training": "None.", "tags": ["spikes"]} | changes


def written(folder: Path, card: object, name: str = "card.yaml") -> Path:
    path = folder / name
    path.write_text(card if isinstance(card, str) else yaml.safe_dump(card))
    return path


def with_link(link: str) -> dict:
    return content(papers=[content()["papers"][0] | {"link": link}])


def test_every_shipped_decoder_has_a_card_and_every_card_names_shipped_ones():
    assert set(shipped_cards()) == set(SHIPPED)


def test_the_licence_of_the_cards_is_that_of_the_project():
    assert {card.licence for card in shipped_cards().values()} == {PROJECT["license"]}


def test_links_of_shipped_cards_lead_to_a_doi_over_https():
    links = [paper.link for card in shipped_cards().values() for paper in card.papers]
    assert links and all(link.startswith("https://doi.org/10.") for link in links)


def test_a_paper_has_one_spelling_over_all_cards():
    papers = {paper for card in shipped_cards().values() for paper in card.papers}
    assert len({p.link for p in papers}) == len({p.title for p in papers}) == len({(p.title, p.year) for p in papers})


def test_decisions_that_cards_cite_exist():
    decisions = {path.name[:4] for path in (ROOT / "docs" / "decisions").glob("*.md")}
    text = " ".join(f"{card.differs} {card.training}" for card in shipped_cards().values())
    cited = {word.strip(".,;()") for word in text.replace("Decision ", "decision ").split("decision ")[1:]}
    assert {words[:4] for words in cited} <= decisions and cited


def test_dois_of_cards_stand_in_the_code_or_the_documentation():
    files = [*(ROOT / "baselines").rglob("*.py"), ROOT / "docs" / "decoders.md"]
    text = " ".join(path.read_text() for path in files)
    links = {paper.link for card in shipped_cards().values() for paper in card.papers}
    known = {link for link in links if link.split("doi.org/")[1].removeprefix("10.48550/arXiv.") in text}
    assert known == links


def test_a_card_survives_being_written_and_read(tmp_path):
    card = read_card(written(tmp_path, content()))
    assert card.decoders == {"made-up": "It is made up."} and card.papers[0].year == 2020


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"tags": []}, "tags"),
        ({"decoders": {}}, "decoders"),
        ({"colour": "red"}, "colour"),
        ({"title": "two\nlines"}, "title"),
        ({"differs": "x" * 2001}, "differs"),
        ({"papers": "no paper"}, "papers"),
        ({"licence": {"name": "MIT"}}, "licence"),
    ],
)
def test_what_is_no_card_is_refused_with_its_key(tmp_path, changes, named):
    with pytest.raises(UsageError, match=named):
        read_card(written(tmp_path, content(**changes)))


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "data:text/html,x", "//h.invalid", "ftp://h/x", "https://a b", ""]
)
def test_a_link_that_is_not_of_the_web_is_refused(tmp_path, link):
    with pytest.raises(UsageError, match="link"):
        read_card(written(tmp_path, with_link(link)))


def test_a_link_cannot_end_early_in_markdown():
    card = Card.model_validate(with_link("https://h.invalid/a)![p](http://h.invalid/p)<b>"))
    assert not set("()<>[]!\"'` \\") & set(card.papers[0].link)


def test_a_large_card_is_refused(tmp_path):
    with pytest.raises(UsageError, match="bytes"):
        read_card(written(tmp_path, content(training="x" * MOST_BYTES)))


@pytest.mark.parametrize(
    "text, named",
    [
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "refers to itself"),
        ("[" * 3000, "nested"),
        ("title: [", "YAML"),
        ("title: !!python/object/apply:os.system [ls]\n", "card.yaml"),
        ("\0", "YAML"),
    ],
)
def test_yaml_that_would_do_harm_is_refused(tmp_path, text, named):
    with pytest.raises(UsageError, match=named):
        read_card(written(tmp_path, text))


def test_two_cards_of_one_decoder_are_refused(tmp_path):
    written(tmp_path, content(), "a.yaml")
    written(tmp_path, content(), "b.yaml")
    with pytest.raises(UsageError, match="made-up"):
        cards_in(tmp_path)


def test_hostile_text_of_a_card_is_shown_as_text():
    paper = content()["papers"][0] | {"authors": HOSTILE[:100], "title": HOSTILE}
    card = Card.model_validate(content(decoders={"made-up": HOSTILE}, papers=[paper], differs=HOSTILE, tags=[HOSTILE]))
    text = as_markdown(card, "made-up")
    html = MarkdownIt("commonmark").render(text)
    assert set(re.findall(r"<(\w+)", html)) == {"p", "strong", "a"}
    assert re.findall(r'href="([^"]*)"', html) == ["https://doi.org/10.1/x"]
    assert not re.search(r"(?<!\\)(:red|\$|`)", text)


def test_a_card_says_no_paper_where_there_is_none():
    text = as_markdown(shipped_cards()["train-mean"], "train-mean")
    assert "no paper" in text and "How it differs" not in text


def test_only_the_harness_own_decoders_get_its_cards():
    assert card_of(make_decoder("wiener", entry_point=SHIPPED["wiener"])) == shipped_cards()["wiener"]
    assert card_of(make_decoder("wiener", entry_point="other.wiener:Wiener")) is None
    assert card_of(make_decoder("unknown", entry_point="baselines.unknown:Unknown")) is None
