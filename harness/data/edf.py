"""Reading EDF+ (Kemp and Olivan 2003, doi:10.1016/S1388-2457(03)00123-8): header, samples, annotations.

Everything that a header says is held against the file before a sample is believed. A file holds data records of equal
length; in each, one signal after the other, and among them a signal of text, the annotations.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.errors import BadData, MissingData

FIXED_BYTES = 256
"""Of the header's first part, and of the description of each signal."""
BYTES_PER_SAMPLE = 2
ANNOTATIONS = "EDF Annotations"
MOST_SIGNALS = 4096
MOST_BYTES = 1 << 32
TOUCH_S = 1e-3
"""How far a record's own time may be from where it belongs: times are written as decimals."""

_NUMBER = rb"[+-]\d+(?:\.\d*)?"
_LIST = re.compile(
    rb"(?P<onset>" + _NUMBER + rb")(?:\x15(?P<duration>\d+(?:\.\d*)?))?\x14(?P<texts>(?:[^\x00\x14]*\x14)*)"
)
_WIDTHS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
"""Of a signal's label, transducer, unit, physical range, digital range, prefiltering, samples a record, reserve."""


@dataclass(frozen=True)
class Annotation:
    """A note on a stretch of a file, in seconds from its first sample."""

    onset_s: float
    duration_s: float
    text: str


@dataclass(frozen=True)
class Edf:
    """What a file holds.

    counts: (n_samples, n_signals) int16, as stored.
    unit_per_count, offset: (n_signals,) float64: counts times the one plus the other are in `units`.
    """

    labels: tuple[str, ...]
    units: tuple[str, ...]
    rate_hz: float
    counts: np.ndarray
    unit_per_count: np.ndarray
    offset: np.ndarray
    annotations: tuple[Annotation, ...]


@dataclass(frozen=True)
class _Header:
    """The header's numbers; the fields of the signals, texts (n_signals) each."""

    n_records: int
    record_s: float
    fields: tuple[tuple[str, ...], ...]
    samples: tuple[int, ...]


def read_edf(path: Path) -> Edf:
    """Read a continuous EDF or EDF+ file, all signals of which have one rate.

    Raises:
        MissingData: If there is no such file.
        BadData: Naming the file and what is wrong with it.
    """
    if not path.is_file():
        raise MissingData(f"{path} does not exist; fetch it with `harness data get`")
    if path.stat().st_size > MOST_BYTES:
        raise _bad(path, f"has {path.stat().st_size} bytes, more than the {MOST_BYTES} that are read at once")
    raw = path.read_bytes()
    header = _header(path, raw)
    start, n_bytes = FIXED_BYTES * (len(header.samples) + 1), BYTES_PER_SAMPLE * sum(header.samples)
    _check_size(path, raw, start + header.n_records * n_bytes)
    records = np.frombuffer(raw, "<i2", offset=start).reshape(header.n_records, -1)
    return _contents(path, header, records)


def _bad(path: Path, what: str) -> BadData:
    return BadData(f"{path} {what}; take the file that its source pins")


def _text(path: Path, raw: bytes) -> str:
    try:
        return raw.decode("ascii").strip()
    except UnicodeDecodeError:
        raise _bad(path, f"has {raw[:16]!r} in its header, where plain text belongs") from None


def _whole(path: Path, name: str, text: str, *, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        raise _bad(path, f"states {text!r} as {name}, where a whole number belongs") from None
    if number < least:
        raise _bad(path, f"states {number} as {name}, where at least {least} belongs")
    return number


def _real(path: Path, name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not np.isfinite(number):
        raise _bad(path, f"states {text!r} as {name}, where a number belongs")
    return number


def _header(path: Path, raw: bytes) -> _Header:
    if len(raw) < FIXED_BYTES or raw[:8] != b"0       ":
        raise _bad(path, f"is no EDF file: its {len(raw)} bytes begin with {raw[:8]!r}, not with '0' and seven spaces")
    if (kind := raw[192:197]) == b"EDF+D":
        raise _bad(path, "is discontinuous (EDF+D), and only files without gaps (EDF+C, EDF) are read")
    if kind == b"BDF+C" or kind == b"BDF+D":
        raise _bad(path, "is BDF, with samples of 24 bits, and only EDF is read")
    n_signals = _whole(path, "number of signals", _text(path, raw[252:256]), least=1)
    n_bytes = _whole(path, "bytes of its header", _text(path, raw[184:192]), least=0)
    if n_signals > MOST_SIGNALS or n_bytes != FIXED_BYTES * (n_signals + 1) or len(raw) < n_bytes:
        raise _bad(
            path,
            f"has {len(raw)} bytes and states a header of {n_bytes} for {n_signals} signals, whose header has "
            f"{FIXED_BYTES * (n_signals + 1)}: it is cut short or damaged",
        )
    n_records = _whole(path, "number of records", _text(path, raw[236:244]), least=1)
    record_s = _real(path, "length of a record", _text(path, raw[244:252]))
    if record_s <= 0:
        raise _bad(path, f"states records of {record_s:g} s, and only those that last are read")
    fields = _fields(path, raw, n_signals)
    samples = tuple(_whole(path, f"samples a record of {fields[0][i]!r}", t, least=1) for i, t in enumerate(fields[8]))
    return _Header(n_records, record_s, fields, samples)


def _fields(path: Path, raw: bytes, n_signals: int) -> tuple[tuple[str, ...], ...]:
    """The texts of each field, of all signals: all labels come first, then all transducers, and so on."""
    fields, at = [], FIXED_BYTES
    for width in _WIDTHS:
        fields.append(tuple(_text(path, raw[at + i * width : at + (i + 1) * width]) for i in range(n_signals)))
        at += n_signals * width
    return tuple(fields)


def _check_size(path: Path, raw: bytes, n_bytes: int) -> None:
    if len(raw) == n_bytes:
        return
    if len(raw) > n_bytes and len(raw.replace(b"\r\n", b"\n")) == n_bytes:
        raise _bad(path, "was changed on its way: a carriage return was put before every line feed, as for text")
    wrong = "cut short" if len(raw) < n_bytes else "too long"
    raise _bad(path, f"is {wrong}: it has {len(raw)} bytes, and its header promises {n_bytes}")


def _contents(path: Path, header: _Header, records: np.ndarray) -> Edf:
    labels = header.fields[0]
    starts = np.cumsum((0, *header.samples[:-1]))
    signals = [i for i, label in enumerate(labels) if label != ANNOTATIONS]
    notes = [i for i, label in enumerate(labels) if label == ANNOTATIONS]
    lengths = {header.samples[i] for i in signals}
    if len(lengths) != 1:
        rates = ", ".join(f"{n / header.record_s:g}" for n in sorted(lengths)) or "no"
        raise _bad(path, f"has signals of {rates} Hz, and only files of one rate are read")
    (n_per_record,) = lengths
    columns = [records[:, starts[i] : starts[i] + n_per_record].reshape(-1) for i in signals]
    scale, offset = _scale(path, header, signals)
    rows = [records[:, starts[i] : starts[i] + header.samples[i]] for i in notes]
    return Edf(
        labels=tuple(labels[i] for i in signals),
        units=tuple(header.fields[2][i] for i in signals),
        rate_hz=n_per_record / header.record_s,
        counts=np.stack(columns, axis=1).astype(np.int16, copy=False),
        unit_per_count=scale,
        offset=offset,
        annotations=_annotations(path, rows, header.record_s),
    )


def _scale(path: Path, header: _Header, signals: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """(n_signals,) unit per count and offset, from the ranges that the header states."""
    low, high, least, most = (
        np.array([_real(path, f"range of {header.fields[0][i]!r}", header.fields[k][i]) for i in signals])
        for k in (3, 4, 5, 6)
    )
    wrong = np.flatnonzero((most <= least) | (high == low))
    if wrong.size:
        i = int(wrong[0])
        raise _bad(
            path,
            f"states for {header.fields[0][signals[i]]!r} the counts {least[i]:g} to {most[i]:g} and the values "
            f"{low[i]:g} to {high[i]:g}, where ranges belong",
        )
    scale = (high - low) / (most - least)
    return scale, low - least * scale


def _annotations(path: Path, signals: list[np.ndarray], record_s: float) -> tuple[Annotation, ...]:
    """All notes in order of their onset, in seconds from the first sample.

    The first note of a record in the first of these signals has no text: it says when the record begins.
    """
    found: list[Annotation] = []
    first_s = 0.0
    for k, signal in enumerate(signals):
        for i, record in enumerate(signal):
            notes = list(_notes(path, i, record.tobytes()))
            if k == 0 and notes and not notes[0].text:
                begins_s = notes[0].onset_s
                first_s = begins_s if i == 0 else first_s
                if abs(begins_s - first_s - i * record_s) > TOUCH_S:
                    raise _bad(
                        path,
                        f"has a gap although it says that it has none: record {i} begins at {begins_s:g} s, not at "
                        f"{first_s + i * record_s:g} s",
                    )
            found += [note for note in notes if note.text]
    placed = (Annotation(note.onset_s - first_s, note.duration_s, note.text) for note in found)
    return tuple(sorted(placed, key=lambda note: note.onset_s))


def _notes(path: Path, i_record: int, raw: bytes) -> Iterator[Annotation]:
    """The notes of one record; each list of them ends with a zero byte."""
    for part in raw.split(b"\x00"):
        if not part:
            continue
        match = _LIST.fullmatch(part)
        if not match:
            raise _bad(path, f"has damaged annotations in record {i_record}: {part[:40]!r}")
        texts = match["texts"].split(b"\x14")[:-1]
        for text in texts or [b""]:
            try:
                decoded = text.decode("utf-8").strip()
            except UnicodeDecodeError:
                raise _bad(path, f"has damaged text in the annotations of record {i_record}: {text[:40]!r}") from None
            yield Annotation(float(match["onset"]), float(match["duration"] or 0), decoded)
