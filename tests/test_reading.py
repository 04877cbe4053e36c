"""Documents from anybody: bounded, refused in words, brought up to date."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.cards import read_card
from harness.data.suites import load_suite
from harness.errors import BadData, HarnessError
from harness.judge import artifact
from harness.results import reading
from harness.results.reading import read_model, read_record
from harness.results.receipts import read_receipt
from harness.results.records import Record, document_id
from tests.records_factory import make_record


def written(folder, document, name=None):
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    path = folder / f"{name or (isinstance(document, dict) and document.get('id')) or 'x'}.json"
    path.write_bytes(text)
    return path


def as_document(**changes):
    return make_record("one").model_dump(mode="json", by_alias=True) | changes


@pytest.mark.parametrize(
    "content, says",
    [
        (b"", "no readable record"),
        (b"\xff\xfe", "no readable record"),
        (b"[]", "no JSON object"),
        (b"{}", "no readable record"),
        (b"[" * 200_000, "no readable record"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "no readable record"),
        (b'{"seconds": NaN}', "NaN is no JSON"),
        (b'{"seed": 1' + b"0" * 5000 + b"}", "no readable record"),
        (b" " * (reading.MOST_BYTES + 1), "bytes, at most"),
    ],
    ids=["empty", "no text", "list", "no fields", "brackets", "nested", "nan", "digits", "huge"],
)
def test_what_is_no_record_is_refused_in_words(tmp_path, content, says):
    with pytest.raises(BadData, match=says) as caught:
        read_record(written(tmp_path, content))
    assert len(str(caught.value)) < 1000


def test_an_unknown_or_missing_field_and_a_wrong_place_are_refused(tmp_path):
    document = as_document()
    for changed in (document | {"extra": 1}, {k: v for k, v in document.items() if k != "scores"}):
        with pytest.raises(BadData, match="no readable record"):
            read_record(written(tmp_path, changed))
    with pytest.raises(BadData, match="was edited"):
        read_record(written(tmp_path, document, name="0" * 64))


def test_control_characters_of_a_document_do_not_reach_the_terminal(tmp_path):
    with pytest.raises(BadData) as caught:
        read_record(written(tmp_path, as_document() | {"status": "\x1b[31mred\u202e"}))
    assert "\x1b" not in str(caught.value) and "\u202e" not in str(caught.value)


def test_of_an_older_schema_a_record_is_brought_up_to_date_under_its_own_id(tmp_path, monkeypatch):
    old = as_document()
    old["points"] = old.pop("scores")
    old["schema"] = 0
    old["id"] = document_id(old)
    path = written(tmp_path, old)
    with pytest.raises(BadData):
        read_record(path)

    def upgrade(document):
        return {("scores" if name == "points" else name): value for name, value in document.items()}

    monkeypatch.setattr(reading, "UPGRADES", {0: upgrade})
    record = read_record(path)
    assert record.id == old["id"] and record.schema_ == 1 and record.scores == make_record("one").scores


def test_of_a_newer_schema_a_record_says_so(tmp_path):
    with pytest.raises(BadData, match="written by a newer harness"):
        read_record(written(tmp_path, as_document(schema=99)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_crash_the_readers_of_documents(tmp_path_factory, content):
    path = written(tmp_path_factory.mktemp("fuzz"), content)
    for read in (read_record, read_receipt, lambda p: read_card(p), lambda p: load_suite(str(p))):
        with pytest.raises(HarnessError):
            read(path)
    path.with_suffix(".yaml").write_bytes(content)
    for read in (read_card, lambda p: load_suite(str(p))):
        with pytest.raises(HarnessError):
            read(path.with_suffix(".yaml"))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_record_with_one_part_replaced_is_a_record_or_refused(tmp_path_factory, data):
    document = as_document()
    place = document
    for _ in range(data.draw(st.integers(0, 3))):
        inner = [v for v in (place.values() if isinstance(place, dict) else place) if isinstance(v, dict | list) and v]
        if not inner:
            break
        place = data.draw(st.sampled_from(inner))
    key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    place[key] = data.draw(JSON)
    try:
        found, _ = read_model(written(tmp_path_factory.mktemp("fuzz"), document, name="x"), Record, "record")
    except HarnessError:
        return
    assert isinstance(found, Record)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_an_artefact_with_bytes_replaced_is_arrays_or_refused(data):
    import numpy as np

    content = bytearray(artifact.pack({"a": np.arange(6.0), "b": np.ones((2, 3), np.int8)}))
    for _ in range(data.draw(st.integers(1, 6))):
        i = data.draw(st.integers(0, len(content) - 1))
        content[i] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    try:
        found = artifact.unpack(bytes(content[:cut] if data.draw(st.booleans()) else content))
    except HarnessError:
        return
    assert all(isinstance(values, np.ndarray) for values in found.values())


@pytest.mark.parametrize("size", [2**63 - 1, 2**40, 0])
def test_a_header_that_lies_about_its_size_is_refused(size):
    import numpy as np

    content = artifact.pack({"a": np.arange(6.0)})
    with pytest.raises(HarnessError, match="no safetensors file"):
        artifact.unpack(size.to_bytes(8, "little") + content[8:])
