"""Reading EDF+: what a writer of our own wrote, what is damaged, and what another library reads."""

import struct

import numpy as np
import pytest

from harness.data.edf import Annotation, read_edf
from harness.errors import BadData, MissingData
from tests.edf_files import edf_bytes

NOTES = [(0.0, 1.5, "T0"), (1.5, 0.25, "T1"), (2.75, 0, "left / right")]
COUNTS = np.random.default_rng(0).integers(-8000, 8000, (480, 2)).astype(np.int16)
COUNTS[100] = 2570  # two line feeds, so that a copy as text changes the samples too


def written(tmp_path, content=None, **changes):
    """A file of two signals and three seconds."""
    path = tmp_path / "run.edf"
    path.write_bytes(
        content if content is not None else edf_bytes(COUNTS, **({"labels": ["Cz", "Iz"], "notes": NOTES} | changes))
    )
    return path


def test_what_was_written_is_read(tmp_path):
    edf = read_edf(written(tmp_path, low=-4046, high=4046))
    assert np.array_equal(edf.counts, COUNTS) and edf.counts.dtype == np.int16
    assert (edf.labels, edf.units, edf.rate_hz) == (("Cz", "Iz"), ("uV", "uV"), 160.0)
    assert edf.unit_per_count.tolist() == [0.5, 0.5] and edf.offset.tolist() == [0.0, 0.0]
    assert edf.annotations == tuple(Annotation(*note) for note in NOTES)


def test_values_follow_from_the_ranges_of_the_header(tmp_path):
    edf = read_edf(written(tmp_path, low=0, high=100, least=-100, most=100))
    assert np.allclose(edf.unit_per_count * -100 + edf.offset, 0)
    assert np.allclose(edf.unit_per_count * 100 + edf.offset, 100)


def test_notes_count_from_the_first_sample_wherever_the_clock_starts(tmp_path):
    edf = read_edf(written(tmp_path, begins=[0.5, 1.5, 2.5]))
    assert [note.onset_s for note in edf.annotations] == [-0.5, 1.0, 2.25]


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"kind": "EDF+D"}, r"is discontinuous \(EDF\+D\)"),
        ({"kind": "BDF+C"}, "is BDF, with samples of 24 bits"),
        ({"n_records": -1}, "states -1 as number of records, where at least 1 belongs"),
        ({"n_records": "many"}, "states 'many' as number of records, where a whole number belongs"),
        ({"n_records": 4}, "is cut short: it has .* bytes, and its header promises"),
        ({"n_records": 2}, "is too long: it has .* bytes, and its header promises"),
        ({"n_signals": 9}, "has 3124 bytes and states a header of 1024 for 9 signals, whose header has 2560"),
        ({"record_s": "nan"}, "states 'nan' as length of a record"),
        ({"record_s": 0}, "states records of 0 s"),
        ({"most": -9000}, "states for 'Cz' the counts -8092 to -9000 .* where ranges belong"),
        ({"low": "x"}, "states 'x' as range of 'Cz', where a number belongs"),
        ({"begins": [0, 1, 7]}, "has a gap although it says that it has none: record 2 begins at 7 s, not at 2 s"),
        ({"notes": [(0.5, -1, "T1")]}, "has damaged annotations in record 0"),
    ],
)
def test_a_header_that_does_not_fit_is_named(tmp_path, changes, words):
    with pytest.raises(BadData, match=f"run.edf {words}"):
        read_edf(written(tmp_path, **changes))


def two_rates(content: bytes) -> bytes:
    """The same bytes, told as signals of 150 and 170 Hz."""
    at = 256 + 3 * (16 + 80 + 8 * 5 + 80)
    return content[:at] + b"150     170     " + content[at + 16 :]


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda content: content[:-1], "is cut short"),
        (lambda content: content[:700], "it is cut short or damaged"),
        (lambda content: b"", "is no EDF file: its 0 bytes"),
        (lambda content: b"%PDF-1.7" + content[8:], "is no EDF file"),
        (lambda content: content.replace(b"\n", b"\r\n"), "a carriage return was put before every line feed"),
        (lambda content: content.replace(b"\x14T1\x14", b"\x14T1\x15"), "has damaged annotations in record 1"),
        (lambda content: content.replace(b"T1", b"\xff\xfe"), "has damaged text in the annotations of record 1"),
        (two_rates, "has signals of 150, 170 Hz, and only files of one rate are read"),
    ],
    ids=["cut", "cut in header", "empty", "other", "CRLF", "list", "text", "rates"],
)
def test_a_damaged_file_is_named(tmp_path, damage, words):
    content = written(tmp_path).read_bytes()
    with pytest.raises(BadData, match=f"run.edf .*{words}"):
        read_edf(written(tmp_path, damage(content)))


def test_a_file_that_is_not_there_is_missing(tmp_path):
    with pytest.raises(MissingData, match="does not exist"):
        read_edf(tmp_path / "none.edf")


def test_any_byte_of_a_header_may_be_wrong_without_another_kind_of_error(tmp_path):
    rng, content = np.random.default_rng(1), written(tmp_path).read_bytes()
    outcomes = set()
    for _ in range(400):
        damaged = bytearray(content)
        damaged[rng.integers(1024)] = rng.integers(256)
        try:
            read_edf(written(tmp_path, bytes(damaged)))
            outcomes.add("read")
        except BadData:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_samples_are_little_endian_and_signed(tmp_path):
    content = written(tmp_path).read_bytes()
    first = struct.unpack_from("<h", content, 1024)[0]
    assert read_edf(written(tmp_path, content)).counts[0, 0] == first == COUNTS[0, 0]
