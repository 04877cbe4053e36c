"""Finding decoders, constructing them, hashing their source."""

import pytest

from harness import registry
from harness.errors import DecoderError, UsageError

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


def test_the_source_hash_follows_imports_inside_the_package_and_nothing_else(tmp_path, monkeypatch):
    package = tmp_path / "my_plugin"
    package.mkdir()
    texts = {"__init__": "", "used": "A = 1", "unused": "B = 1", "main": "from .used import A\n" + SOURCE}
    for name, text in texts.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    ref = registry.DecoderRef("mine", "my_plugin.main:Mine", "1")
    before = registry.source_sha256(ref)
    (package / "unused.py").write_text("B = 2")
    assert registry.source_sha256(ref) == before
    (package / "used.py").write_text("A = 2")
    assert registry.source_sha256(ref) != before
