"""The three pages of text: what they say is what the code does, and what they tell people to run works."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from harness.data.shipped import known_suites, shipped
from harness.judge.budget import BUDGETS, Track, shipped_tracks
from harness.judge.conformance import run_checks
from harness.registry import find
from harness.score.stats import PROTOCOL
from leaderboard_app.views import method
from leaderboard_app.views.method import text, tracks_table
from tests.pages import run_page
from tests.test_docs import FENCE, problem_with, shell_lines

ROOT = Path(__file__).parent.parent
PAGES = ("method", "submit", "changes")


def rows(page):
    """The cells of all table rows of a page, by line."""
    lines = [line for line in FENCE.sub("", text(page)).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def code(page, *languages):
    return [block for language, block in FENCE.findall(text(page)) if language in languages]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_drawn_without_any_record(name, tmp_path):
    page = run_page(name, tmp_path / "nothing")
    assert len(page.title) == 1
    assert " ".join(m.value for m in page.markdown).split() == text(name).replace(method.HERE, "").split()


def test_the_tracks_of_the_page_have_the_limits_of_their_files(tmp_path):
    table = run_page("method", tmp_path).dataframe[0].value.set_index("Track")
    for path in shipped("tracks").glob("*.yaml"):
        track = yaml.safe_load(path.read_text())
        limits = {name: track[name] for name in BUDGETS if name in track}
        shown = table.loc[f"{track['name']}@{track['version']}"]
        assert (shown["Audit"] != "") is track.get("causal", False)
        assert sum(cell != "" for cell in shown.drop(["Audit", "What it is"])) == len(limits)
    assert table.loc["implant@1", "Artefact, bytes"] == "≤ 131,072"
    assert table.loc["realtime@1", "Missed deadlines"] == "≤ 0.1 %"
    assert table.loc["causal@1", "Answers about earlier bins"] == "none"


def test_every_budget_that_a_track_may_have_can_be_shown():
    row = tracks_table([Track(name="all", version=1, description="", **dict.fromkeys(BUDGETS, 7))]).iloc[0]
    assert len(row) == 3 + len(BUDGETS) and all(cell.startswith("≤ 7") or cell == "≤ 700 %" for cell in row[2:-1])


def test_every_cheat_that_is_named_is_tried_by_a_test():
    named = [name for cells in rows("method") for name in re.findall(r"`([A-Z]\w+)`", cells[1])]
    tried, written = (ROOT / "tests/test_cheats.py").read_text(), (ROOT / "tests/hostile/cheats.py").read_text()
    assert len(named) > 20
    assert [n for n in named if f"class {n}(" not in written or f'"{n}"' not in tried] == []


def test_every_rule_that_is_named_is_one_of_the_audit_and_catches_the_cheat_by_the_protocol():
    protocol = [line for line in (ROOT / "docs/protocol.md").read_text().splitlines() if line.startswith("| `")]
    caught = [cells for cells in rows("method") if re.search("`[a-z_]+_[a-z_]+`", cells[1])]
    assert len(caught) > 8
    for cells in caught:
        rules = re.findall(r"`([a-z_]+_[a-z_]+)`", cells[1])
        stated = "".join(line for line in protocol if line.startswith(tuple(f"| `{rule}`" for rule in rules)))
        assert all(f"| `{rule}`" in stated for rule in rules)
        assert any(name in stated for name in re.findall(r"`([A-Z]\w+)`", cells[1])), cells


def test_the_numbers_of_the_bootstrap_are_those_of_the_protocol():
    assert f"{PROTOCOL.n_draws} bootstrap draws" in text("method")
    assert f"blocks of {PROTOCOL.block_s:g} s are drawn" in " ".join(text("method").split())


@pytest.mark.parametrize("name", PAGES)
def test_tables_are_even_formulas_are_closed_and_documents_exist(name):
    assert {len(cells) for cells in rows(name)} <= {2}
    assert FENCE.sub("", text(name)).count("$") % 2 == 0
    named = re.findall(r"`((?:docs|tests)/[\w./-]+)`", text(name))
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("line", [line for block in code("submit", "bash") for line in shell_lines(block)])
def test_a_command_of_the_page_exists(line):
    assert line == "pip install -e my-decoder" or (line.startswith("harness ") and problem_with(line) == "")


def test_the_decoder_of_the_page_keeps_the_contract(tmp_path):
    (tmp_path / "mine.py").write_text("\n".join(code("submit", "python")))
    results = run_checks(find(f"{tmp_path / 'mine.py'}:LastCount"), {})
    assert len(results) > 15 and [r.name for r in results if r.status == "failed"] == []


@pytest.mark.parametrize("example", ["example-ridge", "example-torch"])
def test_the_entry_point_of_an_example_is_in_the_group_of_the_harness(example):
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    theirs = tomllib.loads((ROOT / "submissions" / example / "pyproject.toml").read_text())["project"]["entry-points"]
    assert set(theirs) == set(ours) == {"harness.decoders"} and set(theirs["harness.decoders"]) == {example}


def test_a_new_version_of_a_suite_or_track_has_to_be_in_the_changes():
    versions = {track.label for track in shipped_tracks()}
    versions |= {f"{p.stem}@{yaml_version(p)}" for p in known_suites().values()}
    later = sorted(label for label in versions if not label.endswith("@1"))
    assert ("All suites and tracks are at version 1" in text("changes")) is not bool(later)
    assert all(label in text("changes") for label in later)


def yaml_version(path: Path) -> str:
    """The version in a suite's head: reading nine hundred sessions for it would take seconds."""
    found = re.search(r"^version: (\d+)", path.read_text(), re.MULTILINE)
    assert found
    return found[1]
