"""Submitting a record: what is written, and everything that is refused, with all reasons at once."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import yaml

import harness.submit as submitting
from harness.errors import UsageError
from harness.registry import DecoderRef
from harness.results.integrity import all_problems
from harness.results.published import Published, chain_lines
from harness.results.reading import read_record
from harness.results.records import document_id, sealed, sha256
from harness.results.signing import new_key, sign, signer_of
from harness.results.store import Store, write_whole
from harness.source import source_sha256
from harness.submit import next_steps, prepared, write
from tests.submitted import Evaluated, evaluated
from tests.test_cards import content


def card(name: str) -> str:
    return yaml.safe_dump(content(decoders={name: "It is made up."}))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Evaluated:
    return evaluated(tmp_path_factory.mktemp("made"))


@pytest.fixture
def plugin(made, tmp_path, monkeypatch):
    """The evaluated record as if an installed package of somebody else had made it, on a suite that is shipped."""
    package = tmp_path / "site" / "plugin_of_mine"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "decoder.py").write_text("class Mine: ...\n")
    (package / "card.yaml").write_text(card("mine"))
    monkeypatch.syspath_prepend(tmp_path / "site")
    ref = DecoderRef("mine", "plugin_of_mine.decoder:Mine", "1.2.0")
    monkeypatch.setattr(submitting, "find", {"mine": ref}.__getitem__)
    monkeypatch.setattr(submitting, "known_suites", lambda: ["tiny"])
    suite = made.ready().suite
    monkeypatch.setattr(submitting, "suite_of", lambda record: suite)
    monkeypatch.setattr(submitting, "_urls", lambda name: ["https://example.org/mine"])
    said = {"name": "mine", "version": "1.2.0", "entry_point": ref.entry_point, "source_sha256": source_sha256(ref)}
    quiet = made.record.profile.model_copy(update={"noisy": False, "noisy_why": ""})
    decoder = made.record.decoder.model_copy(update=said)
    return changed(made, tmp_path / "store", decoder=decoder, profile=quiet), package


def changed(made: Evaluated, root, **changes) -> Evaluated:
    """The same with another record in a store of its own, files included."""
    record = sealed(made.record.model_copy(update=changes))
    store = Store(root)
    store.save(record)
    for kind in ("predictions", "artifact"):
        there = getattr(made.store, kind)(made.record)
        if there.exists():
            write_whole(getattr(store, kind)(record), there.read_bytes())
    return replace(made, store=store, record=record)


def refusals(made: Evaluated, root, **how) -> str:
    into = Published(root / "results")
    one = prepared(made.record, made.store, into, **how)
    if one.refused:
        with pytest.raises(UsageError, match="cannot be submitted"):
            write(one, into)
        assert not into.root.exists()
    return "; ".join(one.refused)


def test_a_record_that_can_be_repeated_is_written_whole(plugin, tmp_path):
    made, _ = plugin
    into = Published(tmp_path / "results")
    one = prepared(made.record, made.store, into)
    assert one.refused == []
    write(one, into)
    folder = into.root / "tiny@1" / "mine" / "1.2.0"
    record = made.record
    names = {
        f"{record.id}.json",
        f"{record.id}.npz",
        f"{record.id}.safetensors",
        f"{record.id}.files.json",
        "card.yaml",
    }
    assert {path.name for path in folder.iterdir()} == names
    assert all_problems(into.root) == (1, []) and list(into.records()) == [record]
    assert into.predictions(record).read_bytes() == made.store.predictions(record).read_bytes()
    about = json.loads(into.outside(record).read_bytes())
    assert about["source"]["urls"] == ["https://example.org/mine"] and about["outside"] == {}
    assert "git switch -c submit-mine" in next_steps([one], into)
    write(one, into)
    assert len(chain_lines(into.root)) == 1


def test_a_signature_goes_with_it(plugin, tmp_path):
    made, _ = plugin
    public = new_key(tmp_path / "key")
    into = Published(tmp_path / "results")
    write(prepared(made.record, made.store, into, signature=sign(made.record.id, tmp_path / "key")), into)
    (record,) = into.records()
    assert signer_of(record.id, record.signature) == public and record.id == made.record.id


def test_a_record_of_an_earlier_version_keeps_what_was_written(plugin, tmp_path):
    made, _ = plugin
    document = made.record.model_dump(mode="json", by_alias=True)
    del document["answer_delay_bins"], document["id"]  # a field that came later, with a default
    document["id"] = document_id(document)
    store = Store(tmp_path / "earlier")
    path = store.record_path(made.record).with_name(f"{document['id']}.json")
    write_whole(path, json.dumps(document).encode())
    record = read_record(path)
    for kind in ("predictions", "artifact"):
        write_whole(getattr(store, kind)(record), getattr(made.store, kind)(made.record).read_bytes())
    new_key(tmp_path / "key")
    for name, signature in (("plain", ""), ("signed", sign(record.id, tmp_path / "key"))):
        into = Published(tmp_path / name)
        write(prepared(record, store, into, signature=signature), into)
        assert all_problems(into.root) == (1, []) and next(into.records()).id == document["id"]


def test_all_reasons_are_told_at_once(plugin, tmp_path):
    made, package = plugin
    (package / "card.yaml").unlink()
    noisy = made.record.profile.model_copy(update={"noisy": True, "noisy_why": "a busy machine"})
    said = refusals(changed(made, tmp_path / "noisy", profile=noisy), tmp_path)
    assert "there is no card" in said and "beside other work (a busy machine)" in said


def test_foreign_code_is_not_run_to_submit_it(plugin, tmp_path):
    made, package = plugin
    marker = tmp_path / "was-here"
    (package / "decoder.py").write_text(f"open({str(marker)!r}, 'w')\nclass Mine: ...\n")
    decoder = made.record.decoder.model_copy(update={"source_sha256": source_sha256(submitting.find("mine"))})
    refusals(changed(made, tmp_path / "hostile", decoder=decoder), tmp_path)
    assert not marker.exists() and "plugin_of_mine" not in sys.modules


def test_source_that_has_changed_is_refused(plugin, tmp_path):
    made, package = plugin
    (package / "decoder.py").write_text("class Mine: pass\n")
    assert "has changed since it ran" in refusals(made, tmp_path)


def git(folder, *command):
    who = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    subprocess.run(["git", "-C", str(folder), *who, *command], check=True, capture_output=True)


def test_source_in_a_repository_has_to_be_committed(plugin, tmp_path):
    made, package = plugin
    git(package, "init", "-q")
    git(package, "add", "__init__.py")
    git(package, "commit", "-qm", "begin")
    assert "its source is not committed: " in refusals(made, tmp_path)
    git(package, "add", ".")
    git(package, "commit", "-qm", "all")
    assert refusals(made, tmp_path) == ""
    one = prepared(made.record, made.store, Published(tmp_path / "results"))
    about = json.loads(one.files[Published(tmp_path / "results").outside(made.record)])
    assert len(about["source"]["commit"]) == 40


def test_source_that_nobody_can_get_is_refused(plugin, tmp_path, monkeypatch):
    monkeypatch.setattr(submitting, "_urls", lambda name: [])
    assert "nothing says where others get the source" in refusals(plugin[0], tmp_path)


def test_a_card_has_to_be_of_this_decoder_and_a_card(plugin, tmp_path):
    made, package = plugin
    (package / "card.yaml").write_text(card("yours"))
    assert "is the card of yours" in refusals(made, tmp_path)
    (package / "card.yaml").write_text("- [")
    assert "no valid YAML" in refusals(made, tmp_path)


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"name": "../mine"}, "no name that can be published"),
        ({"name": "w1ener"}, "would be taken for 'wiener'"),
        ({"version": "file"}, "a loose file"),
    ],
)
def test_names_and_versions_that_cannot_be_published(plugin, tmp_path, changes, says, monkeypatch):
    made, _ = plugin
    ref = submitting.find("mine")
    monkeypatch.setattr(submitting, "find", lambda name: ref)
    decoder = made.record.decoder.model_copy(update=changes)
    store = Store(tmp_path / "renamed")
    other = replace(made, record=sealed(made.record.model_copy(update={"decoder": decoder})), store=store)
    assert says in refusals(other, tmp_path)


def test_other_suites_versions_and_recordings_are_refused(plugin, tmp_path, monkeypatch):
    made, _ = plugin
    fewer = changed(made, tmp_path / "fewer", sessions=made.record.sessions[:1])
    assert "'tiny-1' of the tier is not in it" in refusals(fewer, tmp_path)
    renamed = [made.record.sessions[0].model_copy(update={"session": "gone"}), *made.record.sessions[1:]]
    assert "has no recording 'gone'" in refusals(changed(made, tmp_path / "renamed", sessions=renamed), tmp_path)
    monkeypatch.undo()
    assert "none of the shipped ones" in refusals(made, tmp_path)


@pytest.mark.parametrize("kind, what", [("predictions", "predictions"), ("artifact", "artefact")])
def test_files_have_to_be_there_and_the_record_s_own(plugin, tmp_path, kind, what):
    made, _ = plugin
    path = getattr(made.store, kind)(made.record)
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    assert "it is of another run" in refusals(made, tmp_path) or "is not the artefact" in refusals(made, tmp_path)
    path.unlink()
    assert what in refusals(made, tmp_path)


def test_what_is_too_large_stays_at_an_address(plugin, tmp_path, monkeypatch):
    made, _ = plugin
    monkeypatch.setattr(submitting, "MOST_KEPT_BYTES", 1000)
    assert "put the file somewhere lasting" in refusals(made, tmp_path)
    assert "put the file somewhere lasting" in refusals(made, tmp_path, address="http://example.org")
    into = Published(tmp_path / "results")
    write(prepared(made.record, made.store, into, address="https://example.org/files/"), into)
    outside = json.loads(into.outside(made.record).read_bytes())["outside"]
    name = f"{made.record.id}.npz"
    assert outside[name]["address"] == f"https://example.org/files/{name}"
    assert outside[name]["sha256"] == made.record.predictions_sha256
    assert not into.predictions(made.record).exists() and all_problems(into.root) == (1, [])


def test_a_published_version_is_not_written_over(plugin, tmp_path):
    made, package = plugin
    into = Published(tmp_path / "results")
    write(prepared(made.record, made.store, into), into)
    (package / "card.yaml").write_text(card("mine") + "# more\n")
    other = changed(made, tmp_path / "other", seed=2)
    decoder = made.record.decoder.model_copy(update={"source_sha256": source_sha256(submitting.find("mine"))})
    other = changed(other, tmp_path / "other2", decoder=decoder)
    with pytest.raises(UsageError, match="give the decoder a new version"):
        write(prepared(other.record, other.store, into), into)
    assert len(chain_lines(into.root)) == 1 and sha256(into.card(made.record).read_bytes())
