"""Finding decoders, constructing them, hashing their source."""

import shutil
import subprocess
from pathlib import Path

import pytest

from harness import registry, source
from harness.errors import DecoderError, UsageError
from harness.judge import sandbox

sandboxed = pytest.mark.skipif(sandbox.isolation() != "sandbox", reason="workers cannot be sandboxed here")

SOURCE = """
from dataclasses import dataclass
from harness import Decoder

@dataclass
class Mine(Decoder):
    inputs = ("spikes",)
    history_bins: int = 10
    rate: float | None = None
    lags: tuple[float, ...] = (1.0,)

    def fit(self, train, validation): ...
    def reset(self, session): ...
    def step(self, bin): ...
"""


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.py").write_text(SOURCE)
    return registry.find(f"{tmp_path}/mine.py:Mine")


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    package = tmp_path / "my_plugin"
    (package / "tables").mkdir(parents=True)
    texts = {"__init__.py": "", "used.py": "A = 1", "unused.py": "B = 1", "main.py": "from .used import A\n" + SOURCE}
    for name, text in {**texts, "tables/weights.npy": "0123"}.items():
        (package / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return package, registry.DecoderRef("mine", "my_plugin.main:Mine", "1")


def test_installed_decoders_are_found_without_importing_them():
    ref = registry.find("wiener")
    assert ref.entry_point == "baselines.wiener:Wiener"
    assert "gru" in registry.known()


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UsageError, match="unknown decoder 'winer'; known: .*wiener"):
        registry.find("winer")


def test_a_class_that_is_not_in_the_file_lists_those_that_are(mine):
    path = mine.module
    with pytest.raises(UsageError, match="has no class 'Mien'; its classes: dataclass, Decoder, Mine"):
        registry.find(f"{path}:Mien")


@pytest.mark.parametrize(
    "line, fits",
    [
        ("Made = from_sklearn(pipeline, window_s=1.0)", True),
        ("Made = Mine", True),
        ("Made = harness.Decoder", True),
        ("Made = 3", False),
        ("if True:\n    Made = Mine", False),
    ],
)
def test_a_class_may_be_assigned_at_the_top_of_a_file(tmp_path, line, fits):
    (tmp_path / "made.py").write_text(f"{SOURCE}\n{line}\n")
    if fits:
        assert registry.find(f"{tmp_path}/made.py:Made").class_name == "Made"
    else:
        with pytest.raises(UsageError, match="has no class 'Made'"):
            registry.find(f"{tmp_path}/made.py:Made")


def test_a_class_that_an_adapter_made_loads_under_the_name_it_was_assigned(tmp_path):
    text = "from harness import from_sklearn\n\n\ndef none(): ...\n\n\nMade = from_sklearn(none, window_s=1.0)\n"
    (tmp_path / "made.py").write_text(text)
    made = registry.construct(registry.find(f"{tmp_path}/made.py:Made"), {"window_s": "2"})
    assert (made.inputs, made.window_s, made.seed) == (("eeg",), 2.0, 0)


def test_a_file_with_a_syntax_error_is_named(tmp_path):
    (tmp_path / "broken.py").write_text("class Mine(:")
    with pytest.raises(DecoderError, match=r"broken.py is no valid Python: .*line 1"):
        registry.find(f"{tmp_path}/broken.py:Mine")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere.py' does not exist"):
        registry.find(f"{tmp_path}/nowhere.py:Mine")


def test_settings_given_as_text_get_the_type_of_their_field(mine):
    decoder = registry.construct(mine, {"history_bins": "12", "rate": "null", "lags": "[0.5, 2]"})
    assert (decoder.history_bins, decoder.rate, decoder.lags) == (12, None, (0.5, 2.0))


@pytest.mark.parametrize("settings, message", [({"bins": "1"}, "no field 'bins'"), ({"history_bins": "x"}, "is not a")])
def test_a_wrong_setting_is_a_usage_error(mine, settings, message):
    with pytest.raises(UsageError, match=message):
        registry.construct(mine, settings)


def test_a_class_that_is_no_decoder_is_refused(tmp_path):
    (tmp_path / "other.py").write_text("class Mine: ...")
    with pytest.raises(DecoderError, match="must be a @dataclass subclass"):
        registry.load(registry.find(f"{tmp_path}/other.py:Mine"))


def test_an_import_that_fails_names_the_decoder(tmp_path):
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n\n\nclass Mine: ...")
    with pytest.raises(DecoderError, match="nothing_of_that_name"):
        registry.load(registry.find(f"{tmp_path}/broken.py:Mine"))


def test_of_the_modules_of_a_package_only_those_that_are_imported_are_in_the_hash(plugin):
    package, ref = plugin
    before = source.source_sha256(ref)
    (package / "unused.py").write_text("B = 2")
    assert source.source_sha256(ref) == before
    (package / "used.py").write_text("A = 2")
    assert source.source_sha256(ref) != before


@pytest.mark.parametrize("name", ["tables/weights.npy", "new.bin", "__init__.py", "compiled.so"])
def test_a_changed_or_new_file_of_the_package_changes_the_hash(plugin, name):
    package, ref = plugin
    before = source.source_sha256(ref)
    (package / name).write_text("X = 9")
    assert source.source_sha256(ref) != before


@pytest.mark.parametrize("name", ["__pycache__/main.pyc", "tables/__pycache__/a.npy", ".git/HEAD", ".cache"])
def test_a_cache_or_hidden_file_is_in_no_hash(plugin, name):
    package, ref = plugin
    before = source.source_sha256(ref)
    (package / name).parent.mkdir(exist_ok=True)
    (package / name).write_text("whatever")
    assert source.source_sha256(ref) == before


def test_files_that_together_hold_the_same_bytes_have_different_hashes(plugin):
    package, ref = plugin
    (package / "a").write_bytes(b"1\0my_plugin/b\x002")
    one = source.source_sha256(ref)
    (package / "a").write_bytes(b"1")
    (package / "b").write_bytes(b"2")
    assert source.source_sha256(ref) != one


def test_the_source_of_a_file_is_that_file_alone(mine):
    path = Path(mine.module)
    before = source.source_sha256(mine)
    (path.parent / "weights.npy").write_text("beside")
    assert source.source(mine) == source.Source(path, (path,))
    assert source.source_sha256(mine) == before
    assert source.source_bytes(mine) == len(SOURCE)


TRAINED = {"torch_decoder.py", "torch_training.py", "optimiser.py"}
TORCH = {"adapters/torch.py", "adapters/windows.py", *TRAINED}
PIPELINE = {"adapters/sklearn.py", "adapters/windows.py", "adapters/plain.py"}


@pytest.mark.parametrize(
    "line, used",
    [
        ("from harness import from_torch", TORCH),
        ("from harness import from_sklearn as adapted", PIPELINE),
        ("import harness\nMade = harness.from_falcon(print)", {"adapters/falcon.py", "adapters/plain.py"}),
        ("from harness import *\nMade = from_sklearn(print, 1.0)", PIPELINE),
        ("from harness.adapters.windows import Window", {"adapters/windows.py"}),
        ("from harness.torch_decoder import TorchDecoder", TRAINED),
        ("import torch_decoder", set()),
        ("", set()),
    ],
)
def test_the_hash_covers_those_helpers_of_the_harness_that_a_decoder_uses(mine, tmp_path, monkeypatch, line, used):
    Path(mine.module).write_text(f"{SOURCE}\n{line}\n")
    shutil.copytree(source.HARNESS, copy := tmp_path / "harness", ignore=shutil.ignore_patterns("data", "judge"))
    monkeypatch.setattr(source, "HARNESS", copy)
    before, changing = source.source_sha256(mine), set()
    for file in [*copy.glob("adapters/*.py"), *(copy / name for name in TRAINED), copy / "plan.py"]:
        text = file.read_text()
        file.write_text(f"{text}\n# changed")
        if source.source_sha256(mine) != before:
            changing.add(file.relative_to(copy).as_posix())
        file.write_text(text)
    assert changing == used


def test_the_size_of_a_source_counts_every_file_that_is_hashed(plugin):
    package, ref = plugin
    names = ("__init__.py", "main.py", "tables/weights.npy", "used.py")
    assert source.source(ref).files == tuple(package / name for name in names)
    assert source.source_bytes(ref) == sum(len((package / name).read_bytes()) for name in names)


def test_one_baseline_is_no_part_of_the_source_of_another():
    names = {path.name for path in source.source(registry.find("wiener")).files}
    assert {"__init__.py", "wiener.py", "ridge.py"} <= names
    assert not names & {"gru.py", "lstm.py", "mlp.py"}


def test_a_folder_hides_a_file_of_the_same_name_from_the_hash_as_from_python(plugin):
    package, ref = plugin
    (package / "used").mkdir()
    (package / "used" / "__init__.py").write_text("A = 3")
    assert package / "used" / "__init__.py" in source.source(ref).files
    assert package / "used.py" not in source.source(ref).files


def test_a_package_of_too_many_files_is_refused_with_their_number(plugin, monkeypatch):
    monkeypatch.setattr(source, "MAX_FILES", 3)
    with pytest.raises(DecoderError, match="my_plugin holds 4 files; 3 are allowed; put the decoder"):
        source.source(plugin[1])


@sandboxed
@pytest.mark.parametrize("installed", [False, True])
def test_a_worker_sees_the_hashed_files_of_a_package_and_no_others(plugin, monkeypatch, installed):
    package, ref = plugin
    (package / ".secret").write_text("hidden")
    package.parent.chmod(0o755)
    interpreter = [*sandbox._interpreter(), *([package.parent] if installed else [])]
    monkeypatch.setattr(sandbox, "_interpreter", lambda: interpreter)
    assert seen(ref, package) == set(source.source(ref).files)


@sandboxed
def test_a_worker_sees_nothing_beside_the_file_of_a_decoder(mine):
    path = Path(mine.module)
    (path.parent / "weights.npy").write_text("beside")
    assert seen(mine, path.parent) == {path}


def seen(ref, folder):
    """The files below a folder that a sandboxed process can find there."""
    command = [*sandbox._bwrap([source.source(ref)]), "/usr/bin/find", str(folder), "-type", "f"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return {Path(line) for line in found.stdout.splitlines()}
