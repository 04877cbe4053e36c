"""Raw broadband recordings: what becomes of them, in constant memory, and one sentence for what is wrong with them."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from pynwb import NWBHDF5IO
from scipy.signal import butter, sosfilt, sosfilt_zi
from typer.testing import CliRunner

from harness.cli.data import app
from harness.data import broadband_pack, nwb_write
from harness.data.broadband_pack import Job, make_pack
from harness.data.decimate import Decimator, Recipe
from harness.data.nwb import read_contents
from harness.data.nwb_file import open_nwb
from harness.data.nwb_series import read_series
from harness.data.prepare import prepare
from harness.data.progress import Watcher
from harness.data.protocol import Layout, SpikesAt, TargetAt
from harness.data.split_rules import TimeSplit
from harness.data.suites import load_suite
from harness.errors import BadData, MissingData, UsageError
from tests import broadband_files
from tests.broadband_files import RATE_HZ, Raw

SESSION = "indy_20160915_01"


def job(folder: Path, raw: Raw | None = None, labels=None) -> Job:
    """Write both raw files and say where the new one goes."""
    raw, labels = raw or broadband_files.raw(), labels or broadband_files.labels()
    raw.write(folder / "raw.nwb")
    return Job(labels.write(folder / "raw.mat"), folder / "raw.nwb", folder / "new.nwb", SESSION, subject="Indy")


def voltage(path: Path):
    with open_nwb(path) as nwb:
        return read_series(nwb, nwb_write.LFP_PATH)


def filtered(volts: np.ndarray) -> np.ndarray:
    """The whole recording at once, every 24th sample of it."""
    sections = butter(8, 400, fs=RATE_HZ, output="sos")
    state = sosfilt_zi(sections)[:, :, None] * volts[0]
    return sosfilt(sections, volts, axis=0, zi=state)[0][::24]


@pytest.mark.parametrize(
    "dtype, n_samples, chunks",
    [("int16", 30_001, None), ("int32", 24_576, (5000, 1)), ("float32", 24_577, (9001, 3)), ("float64", 8_192, None)],
)
def test_the_file_holds_what_filtering_the_whole_at_once_gives(tmp_path, dtype, n_samples, chunks):
    raw = replace(broadband_files.raw(dtype=dtype, n_samples=n_samples), chunks=chunks)
    make_pack(job(tmp_path, raw))
    found, expected = voltage(tmp_path / "new.nwb"), filtered(raw.volts)
    step = np.abs(expected).max(axis=0) / 32767
    np.testing.assert_array_less(np.abs(found.values - expected).max(axis=0), 0.51 * step)
    np.testing.assert_allclose(found.times_s, raw.times_s[::24], atol=1e-9)
    assert (found.unit, found.period_s) == ("volts", pytest.approx(24 / RATE_HZ))


@pytest.mark.parametrize("frequency_hz", [2.0, 50.0, 300.0, 600.0])
def test_a_sine_leaves_as_high_as_a_butterworth_lets_it(frequency_hz):
    raw = broadband_files.sine(frequency_hz, n_samples=60_000)
    times_s, volts = Decimator(Recipe()).push(raw.times_s, raw.values)
    phase = 2 * np.pi * frequency_hz * (times_s - 9.0)
    late = times_s > 10.0
    (a, b), *_ = np.linalg.lstsq(np.column_stack([np.sin(phase), np.cos(phase)])[late], volts[late, 0])
    warped = np.tan(np.pi * frequency_hz / RATE_HZ) / np.tan(np.pi * 400 / RATE_HZ)
    assert np.hypot(a, b) == pytest.approx(1e-3 / np.sqrt(1 + warped**16), rel=1e-4)
    if frequency_hz == 2.0:
        assert -np.arctan2(b, a) / (2 * np.pi * 2.0) == pytest.approx(Recipe().delay_s, rel=1e-3)


def test_the_delay_is_that_of_the_poles_of_a_butterworth():
    assert Recipe().delay_s == pytest.approx(1 / (2 * np.pi * 400 * np.sin(np.pi / 16)), rel=1e-3)


@pytest.mark.parametrize("at", [8192, 39_999])
def test_after_a_break_the_filter_and_the_counting_start_again(tmp_path, at):
    raw = broadband_files.raw()
    raw.times_s[at:] += 3 / RATE_HZ
    packed = make_pack(job(tmp_path, raw))
    found = voltage(packed.path)
    expected = np.concatenate([filtered(raw.volts[:at]), filtered(raw.volts[at:])])
    np.testing.assert_allclose(found.values, expected, atol=1e-7)
    np.testing.assert_array_equal(found.times_s, np.concatenate([raw.times_s[:at][::24], raw.times_s[at:][::24]]))
    assert packed.findings == (
        f"the recording breaks 1 times, 0.123 ms in all, first before {raw.times_s[at]:.3f} s; the filter starts again "
        f"there",
    )


@pytest.mark.parametrize("off_samples, regular", [(5e-4, True), (0.01, False)])
def test_times_that_are_not_quite_regular_are_stored_as_they_are(tmp_path, off_samples, regular):
    raw = broadband_files.raw(n_samples=5000)
    raw.times_s[2400:] += off_samples / RATE_HZ
    make_pack(job(tmp_path, raw))
    with h5py.File(tmp_path / "new.nwb") as file:
        assert ("starting_time" in file[nwb_write.LFP_PATH]) is regular
    np.testing.assert_allclose(voltage(tmp_path / "new.nwb").times_s, raw.times_s[::24], atol=1e-3 / RATE_HZ)


def test_the_one_file_is_the_session(tmp_path):
    one = broadband_files.labels()
    made = make_pack(job(tmp_path, labels=one))
    target = TargetAt(path=nwb_write.CURSOR_PATH, outputs=("x", "y"))
    layout = Layout(
        spikes=SpikesAt(units=nwb_write.UNITS_PATH, areas=("M1",)),
        targets={"position": target},
        goals=nwb_write.TARGET_PATH,
    )
    found = read_contents(made.path, layout, "position")
    np.testing.assert_allclose(found.target.values, one.cursor_mm / 1000)
    np.testing.assert_array_equal(found.target.times_s, one.times_s)
    for i, channel in enumerate(one.spikes_s):
        np.testing.assert_array_equal(found.spikes.times_s[found.spikes.units == i], np.sort(np.concatenate(channel)))
    moved = np.any(one.target_mm[1:] != one.target_mm[:-1], axis=1)
    assert found.changes.tolist() == np.flatnonzero(moved).tolist()


def test_a_prepared_session_goes_through_the_door_of_the_suite(tmp_path):
    raw, labels = broadband_files.raw(n_samples=round(31 * RATE_HZ)), broadband_files.labels(n_samples=7_400)
    labels = replace(labels, target_mm=15.0 * np.repeat(np.arange(37), 200)[:, None] * [1, 0])
    made = make_pack(job(tmp_path, raw, labels))
    suite = load_suite("primate-lfp")
    session = next(s for s in suite.sessions if s.id == SESSION)
    split = TimeSplit(fractions=(0.72, 0.08, 0.2), gap_s=0.5)
    train = prepare(suite.model_copy(update={"splits": {session.split: split}}), session, made.path).train
    whole, right_s = filtered(raw.volts), 9.05 + 0.01 * np.arange(1, 500)
    rows = np.searchsorted(raw.times_s[::24], right_s + 1e-9, side="right") - 1
    np.testing.assert_allclose(train.inputs.streams["lfp_wide"][:499, -1], 1e6 * whole[rows], atol=0.1)
    velocity = np.diff(labels.cursor_mm[::5], axis=0)[:1000] / 0.02 / 1000
    found = train.targets[:2000].reshape(1000, 2, 2).mean(axis=1)
    assert np.isfinite(found).all(axis=1).sum() == 960
    np.testing.assert_allclose(found, np.where(np.isfinite(found), velocity, np.nan), atol=1e-3)


def test_pynwb_reads_the_file_and_it_says_how_it_was_made(tmp_path):
    wanted = job(tmp_path)
    made = make_pack(wanted)
    with NWBHDF5IO(made.path, "r") as io:
        nwb = io.read()
        series = nwb.processing["ecephys"]["LFP"]["lfp"]
        assert (series.data.dtype, series.electrodes["channel"][2]) == ("int16", "M1 003")
        assert nwb.units["channel"][:].tolist() == ["M1 001", "M1 002", "M1 003"]
        assert "2.04 ms" in series.filtering and nwb.subject.subject_id == "Indy"
        how = json.loads(nwb.scratch["prepared"].data)
    assert (how["recipe"]["name"], how["delay_s"]) == ("makin-lfp@1", pytest.approx(2.04e-3, rel=1e-2))
    digest = hashlib.sha256(wanted.broadband.read_bytes()).hexdigest()
    assert how["files"]["broadband"] == {"name": "raw.nwb", "size": wanted.broadband.stat().st_size, "sha256": digest}


def test_the_same_raw_files_give_the_same_bytes(tmp_path):
    wanted = job(tmp_path)
    first = make_pack(wanted)
    again = make_pack(replace(wanted, out=tmp_path / "again.nwb"))
    assert first.sha256 == again.sha256 == hashlib.sha256(first.path.read_bytes()).hexdigest()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.nwb", "new.nwb", "raw.mat", "raw.nwb"]


@pytest.mark.long
def test_memory_does_not_grow_with_the_recording(tmp_path):
    def peak_bytes(n_samples: int) -> int:
        folder = tmp_path / str(n_samples)
        folder.mkdir()
        wanted = job(folder, broadband_files.raw(n_samples=n_samples))
        tracemalloc.start()
        make_pack(wanted)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    make_pack(job(tmp_path))  # what is loaded once counts for neither
    # As float64, the longer one is 7.2 MB larger.
    assert peak_bytes(400_000) - peak_bytes(100_000) < 1_000_000


KILLED = """
import sys, time
from pathlib import Path
from harness.data import broadband_pack
def stop(*given, **named):
    print("there", flush=True)
    time.sleep(60)
if sys.argv[2] == "filtering":
    broadband_pack.Decimator.push = stop
else:
    from harness.data import nwb_pack
    nwb_pack.name_objects = stop
folder = Path(sys.argv[1])
broadband_pack.make_pack(broadband_pack.Job(folder / "raw.mat", folder / "raw.nwb", folder / "new.nwb", "x"))
"""


@pytest.mark.parametrize("when, left", [("filtering", 0), ("writing", 1)])
def test_a_killed_run_leaves_nothing_under_the_final_name(tmp_path, root, when, left):
    wanted = job(tmp_path)
    words = [sys.executable, "-c", KILLED, str(tmp_path), when]
    with subprocess.Popen(words, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "there\n"
        process.send_signal(signal.SIGKILL)
    assert not wanted.out.exists()
    hidden = [p for p in tmp_path.iterdir() if p.name not in ("raw.mat", "raw.nwb")]
    assert len(hidden) == left and all(p.name.startswith(".new.") for p in hidden)
    assert make_pack(wanted).path.exists()


@pytest.mark.parametrize("n_channels, kept", [(3, 3), (98, 96)])
def test_channels_without_names_get_those_of_the_labels(tmp_path, n_channels, kept):
    raw = replace(broadband_files.raw(n_samples=3000, n_channels=n_channels), names=None)
    labels = broadband_files.labels(n_channels=n_channels)
    made = make_pack(replace(job(tmp_path, raw, labels), area="M1"))
    assert made.n_channels == kept
    with NWBHDF5IO(made.path, "r") as io:
        nwb = io.read()
        assert set(nwb.electrodes["location"][:]) == {"M1"} and len(nwb.units) == kept
    np.testing.assert_allclose(voltage(made.path).values, filtered(raw.volts)[:, :kept], atol=1e-7)


def test_times_in_a_column_and_names_that_are_numbers_are_taken(tmp_path):
    raw = broadband_files.raw(n_samples=3000)
    raw.times_s = raw.times_s[:, None]
    wanted = job(tmp_path, replace(raw, names=["0", "1", "2"]))
    made = make_pack(wanted)
    assert (made.n_channels, made.n_samples) == (3, 125)
    with NWBHDF5IO(made.path, "r") as io:
        assert io.read().electrodes["channel"][:].tolist() == ["M1 001", "M1 002", "M1 003"]


def test_another_array_is_kept_on_demand(tmp_path):
    raw = broadband_files.raw(n_samples=3000, n_channels=98)
    wanted = job(tmp_path, replace(raw, names=None), broadband_files.labels(n_channels=98))
    made = make_pack(replace(wanted, area="S1"))
    np.testing.assert_allclose(voltage(made.path).values, filtered(raw.volts)[:, 96:], atol=1e-7)


def test_channels_that_nothing_names_are_refused_if_there_are_two_arrays(tmp_path):
    raw = replace(broadband_files.raw(n_samples=3000, n_channels=98), names=None)
    with pytest.raises(
        BadData, match=r"electrode_names' tells no areas, and nothing else says which of the 98 channels"
    ):
        make_pack(job(tmp_path, raw))
    wanted = job(tmp_path, replace(broadband_files.raw(n_channels=3), names=None))
    with h5py.File(wanted.labels, "r+") as file:
        del file["chan_names"]
    assert make_pack(wanted).n_channels == 3


def test_still_saturated_and_wrongly_scaled_channels_are_named(tmp_path):
    raw = broadband_files.raw(n_samples=20_000)
    raw.values[:, 0] = 7
    raw.values[9000:9100, 1] = np.iinfo(np.int16).max
    assert make_pack(job(tmp_path, raw)).findings == (
        "1 of 3 channels never change: M1 001",
        "1 of 3 channels stand at their extreme value again and again: saturated: M1 002",
    )
    huge = replace(broadband_files.raw(n_samples=20_000), conversion=1.0)
    (finding,) = make_pack(job(tmp_path, huge)).findings
    assert "attribute 'conversion' may not give volts" in finding


def spoilt(name: str) -> Raw:
    """A recording with one thing wrong."""
    raw = broadband_files.raw(dtype="float32", n_samples=20_000)
    if name == "nan":
        raw.values[12_345, 1] = np.nan
    elif name == "backwards":
        raw.times_s[9000] = raw.times_s[8990]
    elif name == "nan time":
        raw.times_s[10] = np.nan
    elif name == "rate":
        raw.times_s = 9.0 + np.arange(20_000) / 30_000
    elif name == "short":
        raw.times_s = raw.times_s[:-1]
    elif name == "coarse":
        raw.times_s = raw.times_s.astype(np.float32)
    elif name == "other session":
        raw.times_s += 5000
    elif name == "kind":
        raw.values = raw.values.astype(np.uint8)
    elif name == "names":
        raw.names = ["M1 001"]
    elif name == "slash":
        raw.names = ["M1/a 1", "M1 002", "M1 003"]
    elif name == "area":
        raw.names = ["S1 001", "S1 002", "M10 001"]
    else:
        raw.conversion = {"no conversion": None, "zero": 0.0, "infinite": 1e300}[name]
    return raw


@pytest.mark.parametrize(
    "name, sentence",
    [
        ("nan", r"data' has nan in sample 12345 \(9\.506 s\) of channel 'M1 002'"),
        ("backwards", r"timestamps' does not go up: sample 9000 is at 9\.368\d* s after 9\.368"),
        ("nan time", r"sample 10 is at nan s after 9\.0003"),
        ("rate", r"has 30000 samples a second, where the recipe makin-lfp@1 needs 24414\.1"),
        ("short", r"timestamps' has 19999 entries, but data has 20000 samples of 3 channels"),
        ("coarse", r"timestamps' is float32, which cannot tell two samples apart"),
        ("other session", r"was recorded from 5009\.0 to 5009\.8 s, but the behaviour .* not of one session"),
        ("kind", r"is 20000 by 3 uint8, where samples by channels of int16, int32, float32, float64 belong"),
        ("names", r"electrode_names' has 1 names, but data has 3 channels"),
        ("area", r"names no channel of 'M1': there are S1 001, S1 002, M10 001"),
        ("no conversion", r"data' has no attribute 'conversion'"),
        ("slash", r"has the name 'M1/a 1', in which no '/' or ':' can be"),
        ("infinite", r"reaches 1e\+30 V near 9\.0 s, which is no voltage of a brain"),
        ("zero", r"has conversion 0\.0, where the volts of one step belong"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(tmp_path, name, sentence):
    with pytest.raises(BadData, match=sentence):
        make_pack(job(tmp_path, spoilt(name)))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["raw.mat", "raw.nwb"]


def test_eight_digits_that_are_no_day_are_no_date(tmp_path):
    made = make_pack(replace(job(tmp_path, broadband_files.raw(n_samples=20_000)), session_id="lab_99999999_01"))
    with h5py.File(made.path) as file:
        assert file["session_start_time"][()].startswith(b"2000-01-01")


@pytest.mark.parametrize("which", ["labels", "broadband"])
@pytest.mark.parametrize("damage", ["cut", "exchanged", "absent"])
def test_damaged_exchanged_and_absent_files_are_named(tmp_path, which, damage):
    wanted = job(tmp_path)
    path, other = getattr(wanted, which), wanted.broadband if which == "labels" else wanted.labels
    if damage == "cut":
        os.truncate(path, path.stat().st_size // 2)
    elif damage == "exchanged":
        wanted = replace(wanted, **{which: other})
    else:
        path.unlink()
    with pytest.raises(MissingData if damage == "absent" else BadData) as caught:
        make_pack(wanted)
    assert str(getattr(wanted, which)) in str(caught.value) and not wanted.out.exists()


def test_a_full_disk_is_found_before_and_while_writing(tmp_path, monkeypatch):
    def full(*given):
        raise OSError(28, "No space left on device")

    wanted = job(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(broadband_pack.KeptSamples, "push", full)
        with pytest.raises(UsageError, match="new.nwb cannot be written: No space left on device; make room in"):
            make_pack(wanted)
    usage = type("Usage", (), {"free": 10_000_000})
    monkeypatch.setattr(broadband_pack.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(UsageError, match=r"has 10\.0 MB free, and preparing indy_20160915_01 needs 50\.0 MB there"):
        make_pack(wanted)


def test_progress_goes_up_to_the_bytes_of_the_recording(tmp_path):
    heard: list[tuple[str, int]] = []
    watcher = Watcher()
    watcher.started = lambda name, *, size: heard.append((f"started {name}", size))
    watcher.progressed = lambda name, n_bytes: heard.append((name, n_bytes))
    make_pack(job(tmp_path), watcher=watcher)
    filtering = [n_bytes for name, n_bytes in heard if name == f"filtering {SESSION}"]
    assert heard[0] == (f"started filtering {SESSION}", 240_000)
    assert filtering == [n * 6 for n in (8192, 16384, 24576, 32768, 40000)]


def run(*words: object):
    return CliRunner().invoke(app, ["prepare", *map(str, words)])


def test_the_command_prepares_a_lab_s_own_session(tmp_path):
    wanted = job(tmp_path)
    raw = ("--labels", wanted.labels, "--broadband", wanted.broadband)
    row = json.loads(run(*raw, "--out", tmp_path / "mine.nwb", "--json").stdout)
    assert row["session"] == "mine"
    assert row["sha256"] == hashlib.sha256((tmp_path / "mine.nwb").read_bytes()).hexdigest()
    said = run(*raw, "--out", tmp_path / "mine.nwb").stdout.splitlines()
    assert said[1] == f"  sha256 {row['sha256']}" and "made from raw.mat, sha256 " in said[2]


def suite_file(folder: Path, **labels: str) -> Path:
    """A suite of one session that is made from raw.mat, of which this is known, and raw.nwb."""
    suite = load_suite("primate-lfp")
    one = next(s for s in suite.sessions if s.id == SESSION).model_dump(mode="json")
    made_from = {"labels": {"path": "raw.mat", **labels}, "broadband": {"path": "raw.nwb"}}
    one["source"] |= {"path": "deep/down.nwb", "made_from": made_from}
    content = suite.model_dump(mode="json") | {"pretraining": [], "sessions": [one]}
    (folder / "own.yaml").write_text(json.dumps(content))
    return folder / "own.yaml"


def test_the_command_prepares_sessions_of_a_suite(tmp_path):
    wanted = job(tmp_path)
    suite = suite_file(tmp_path, md5=hashlib.md5(wanted.labels.read_bytes()).hexdigest())
    row = json.loads(run(SESSION, "--suite", suite, "--raw", tmp_path, "--out", tmp_path / "new", "--json").stdout)
    assert (row["session"], Path(row["path"])) == (SESSION, tmp_path / "new" / "down.nwb")
    with NWBHDF5IO(row["path"], "r") as io:
        assert io.read().subject.subject_id == "Indy"


def test_the_command_refuses_a_raw_file_that_the_suite_pins_otherwise_and_says_where_one_is(tmp_path):
    wanted = job(tmp_path)
    result = run(SESSION, "--suite", suite_file(tmp_path, md5=32 * "0"), "--raw", tmp_path)
    assert isinstance(result.exception, BadData) and "raw.mat was refused: its md5 is" in str(result.exception)
    wanted.labels.unlink()
    result = run(SESSION, "--suite", suite_file(tmp_path, url="https://archive/raw.mat"), "--raw", tmp_path)
    assert isinstance(result.exception, MissingData)
    assert "raw.mat is missing: put it there from https://archive/raw.mat" in str(result.exception)


@pytest.mark.parametrize(
    "words, sentence",
    [
        ([], "name sessions and the folder of their raw files"),
        (["x", "--labels", "a.mat"], "not both"),
        (["x", "--raw", ".", "--labels", "a.mat", "--broadband", "b.nwb"], "not both"),
        (["--labels", "a.mat", "--broadband", "b.nwb"], "--out None has to be one file that ends in .nwb"),
        (["a", "b", "--labels", "a.mat", "--broadband", "b.nwb", "--out", "c.nwb"], "of 2 sessions at most one"),
        (["x", "--raw", "."], "has no session 'x'"),
        (
            ["simulated-41-4", "--raw", "."],
            "session 'simulated-41-4' of suite 'primate-lfp' is not made from raw files",
        ),
    ],
)
def test_the_command_says_what_it_needs(words, sentence):
    result = run(*words)
    assert isinstance(result.exception, UsageError) and sentence in str(result.exception)


def test_the_command_does_not_write_over_a_raw_file(tmp_path):
    wanted = job(tmp_path)
    result = run("--labels", wanted.labels, "--broadband", wanted.broadband, "--out", wanted.broadband)
    assert isinstance(result.exception, UsageError) and "is a raw file" in str(result.exception)
