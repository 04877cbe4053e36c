"""The published folder: names that may enter it, its chain, signatures, and every way of tampering with it."""

import json
import shutil

import pytest

from harness.errors import BadData, UsageError
from harness.results import names
from harness.results.integrity import all_problems
from harness.results.published import CHAIN, Published, chain_lines, is_inside, open_store
from harness.results.receipts import Receipt, keep, read_receipt, receipts_in, sealed, trust
from harness.results.records import sha256
from harness.results.signing import new_key, read_keys, sign, signer_of
from harness.results.store import Store
from tests.records_factory import make_decoder, make_record


@pytest.fixture
def folder(tmp_path):
    """Three records, the last with a receipt."""
    store = Published(tmp_path / "results")
    for name in ("one", "two", "three"):
        record = make_record(name, predictions_sha256=None)
        store.add("record", record.id, {store.record_path(record): record.model_dump_json(by_alias=True).encode()})
    receipt = make_receipt(record.id)
    path = store.receipts(record) / f"{receipt.id}.json"
    store.add("receipt", receipt.id, {path: receipt.model_dump_json(by_alias=True).encode()})
    return store.root


def make_receipt(record_id, **changes):
    content = {"record": record_id, "how": "restored", "verdict": "same", "tolerance": 0.0, "sessions": []}
    content |= {"environment": {}, "started_utc": "2026-01-01T00:00:00+00:00", "seconds": 1.0} | changes
    return sealed(Receipt(**content))


def test_a_whole_folder_has_no_problem_and_is_read_like_any_store(folder):
    assert all_problems(folder) == (3, [])
    assert isinstance(open_store(folder), Published)
    assert [r.decoder.name for r in open_store(folder).records()] == ["one", "three", "two"]
    assert not isinstance(open_store(folder.parent), Published)


def test_the_same_submission_twice_is_one_line(folder):
    store = Published(folder)
    record = next(store.records())
    before = chain_lines(folder)
    store.add("record", record.id, {store.record_path(record): store.record_path(record).read_bytes()})
    assert chain_lines(folder) == before


def test_what_is_published_is_never_written_over(folder):
    store = Published(folder)
    record = next(store.records())
    path = store.folder(record) / "card.yaml"
    store.add("receipt", "1" * 64, {path: b"a card"})
    with pytest.raises(UsageError, match="never changed"):
        store.add("receipt", "2" * 64, {path: b"another card"})
    assert path.read_bytes() == b"a card" and len(chain_lines(folder)) == 5


def edit_score(folder):
    path = next(folder.glob("*/one/*/*.json"))
    document = json.loads(path.read_bytes())
    document["scores"]["r2"]["value"] = 0.99
    path.write_text(json.dumps(document))


def edit_record_and_its_line(folder):
    edit_score(folder)
    path = next(folder.glob("*/one/*/*.json"))
    edit_line(
        folder, 0, lambda line: line["files"].update({path.relative_to(folder).as_posix(): sha256(path.read_bytes())})
    )


def edit_line(folder, i, change):
    lines = chain_lines(folder)
    document = json.loads(lines[i])
    change(document)
    lines[i] = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    (folder / CHAIN).write_bytes(b"".join(line + b"\n" for line in lines))


def drop_line(folder):
    lines = chain_lines(folder)
    (folder / CHAIN).write_bytes(b"".join(line + b"\n" for line in lines[:1] + lines[2:]))


def reorder(folder):
    lines = chain_lines(folder)
    (folder / CHAIN).write_bytes(b"".join(line + b"\n" for line in [lines[1], lines[0], *lines[2:]]))


def remove_record(folder):
    next(folder.glob("*/two/*/*.json")).unlink()


def slip_in(folder):
    record = make_record("four", predictions_sha256=None)
    path = Published(folder).record_path(record)
    path.parent.mkdir(parents=True)
    path.write_text(record.model_dump_json(by_alias=True))


def link_out(folder):
    path = next(folder.glob("*/two/*/*.json"))
    shutil.move(path, folder.parent / "outside.json")
    path.symlink_to(folder.parent / "outside.json")


def link_folder(folder):
    path = next(folder.glob("*/two"))
    shutil.move(path, folder.parent / "outside")
    path.symlink_to(folder.parent / "outside")


def climb(folder):
    edit_line(folder, 3, lambda line: line["files"].update({"../../secret": "0" * 64}))


def move_to_another_decoder(folder):
    shutil.move(next(folder.glob("*/two")), folder / "made-up-reaching@1" / "twin")


def edit_receipt(folder):
    path = next(folder.glob("*/three/*/*.receipts/*.json"))
    path.write_text(path.read_text().replace('"same"', '"differs"'))


def cut_off(folder):
    (folder / CHAIN).write_bytes(b"".join(line + b"\n" for line in chain_lines(folder)[:-1]))


def nonsense(folder):
    (folder / CHAIN).write_bytes((folder / CHAIN).read_bytes() + b"[" * 50_000 + b"\n")


@pytest.mark.parametrize(
    "tamper, says",
    [
        (edit_score, "was edited"),
        (edit_record_and_its_line, "does not follow the line before"),
        (drop_line, "does not follow the line before"),
        (reorder, "does not follow the line before"),
        (remove_record, "is missing"),
        (slip_in, "is in no line of"),
        (link_out, "symbolic link"),
        (link_folder, "symbolic link"),
        (climb, "leads out of the folder"),
        (move_to_another_decoder, "is missing"),
        (edit_receipt, "was edited"),
        (cut_off, "is in no line of"),
        (nonsense, "no line of a chain"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_every_change_is_found_and_named(folder, tamper, says):
    tamper(folder)
    _, problems = all_problems(folder)
    assert any(says in problem for problem in problems), problems


def test_a_chain_that_was_written_anew_is_found_against_its_earlier_state(folder):
    before = chain_lines(folder)
    shutil.rmtree(folder)
    store = Published(folder)
    record = make_record("one", predictions_sha256=None)
    store.add("record", record.id, {store.record_path(record): record.model_dump_json(by_alias=True).encode()})
    assert all_problems(folder) == (1, [])
    assert "only added to" in all_problems(folder, begins_with=before)[1][0]


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../b", "", "a\\b", "a\0b"])
def test_paths_that_climb_are_no_paths_of_the_folder(name):
    assert not is_inside(name)
    assert is_inside("suite@1/decoder/0.1/x.json")


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a/b",
        "-x",
        "two words",
        "tab\there",
        "bell\a",
        "rtl\u202ename",
        "wi\u0435ner",
        "zero\u200bwidth",
        "x" * 61,
        "a..b",
    ],
)
def test_names_that_could_climb_or_deceive_are_refused(name, tmp_path):
    with pytest.raises(BadData, match="no name that can be published"):
        Published(tmp_path).record_path(make_record(decoder=make_decoder(name)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name, other",
    [("w1ener", "wiener"), ("Wiener", "wiener"), ("wiener_", "wiener"), ("ka1man", "kalman"), ("mine", "")],
)
def test_names_that_look_like_others_are_seen(name, other):
    assert names.mistaken_for(name, ["wiener", "kalman", name]) == other


def test_a_signature_is_of_one_id_by_one_key(tmp_path):
    path = tmp_path / "keys" / "key"
    public = new_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    signature = sign("a" * 64, path)
    assert signer_of("a" * 64, signature) == public
    assert signer_of("b" * 64, signature) == ""
    for text in (
        None,
        "",
        "ed25519:",
        f"{public}:",
        signature[:-4],
        signature.replace("ed25519", "rsa"),
        "ed25519:ä:ö",
    ):
        assert signer_of("a" * 64, text) == ""


def test_keys_are_never_lost_shared_or_made_up(tmp_path):
    path = tmp_path / "key"
    new_key(path)
    with pytest.raises(UsageError, match="holds a key already"):
        new_key(path)
    path.chmod(0o644)
    with pytest.raises(UsageError, match="can be read by others"):
        sign("a", path)
    path.write_text("nothing")
    with pytest.raises(UsageError, match="holds no key"):
        sign("a", path)


def test_a_list_of_keys_names_their_owners(tmp_path):
    public = new_key(tmp_path / "key")
    listed = tmp_path / "reference.txt"
    listed.write_text(f"# machines\n{public} the lab's box  # since 2026\n\n")
    assert read_keys(listed) == {public: "the lab's box"}
    assert read_keys(tmp_path / "none.txt") == {}
    listed.write_text("ed25519:short who\n")
    with pytest.raises(BadData, match="line 1"):
        read_keys(listed)


def test_trust_follows_from_receipts_that_are_of_this_record(tmp_path):
    record, key = make_record("one"), tmp_path / "key"
    public = new_key(key)
    plain = make_receipt(record.id)
    signed = plain.model_copy(update={"signature": sign(plain.id, key)})
    assert trust(record.id, []) == "self-reported"
    assert trust(record.id, [make_receipt(record.id, verdict="differs")]) == "self-reported"
    assert trust(record.id, [make_receipt(record.id, how="rescored")]) == "self-reported"
    assert trust(record.id, [make_receipt("0" * 64)]) == "self-reported"
    assert trust(record.id, [plain]) == "reproduced"
    assert trust(record.id, [signed]) == "reproduced"
    assert trust(record.id, [signed], [public]) == "reference"
    assert trust(record.id, [plain.model_copy(update={"signature": sign("other", key)})], [public]) == "reproduced"


def test_a_receipt_that_was_edited_raises_nothing(tmp_path):
    receipt = make_receipt("1" * 64, verdict="differs")
    path = keep(receipt, make_record("one"), Store(tmp_path))
    assert read_receipt(path) == receipt
    path.write_text(path.read_text().replace("differs", "same"))
    with pytest.raises(BadData, match="edited"):
        read_receipt(path)
    assert receipts_in(path.parent) == [] and receipts_in(tmp_path / "none") == []


def test_a_signed_receipt_keeps_its_id(tmp_path):
    receipt = make_receipt("1" * 64)
    new_key(tmp_path / "key")
    signed = receipt.model_copy(update={"signature": sign(receipt.id, tmp_path / "key")})
    assert read_receipt(keep(signed, make_record("one"), Store(tmp_path))) == signed


def test_a_receipt_of_a_published_record_enters_the_chain(folder):
    store = Published(folder)
    keep(make_receipt("1" * 64), next(store.records()), store)
    assert len(chain_lines(folder)) == 5
    assert [problem for problem in all_problems(folder)[1] if "receipt of another record" not in problem] == []


def test_one_s_own_store_is_checked_too(tmp_path):
    store = Store(tmp_path)
    record = make_record("one", predictions_sha256=sha256(b"answers"))
    store.save(record)
    store.predictions(record).parent.mkdir()
    store.predictions(record).write_bytes(b"answers")
    assert all_problems(tmp_path) == (1, [])
    store.predictions(record).write_bytes(b"others")
    assert "not the predictions" in all_problems(tmp_path)[1][0]
