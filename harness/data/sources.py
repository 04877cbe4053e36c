"""Where the recordings of a suite are: archives, this machine, the generator."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

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
    generator: Literal["reaching"] = "reaching"
    parameters: Mapping[str, Any] = {}
    licence: str = "CC0-1.0"


Source = Annotated[Dandi | Zenodo | File | Simulated, Field(discriminator="host")]
