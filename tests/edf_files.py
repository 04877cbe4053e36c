"""EDF+ files written from nothing, as small as the tests allow, and runs like those of PhysioNet's motor data set."""

from collections.abc import Sequence

import numpy as np

from harness.data.eegmmidb import CHANNELS

Note = tuple[float, float, str]


def edf_bytes(
    counts: np.ndarray,
    *,
    labels: Sequence[str],
    notes: Sequence[Note] = (),
    n_per_record: int = 160,
    note_bytes: int = 60,
    **fields: object,
) -> bytes:
    """A file of records of one second.

    Args:
        counts: (n_samples, n_signals) int16, a whole number of records.
        labels: Of the signals.
        notes: (onset s, duration s, text) of each.
        n_per_record: Samples of each signal in a record.
        note_bytes: Room for notes in each record, even.
        fields: Other header fields than are right: kind, n_signals, n_records, record_s, unit, low, high, least, most;
            `begins`: when record i begins, instead of at i seconds.
    """
    n_records = len(counts) // n_per_record
    said = {"kind": "EDF+C", "n_records": n_records, "record_s": 1, "n_signals": len(labels) + 1} | fields
    n_header = 256 * (len(labels) + 2)
    fixed = [("0", 8), ("X X X X", 80), ("Startdate X X X X", 80), ("01.01.85", 8), ("00.00.00", 8), (n_header, 8)]
    fixed += [(said["kind"], 44), (said["n_records"], 8), (said["record_s"], 8), (said["n_signals"], 4)]
    columns = [
        ([*labels, "EDF Annotations"], 16),
        ([""] * (len(labels) + 1), 80),
        ([said.get("unit", "uV")] * len(labels) + [""], 8),
        ([said.get("low", -8092)] * len(labels) + [-1], 8),
        ([said.get("high", 8092)] * len(labels) + [1], 8),
        ([said.get("least", -8092)] * len(labels) + [-32768], 8),
        ([said.get("most", 8092)] * len(labels) + [32767], 8),
        ([""] * (len(labels) + 1), 80),
        ([n_per_record] * len(labels) + [note_bytes // 2], 8),
        ([""] * (len(labels) + 1), 32),
    ]
    texts = fixed + [(value, width) for values, width in columns for value in values]
    header = b"".join(str(value).encode().ljust(width) for value, width in texts)
    begins = said.get("begins", range(n_records))
    body = [
        counts[i * n_per_record : (i + 1) * n_per_record].T.astype("<i2").tobytes()
        + _notes(begins[i], [note for note in notes if i <= note[0] < i + 1]).ljust(note_bytes, b"\0")
        for i in range(n_records)
    ]
    return header + b"".join(body)


def _notes(begins_s: float, notes: Sequence[Note]) -> bytes:
    """The notes of one record: when it begins, then those that begin in it."""
    lists = [f"+{begins_s:g}\x14\x14\0"]
    lists += [f"+{onset_s:g}\x15{duration_s:g}\x14{text}\x14\0" for onset_s, duration_s, text in notes]
    return "".join(lists).encode()


def motor_notes(*, n_cued: int = 15, trial_s: float = 4.1, rest_s: float = 4.2) -> list[Note]:
    """Rests and cues in turn; the classes in a fixed order that has both."""
    notes: list[Note] = []
    for k in range(n_cued):
        start_s = round(k * (rest_s + trial_s), 3)
        notes.append((start_s, rest_s, "T0"))
        notes.append((round(start_s + rest_s, 3), trial_s, f"T{1 + k % 3 // 2}"))
    return notes


def motor_run(seed: int = 0, *, n_s: int = 125, rate_hz: int = 160, **changes: object) -> bytes:
    """One run of the data set: 64 channels of noise that says which run it is, and its notes."""
    rng = np.random.default_rng(seed)
    counts = np.tile(rng.integers(-99, 99, (rate_hz, len(CHANNELS)), dtype=np.int16), (n_s, 1))
    given = {"labels": [name.capitalize().ljust(4, ".") for name in CHANNELS], "notes": motor_notes()} | changes
    return edf_bytes(counts, n_per_record=rate_hz, **given)
