"""The whole way of somebody from outside: new package, check, eval, submit, verify, a row that says reproduced."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.pages import run_page
from tests.tiny import write_quick_profile, write_tiny_suite

EXAMPLES = Path(__file__).parent.parent / "submissions"
COMMANDS = """
import sys
import harness.data.suites as suites
import harness.judge.hardware as hardware

# As on a quiet machine, and as if the tiny suite were one of the shipped ones.
hardware.why_noisy = lambda *_, **__: ""
load, known = suites.load_suite, suites.known_suites
suites.load_suite = lambda name: load({suite!r} if name == "tiny" else name)
suites.known_suites = lambda: {{**known(), "tiny": {suite!r}}}

from harness.cli import main

main()
"""


class Laptop:
    """A fresh environment, which sees the packages of this one, and a folder to work in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True)
        self.python = folder / "env" / "bin" / "python"
        (site,) = (folder / "env" / "lib").glob("python3*/site-packages")
        (site / "parent.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
        (folder / "commands.py").write_text(COMMANDS.format(suite=str(write_tiny_suite(folder))))
        write_quick_profile(folder)

    def install(self, package: Path) -> None:
        offline = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
        self.run("-m", "pip", "install", "-q", *offline, package)

    def harness(self, *arguments: object, code: int = 0) -> subprocess.CompletedProcess:
        return self.run("commands.py", *arguments, code=code)

    def run(self, *arguments: object, code: int = 0) -> subprocess.CompletedProcess:
        environment = {**os.environ, "NEURAL_DECODER_DATA": str(self.folder / "data")}
        command = [str(self.python), *map(str, arguments)]
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)
        assert done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def eval(self, name: str) -> dict:
        tiny = ["--suite", "tiny", "--tier", "simulated", "--seed", "1", "--profile", "quick.yaml"]
        tiny += ["--workers", "1"]  # In this very process, which was told that it is on a quiet machine.
        return json.loads(self.harness("eval", *tiny, "--decoder", name, "--json").stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def laptop(tmp_path_factory) -> Laptop:
    return Laptop(tmp_path_factory.mktemp("laptop"))


def begin(laptop: Laptop, name: str) -> Path:
    """A new package with another penalty than the example's, installed; returns the file of its decoder."""
    laptop.harness("new", name)
    decoder = laptop.folder / name / name.replace("-", "_") / "decoder.py"
    decoder.write_text(decoder.read_text().replace("alpha: float = 300.0", "alpha: float = 100.0"))
    laptop.install(laptop.folder / name)
    return decoder


@pytest.mark.long
def test_from_a_new_package_to_a_reproduced_row(laptop):
    begin(laptop, "first-light")
    laptop.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "first-light")
    assert "failed" not in laptop.harness("check", "first-light").stdout.splitlines()[-1]

    record = laptop.eval("first-light")
    assert record["status"] == "ok" and record["decoder"]["parameters"]["alpha"] == 100.0
    start = record["id"][:12]
    dry = laptop.harness("submit", start, "--dry-run")
    assert "would write" in dry.stdout and not (laptop.folder / "submissions").exists()
    laptop.harness("keys", "new", "--key", "key")
    written = laptop.harness("submit", start, "--key", "key")
    assert "git switch -c submit-first-light" in written.stdout
    published = laptop.folder / "submissions" / "results"
    assert (published / "tiny@1" / "first-light" / "0.1.0" / "card.yaml").is_file()
    assert "1 records" in laptop.harness("verify", "--all", "--store", published).stdout

    again = laptop.harness("verify", start, "--store", published, "--profile", "quick.yaml")
    assert "same, compared bit for bit" in again.stdout
    assert "1 records" in laptop.harness("verify", "--all", "--store", published).stdout
    page = run_page("board", published)
    row = page.dataframe[0].value.set_index("decoder").loc["first-light"]
    assert row["rank"] == 1 and row["notes"] == "reproduced"
    assert any("trust: reproduced 1" in caption.value.replace("\\", "") for caption in page.caption)
    card = run_page("decoder", published, decoder="first-light")
    assert any("There is no paper" in m.value or "Ridge regression" in m.value for m in card.markdown)


@pytest.mark.long
def test_source_that_changes_after_the_run_is_refused(laptop):
    decoder = begin(laptop, "second-sight")
    record = laptop.eval("second-sight")
    decoder.write_text(decoder.read_text() + "# more\n")
    laptop.run("-m", "pip", "uninstall", "-q", "-y", "second-sight")
    laptop.install(laptop.folder / "second-sight")
    refused = laptop.harness("submit", record["id"][:12], code=2)
    assert "has changed since it ran" in refused.stderr and "nothing is written" in refused.stderr


@pytest.mark.long
def test_the_network_among_the_examples_installs_and_learns(laptop):
    laptop.install(EXAMPLES / "example-torch")
    record = laptop.eval("example-torch")
    assert record["status"] == "ok" and record["scores"]["r2"]["value"] > 0.1


@pytest.mark.parametrize("name", ["example-ridge", "example-torch"])
def test_an_example_is_short(name):
    code = [p.read_text().splitlines() for p in (EXAMPLES / name / name.replace("-", "_")).glob("*.py")]
    assert 0 < sum(map(len, code)) < 60


@pytest.mark.long
@pytest.mark.parametrize("name", ["wiener", "w1ener", "Mine", "two words", "-x", "x" * 41, "../up", "zero\u200bwidth"])
def test_names_that_are_taken_or_none_are_refused(laptop, name):
    refused = laptop.harness("new", "--folder", "nowhere", "--", name, code=2)
    assert "name" in refused.stderr and not (laptop.folder / "nowhere").exists()


@pytest.mark.long
def test_a_folder_that_is_not_empty_is_left_alone(laptop):
    folder = laptop.folder / "full"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    assert "not empty" in laptop.harness("new", "another", "--folder", folder, code=2).stderr
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]
