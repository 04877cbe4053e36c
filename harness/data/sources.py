"""Where the recordings of a suite are: archives, this machine, the generator."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, field_validator

from harness.data.protocol import Model


class Dandi(Model):
    """An asset of the DANDI archive."""

    host: Literal["dandi"]
    dandiset: str
    version: str
    asset_id: str
    path: str
    size: PositiveInt
    sha256: str
    s3_url: str | None = None
    licence: str


class Zenodo(Model):
    """A file behind plain HTTPS."""

    host: Literal["zenodo"]
    record: str
    path: str
    url: str
    size: PositiveInt | None = None
    sha256: str | None = None
    md5: str | None = None
    licence: str


class Physionet(Model):
    """Files of one subject of a PhysioNet data set, which become one NWB file after the download.

    Their digests are in `datasets/pins/<dataset>-<version>.sha256`.
    """

    host: Literal["physionet"]
    dataset: Literal["eegmmidb"]
    version: Literal["1.0.0"]
    subject: Annotated[str, Field(pattern=r"^S\d{3}$")]
    runs: Annotated[tuple[Annotated[int, Field(ge=3, le=14)], ...], Field(min_length=1)]
    licence: str = "ODC-BY-1.0"

    @property
    def paths(self) -> tuple[str, ...]:
        """Where the file of each run is in the data set."""
        return tuple(f"{self.subject}/{self.subject}R{run:02d}.edf" for run in self.runs)

    @field_validator("runs")
    @classmethod
    def runs_go_up(cls, runs: tuple[int, ...]) -> tuple[int, ...]:
        if list(runs) != sorted(set(runs)):
            raise ValueError("runs are listed in their order, each once")
        return runs


class RawFile(Model):
    """A file that `harness data prepare` reads, as far as it is known; `unknown` names what is not."""

    path: str
    record: str | None = None
    url: str | None = None
    size: PositiveInt | None = None
    md5: str | None = None
    sha256: str | None = None
    licence: str | None = None
    unknown: tuple[str, ...] = ()


class MadeFrom(Model):
    """The raw files of one session."""

    labels: RawFile
    broadband: RawFile

    @property
    def unknown(self) -> str:
        """What nobody has looked up yet, for people; empty if all is known."""
        lacking = [f"{raw.path}: {', '.join(raw.unknown)}" for raw in (self.labels, self.broadband) if raw.unknown]
        return "; ".join(lacking)


class File(Model):
    """A file on this machine, relative to `--data-root`, perhaps made from raw files by `harness data prepare`."""

    host: Literal["file"]
    path: str
    sha256: str | None = None
    licence: str = "not stated"
    made_from: MadeFrom | None = None


class Simulated(Model):
    """A session that the generator writes when it is needed."""

    host: Literal["simulated"]
    generator: Literal["reaching", "motor-imagery"] = "reaching"
    parameters: Mapping[str, Any] = {}
    licence: str = "CC0-1.0"


Source = Annotated[Dandi | Zenodo | Physionet | File | Simulated, Field(discriminator="host")]
