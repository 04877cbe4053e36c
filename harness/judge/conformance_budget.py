"""The check that looks at tracks: whether what was learned is small enough for them."""

from harness.judge import artifact
from harness.judge.budget import shipped_tracks
from harness.judge.conformance_case import Broken, Case


def size_fits_tracks(case: Case) -> str:
    """Tracks limit parameters and bytes; of which ones this fit on made-up data is too large. Nothing fails by it."""
    content = case.fitted.content
    if content is None:
        raise Broken(f"nothing to measure: {case.fitted.content_fault}")
    sizes = {"parameters": artifact.n_parameters(artifact.unpack(content)), "artifact_bytes": len(content)}
    beyond = [
        f"{track.name} ({name} {size:,} of {limit:,.0f})"
        for track in shipped_tracks()
        for name, size in sizes.items()
        if (limit := getattr(track, name)) is not None and size > limit
    ]
    n_channels = sum(info.n_channels for info in case.data.train.session.streams.values())
    told = f"{sizes['parameters']:,} parameters, {sizes['artifact_bytes']:,} bytes for {n_channels} channels"
    return f"{told}; {'too large for ' + ', '.join(beyond) if beyond else 'within the sizes of all tracks'}"
