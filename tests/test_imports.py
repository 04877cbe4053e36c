"""What a command loads: only what it uses, so that help and lists answer at once."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import harness
from harness import Decoder
from harness.judge import artifact
from harness.judge.conformance_data import make_data
from harness.registry import find, load
from tests.cases import long_but

ROOT = Path(__file__).parents[1]
PUBLISHED = ("--store", "submissions/results")
WATCHED = {
    *("altair", "cryptography", "dandi", "dask", "datasets", "distributed", "filelock", "h5py", "hdmf", "jinja2"),
    *("matplotlib", "mne", "numpy", "pandas", "pyarrow", "pydantic", "pynwb", "pyriemann", "requests", "safetensors"),
    *("scipy", "sklearn", "sqlite3", "streamlit", "torch", "torch._dynamo", "typer", "vl_convert", "yaml"),
}
BARE = {"typer"}
PARSED = {"typer", "pydantic"}
"""What Typer brings along as soon as there are words to parse."""
LOADED = {
    ("--help",): BARE,
    ("--version",): BARE,
    ("eval", "--help"): PARSED,
    ("board", "--help"): PARSED,
    ("list", "decoders"): PARSED,
    ("list", "suites"): PARSED,
    ("list", "sessions"): PARSED | {"yaml"},
    ("list", "profiles"): PARSED | {"yaml"},
    ("list", "tracks"): PARSED | {"yaml"},
    ("list", "results", *PUBLISHED): PARSED | {"filelock", "sqlite3"},
    ("hardware",): PARSED | {"numpy", "yaml"},
    ("data", "info", "primate-reaching"): PARSED | {"numpy", "filelock", "requests", "yaml"},
}


def loaded_by(code: str) -> set[str]:
    """Which of the watched packages a fresh process has after running this."""
    script = f"import sys\n{code}\nprint('LOADED', *sorted({WATCHED!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    last = done.stdout.splitlines()[-1].split() if done.stdout else []
    assert last[:1] == ["LOADED"], done.stderr
    return set(last[1:])


@pytest.mark.parametrize("words", LOADED, ids=" ".join)
def test_a_command_loads_what_it_uses_and_no_more(words):
    run = "from harness.cli import main\ntry: main()\nexcept SystemExit as end: assert not end.code"
    assert loaded_by(f"sys.argv = {['harness', *words]!r}\n{run}") == LOADED[words]


def test_importing_the_harness_loads_nothing_and_its_names_bring_what_they_need():
    assert loaded_by("import harness") == set()
    assert loaded_by("from harness import Decoder, Bin, HarnessError") == {"numpy"}
    assert "torch" in loaded_by("from harness import from_torch")


def test_every_public_name_is_found_and_any_other_is_refused():
    assert {name for name in harness.__all__ if getattr(harness, name).__name__} == set(harness.__all__)
    assert set(harness.__all__) <= set(dir(harness))
    with pytest.raises(AttributeError, match="no attribute 'from_jax'"):
        _ = harness.from_jax


def test_neither_training_nor_restoring_a_network_loads_pytorchs_compiler():
    code = "from baselines.gru import Gru\nfrom harness.judge.conformance_data import make_data\n"
    code += "data = make_data(('spikes',))\ndecoder, again = Gru(updates=2), Gru()\n"
    code += "decoder.fit([data.train], [data.validation])\nagain.restore(decoder.state(), [data.train.session])\n"
    loaded = loaded_by(code)
    assert "torch" in loaded and "torch._dynamo" not in loaded


STREAMS = """
import numpy as np
from pathlib import Path
from harness import Decoder
from harness.judge import artifact
from harness.judge.conformance_data import make_data
from harness.registry import construct, find
folder, decoder = Path({folder!r}), construct(find({name!r}), {fields!r})
data = make_data(decoder.inputs)
decoder.restore(artifact.unpack((folder / "artefact").read_bytes()), [data.train.session])
np.save(folder / "answers", Decoder.predict(decoder, data.test.inputs, data.test.session))
"""


STEP_IN_NUMPY = ("wiener", "kalman", "mlp", "gru", "lstm", "lfp-lstm", "lfp-kalman")
STEP_IN_NUMPY += ("csp-lda", "eegnet", "shallow-convnet", "eeg-conformer")


@pytest.mark.parametrize("name", long_but(("wiener", "gru"), STEP_IN_NUMPY))
def test_what_steps_in_numpy_streams_without_pytorch(name, tmp_path):
    kind = load(find(name))
    fields = {"updates": 2} if "updates" in kind.__dataclass_fields__ else {}
    data, fitted = make_data(kind.inputs), kind(**fields)
    fitted.fit([data.train], [data.validation])
    (tmp_path / "artefact").write_bytes(artifact.pack(fitted.state()))
    assert "torch" not in loaded_by(STREAMS.format(folder=str(tmp_path), name=name, fields=fields))
    expected = Decoder.predict(fitted, data.test.inputs, data.test.session)
    assert np.abs(np.load(tmp_path / "answers.npy") - expected).max() <= 1e-6 * np.abs(expected).max()
