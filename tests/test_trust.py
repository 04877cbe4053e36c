"""What the site says of trust and of decoders that own up to their test data; the record's documentation."""

from harness.data.contamination import contaminated, names_of
from harness.data.sources import Dandi, Physionet
from harness.data.suites import load_suite
from harness.results.published import Published
from harness.results.receipts import keep
from harness.results.store import Store
from leaderboard_app.table import ranking
from leaderboard_app.trust import Mark, lowest, marks_of
from leaderboard_app.wording import notes
from tests.pages import run_page
from tests.records_factory import make_record
from tests.test_published import make_receipt
from tools import record_docs


def test_a_card_may_name_a_data_set_a_subject_a_recording_or_a_file():
    suite = load_suite("eeg-motor-imagery-cross-subject")
    session = next(s for s in suite.sessions if isinstance(s.source, Physionet))
    subject = session.source.subject
    for name in ("physionet:eegmmidb", f"PhysioNet:eegmmidb/{subject}", session.id):
        assert contaminated([name], f"{suite.name}@1", [session.id, "another"]) == (session.id,)
    assert contaminated(["physionet:eegmmidb/S999", "dandi:000128"], suite.name, [session.id]) == ()
    reaching = load_suite("primate-reaching")
    one = next(s for s in reaching.sessions if isinstance(s.source, Dandi))
    assert {f"dandi:{one.source.dandiset}", one.source.sha256, one.id} <= names_of(one)
    assert contaminated([f"dandi:{one.source.dandiset}"], "primate-reaching/emg@1", [one.id]) == (one.id,)


def test_nothing_is_said_of_suites_that_nobody_knows():
    assert contaminated(["dandi:000128"], "made-up@1", ["x"]) == ()
    assert contaminated([], "primate-reaching@1", ["x"]) == ()


def test_a_row_is_as_trusted_as_its_least_trusted_seed():
    records = [make_record("one", seed=seed) for seed in (1, 2)]
    both = {record.id: Mark("reproduced") for record in records}
    assert lowest(records, both) == "reproduced"
    assert lowest(records, {records[0].id: Mark("reference")}) == "self-reported"
    table = ranking(records, marks=both | {records[1].id: Mark("reproduced", ("made-up-1",))})
    row = table[table["kind"] == "ranked"].iloc[0]
    assert row["trust"] == "reproduced" and notes(row) == "reproduced, learned from test data"


def test_receipts_of_one_s_own_store_show_on_its_board(tmp_path):
    store, record = Store(tmp_path), make_record("one")
    store.save(record)
    store.save(make_record("two"))
    keep(make_receipt(record.id), record, store)
    keep(make_receipt(record.id, verdict="differs"), record, store)
    assert marks_of(tmp_path, [record, make_record("two")]) == {record.id: Mark("reproduced")}
    page = run_page("board", tmp_path)
    assert any("trust: self-reported 1, reproduced 1" in c.value.replace("\\", "") for c in page.caption)


def test_a_published_folder_without_keys_beside_it_has_no_reference_machine(tmp_path):
    store = Published(tmp_path / "results")
    record = make_record("one", predictions_sha256=None)
    store.add("record", record.id, {store.record_path(record): record.model_dump_json(by_alias=True).encode()})
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "reference.txt").write_text("no key at all\n")
    keep(make_receipt(record.id), record, store)
    assert marks_of(store.root, [record]) == {record.id: Mark("reproduced")}


def test_the_documentation_of_the_record_is_that_of_the_models(root):
    assert (root / "docs" / "record.md").read_text() == record_docs.page()
    for name, model in (("record", record_docs.Record), ("receipt", record_docs.Receipt)):
        assert (root / "docs" / f"{name}.schema.json").read_text() == record_docs.schema(model)


def test_a_record_is_valid_by_the_schema_that_others_read(root):
    import json

    import jsonschema

    schema = json.loads((root / "docs" / "record.schema.json").read_text())
    document = json.loads(make_record("one").model_dump_json(by_alias=True))
    jsonschema.validate(document, schema)
    checker = jsonschema.Draft202012Validator(schema)
    assert not checker.is_valid(document | {"seed": "one"}) and not checker.is_valid(document | {"extra": 1})
