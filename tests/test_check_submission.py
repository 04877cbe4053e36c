"""The check of a pull request: what it lets pass, what it names, and that foreign text cannot speak in its comment."""

import json
import random
from dataclasses import replace

import pytest
import yaml

import tools.check_submission as checking
from harness.results.cells import arrays_to_npz, npz_to_arrays
from harness.results.published import Published, chain_lines
from harness.results.records import sealed, sha256
from tests.submitted import Evaluated, evaluated


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Evaluated:
    return evaluated(tmp_path_factory.mktemp("made"))


@pytest.fixture
def folder(made, tmp_path, monkeypatch) -> Published:
    """Nothing is in it yet; the tiny suite is found by its file."""
    monkeypatch.setattr(checking, "ready", lambda record, store, locate: replace_record(made, record, store).ready())
    return Published(tmp_path / "results")


def replace_record(made, record, store):
    return replace(made, record=record, store=store)


def add(folder, made, *, change=None, source=None, **changes):
    """Publish the evaluated record, with other answers or other claims."""
    arrays = npz_to_arrays(made.store.predictions(made.record))
    if change:
        change(arrays)
    content = arrays_to_npz(arrays)
    record = sealed(made.record.model_copy(update={"predictions_sha256": sha256(content), **changes}))
    files = {
        folder.record_path(record): record.model_dump_json(by_alias=True).encode(),
        folder.predictions(record): content,
        folder.artifact(record): made.store.artifact(made.record).read_bytes(),
        folder.outside(record): json.dumps({"source": source or {}, "outside": {}}).encode(),
    }
    folder.add("record", record.id, files)
    return record


def review(folder, made, before=()):
    return checking.review(folder, list(before), made.files, rng=random.Random(1))


def test_an_honest_submission_is_scored_and_run_again(folder, made):
    add(folder, made)
    ok, text = review(folder, made)
    assert ok and "may be merged" in text
    assert "scored again: **same**" in text and "picked at random, was run again: **same**" in text


def test_nothing_new_is_nothing_wrong(folder, made):
    add(folder, made)
    ok, text = review(folder, made, chain_lines(folder.root))
    assert ok and "No new record" in text


def test_a_claimed_score_that_the_answers_do_not_have_is_found(folder, made):
    sessions = [s.model_copy(update={"scores": {**s.scores, "r2": 0.99}}) for s in made.record.sessions]
    add(folder, made, sessions=sessions)
    ok, text = review(folder, made)
    assert not ok and "scored again: **differs**" in text and "tiny-0" in text


def test_answers_that_the_decoder_does_not_give_are_found(folder, made):
    def copy_of_the_truth(arrays):
        for name in ("tiny-0", "tiny-1"):
            arrays[f"{name}/outputs"] = arrays[f"{name}/outputs"] * 0 + 7

    claimed = []
    store = add(folder, made, change=copy_of_the_truth)
    again = replace_record(made, store, folder).ready()
    for s, told in zip(made.record.sessions, checking.rescore_record(again).sessions, strict=True):
        ends = {"r2": (told.scores["r2"] - 1e-3, told.scores["r2"] + 1e-3)}
        claimed.append(s.model_copy(update={"scores": told.scores, "interval": ends}))
    other = Published(folder.root.parent / "other")
    add(other, made, change=copy_of_the_truth, sessions=claimed)
    ok, text = review(other, made)
    assert not ok and "scored again: **same**" in text and "was run again: **differs**" in text


def test_a_folder_that_was_rewritten_is_refused_before_anything_runs(folder, made, monkeypatch):
    add(folder, made)
    before = chain_lines(folder.root)
    monkeypatch.setattr(checking, "rescore_record", None)
    (folder.root / "chain.jsonl").write_bytes(b"")
    ok, text = review(folder, made, before)
    assert not ok and "only added to" in text


def test_foreign_text_is_quoted_in_the_comment(folder, made):
    bad = "`x` @everybody [l](http://h.invalid)\n# head\u202e"
    assert checking._quoted(bad) == "`x @everybody [l](http://h.invalid)\\n# head\\u202e`"


@pytest.mark.parametrize(
    "source, line",
    [
        ({"repository": "https://example.org/a.git", "commit": "ab12"}, ["git+https://example.org/a.git@ab12"]),
        ({"distribution": "mine"}, ["mine==0.1.0"]),
        ({"repository": "file:///etc", "commit": "ab12"}, []),
        ({"repository": "https://h.invalid/a --index-url http://evil", "commit": "ab12"}, []),
        ({"repository": "https://h.invalid/a", "commit": "ab; rm -rf"}, []),
    ],
)
def test_sources_are_addresses_and_nothing_else(folder, made, source, line):
    add(folder, made, source=source)
    assert checking.sources(folder, []) == line


def test_the_workflows_are_valid_and_call_the_script(root):
    folder = root / ".github" / "workflows"
    check, comment = (
        yaml.safe_load((folder / f"{name}.yml").read_text()) for name in ("submission", "submission-comment")
    )
    assert check["permissions"] == {"contents": "read"}
    runs = [step.get("run", "") for step in check["jobs"]["check"]["steps"]]
    assert sum("tools/check_submission.py" in run for run in runs) == 2
    assert comment[True]["workflow_run"]["workflows"] == [check["name"]]
    assert "checkout" not in json.dumps(comment)
