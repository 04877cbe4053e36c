"""The static copy: what it holds, that it runs nothing, and which folders it may take."""

import csv
import hashlib
import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.errors import UsageError
from harness.results.records import Profile
from harness.results.store import Store
from leaderboard_app.static import main, write_copy
from leaderboard_app.static_pages import file_name, files_of
from tests.records_factory import (
    make_decoder,
    make_failure,
    make_field,
    make_judged_field,
    make_record,
    write_store,
)

HOSTILE = "\"><script>alert(1)</script><img src=http://h.invalid/x onerror=alert(1)> ]]> & ' url(#clip0)"
VOID = {"meta", "link", "br", "img", "source"}
LOADING = {("a", "href"), ("img", "src"), ("source", "srcset"), ("link", "href")}


class Page(HTMLParser):
    """Elements, links and text of a page; `closed` is false where tags do not pair."""

    def __init__(self, content: bytes):
        super().__init__()
        self.tags, self.attributes, self.texts, self.stack, self.closed = [], [], [], [], True
        self.feed(content.decode())
        self.closed &= not self.stack

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        self.closed &= bool(self.stack) and self.stack.pop() == tag

    def handle_data(self, text):
        self.texts.append(text)

    @property
    def links(self):
        return [value for tag, name, value in self.attributes if (tag, name) in LOADING and value != "data:,"]


def pages_of(files):
    return {path: Page(content) for path, content in files.items() if path.endswith(".html")}


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """A copy of a store with a simulated and a real board, a failure and a name that is an attack."""
    attack = make_record(HOSTILE, 0.5, suite=f"../{HOSTILE}@1", tier="mini", simulated=False)
    foreign = make_failure("example-attack", HOSTILE)
    root = write_store(tmp_path_factory.mktemp("store"), [*make_judged_field(), attack, foreign])
    return root, files_of(root)


def test_all_boards_are_on_the_first_page_real_ones_first(field):
    text = " ".join(pages_of(field[1])["index.html"].texts)
    assert text.index("Real recordings") < text.index("Simulated recordings") < text.index("made-up-reaching@1")


def test_every_link_leads_to_a_file_of_the_copy_or_a_place_on_its_page(field):
    for path, page in pages_of(field[1]).items():
        ids = {f"#{value}" for _, name, value in page.attributes if name == "id"}
        folder = path.rpartition("/")[0]
        for link in page.links:
            target = f"{folder}/{link}".lstrip("/") if not link.startswith("../") else link.removeprefix("../")
            assert link in ids or target in field[1], f"{path}: {link}"


def test_foreign_text_is_text_and_nothing_is_run_or_asked_for(field):
    for path, page in pages_of(field[1]).items():
        assert page.closed, path
        assert {"script", "iframe", "object", "form", "base"}.isdisjoint(page.tags)
        assert not [name for _, name, _ in page.attributes if name.startswith("on")]
        assert not [link for link in page.links if ":" in link or link.startswith("/")]
    shown = [text for page in pages_of(field[1]).values() for text in page.texts]
    assert HOSTILE in shown


def test_a_plot_is_whole_xml_without_script_or_reference_to_elsewhere(field):
    plots = {path: content for path, content in field[1].items() if path.endswith(".svg")}
    assert plots
    for content in plots.values():
        elements = list(ElementTree.fromstring(content).iter())
        assert {e.tag.rpartition("}")[2] for e in elements} <= {
            "svg",
            "g",
            "path",
            "line",
            "text",
            "rect",
            "defs",
            "clipPath",
        }
        assert not [name for e in elements for name in e.attrib if name.startswith("on") or name.endswith("href")]


def test_file_names_of_foreign_suites_are_plain_and_inside_the_copy(field):
    assert all(re.fullmatch(r"([a-z0-9-]+/)?[a-z0-9-]+\.(html|svg|csv|json)", path) for path in field[1])


@pytest.mark.parametrize("one, other", [("a/b", "a-b"), ("A", "a"), ("..", "."), ("é", "è"), ("x" * 99, "x" * 98)])
def test_different_names_are_different_files(one, other):
    names = {file_name(one), file_name(other)}
    assert len(names) == 2 and all(re.fullmatch(r"[a-z0-9-]+", name) for name in names)


def test_the_table_of_a_track_has_the_ranked_and_the_others_with_their_reason(field):
    path = next(p for p in field[1] if p.startswith("made-up") and p.endswith("index.html"))
    section = field[1][path].decode().split('id="track-implant"')[1].split("</section>")[0]
    ranked, not_ranked = section.split("Not ranked</h3>")
    assert "example-linear" in ranked and "reference: linear oracle" in ranked and "floor: shifted labels" in ranked
    assert "artifact_bytes is 1.96e+07; 131072 is allowed" in not_ranked and "example-teacher" not in ranked
    assert len(re.findall(r'<tr class="(?:ranked|unranked)">', section)) == 8


def test_the_files_of_a_track_are_unrounded_and_name_the_records_behind_them(field):
    root, files = field
    stem = next(p for p in files if p.startswith("made-up") and p.endswith("track-causal.json")).removesuffix(".json")
    held = json.loads(files[f"{stem}.json"])
    scores = {row["decoder"]: row["score"] for row in held["rows"]}
    assert scores["example-linear"] == pytest.approx(0.61, abs=1e-12) and held["track"] == "causal@1"
    assert {r["id"] for r in held["records"]} == {r.id for r in Store(root).records() if r.simulated}
    rows = list(csv.DictReader(io.StringIO(files[f"{stem}.csv"].decode())))
    assert [row["decoder"] for row in rows] == [row["decoder"] for row in held["rows"]]


def test_records_are_listed_with_the_hash_of_their_files(field):
    root, files = field
    listed = json.loads(files["records.json"])
    assert len(listed) == 9
    for one in listed:
        content = (root / one["path"]).read_bytes()
        assert one["sha256"] == hashlib.sha256(content).hexdigest() and json.loads(content)["id"] == one["id"]


def test_the_same_store_gives_the_same_bytes(field):
    assert files_of(field[0]) == field[1]


def test_table_headers_say_what_they_head_and_plots_say_what_they_show(field):
    for page in pages_of(field[1]).values():
        scopes = [value for tag, name, value in page.attributes if (tag, name) == ("th", "scope")]
        assert len(scopes) == page.tags.count("th") and set(scopes) <= {"col", "row"}
        assert page.tags.count("img") == len([v for tag, n, v in page.attributes if (tag, n) == ("img", "alt") and v])


def test_an_empty_store_says_so_and_how_to_fill_it(tmp_path):
    text = " ".join(pages_of(files_of(tmp_path))["index.html"].texts)
    assert "There is no record in this store" in text and "harness eval --suite" in text


def test_a_corrupt_record_is_named_and_the_others_are_there(tmp_path):
    bad = make_record("bad")
    path = Store(write_store(tmp_path, [bad, make_record("good")])).record_path(bad)
    path.write_text("{")
    files = files_of(tmp_path)
    assert path.relative_to(tmp_path).as_posix() in files["index.html"].decode()
    assert [r["id"] for r in json.loads(files["records.json"])] != [bad.id]
    assert "good" in next(content for p, content in files.items() if p.endswith("track-causal.csv")).decode()


@pytest.mark.parametrize(
    "records, n_plots",
    [
        ([make_failure()], 0),
        ([make_record(tracks={}, latency_ms=None)], 0),
        ([make_record(profile=Profile(name="cpu-1@1", calibration={}, noisy=True))], 2),
        ([make_record(decoder=make_decoder("example-filter", version=v)) for v in ("1", "2")], 2),
        (make_field(), 2),
    ],
)
def test_partial_and_many_records_make_a_page(tmp_path, records, n_plots):
    files = files_of(write_store(tmp_path, records))
    assert sum(path.endswith(".svg") for path in files) == n_plots
    assert all(page.closed for page in pages_of(files).values())


def test_a_copy_takes_the_place_of_the_one_before(tmp_path):
    root, folder = write_store(tmp_path / "store", [make_record("first")]), tmp_path / "copy"
    write_copy(root, folder)
    Store(root).record_path(make_record("first")).unlink()
    write_copy(write_store(root, [make_record("second", tier="mini")]), folder)
    there = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert there == files_of(root) and sorted(p.name for p in tmp_path.iterdir()) == ["copy", "store"]


def test_the_list_of_files_has_the_hash_of_all_others(field):
    sums = json.loads(field[1]["files.json"])["sha256"]
    assert sums == {p: hashlib.sha256(c).hexdigest() for p, c in field[1].items() if p != "files.json"}


def test_a_folder_with_foreign_files_is_refused_and_left_alone(tmp_path):
    root, folder = write_store(tmp_path / "store", [make_record()]), tmp_path / "copy"
    write_copy(root, folder)
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match=r"thesis\.tex.*would be lost"):
        write_copy(root, folder)
    assert (folder / "thesis.tex").read_text() == "years of work"


def test_a_failed_run_leaves_the_old_copy_whole(tmp_path, monkeypatch):
    root, folder = write_store(tmp_path / "store", [make_record()]), tmp_path / "copy"
    write_copy(root, folder)
    before = (folder / "index.html").read_bytes()
    written = Path.write_bytes
    full = lambda path, content: written(path, content) if path.suffix != ".csv" else 1 / 0  # noqa: E731
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ZeroDivisionError):
        write_copy(root, folder)
    assert (folder / "index.html").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy", "store"]


@pytest.mark.parametrize("store, copy, says", [("gone", "copy", "no store"), ("store", "file", "is a file")])
def test_what_cannot_be_done_is_refused_with_a_way_out(tmp_path, store, copy, says):
    write_store(tmp_path / "store", [make_record()])
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=says):
        write_copy(tmp_path / store, tmp_path / copy)


def test_the_command_writes_the_copy(tmp_path, monkeypatch, capsys):
    root = write_store(tmp_path / "store", [make_record()])
    monkeypatch.setattr(sys, "argv", ["static", "--store", str(root), "--out", str(tmp_path / "copy")])
    main()
    assert capsys.readouterr().out.split()[-1] == str(tmp_path / "copy" / "index.html")
    assert (tmp_path / "copy" / "index.html").is_file()


def test_harness_board_hands_on_a_refusal(tmp_path):
    command = [sys.executable, "-m", "harness", "board", "--store", str(tmp_path / "gone"), "--static", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == UsageError.exit_code and done.stderr.startswith("harness: there is no store")
