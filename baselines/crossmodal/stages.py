"""What the stages of learning share: recordings as stretches, an encoder for a new session, recordings embedded."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from baselines.crossmodal.encoder import Encoder
from baselines.crossmodal.shape import MOST_COUNT, Shape, Signal
from baselines.crossmodal.training import Stretch
from baselines.features import Standard
from baselines.sessions import session_key
from harness import HarnessError, Inputs, Recording

HELD_OUT_SHARE = 0.1
"""Of each stretch, its end, where no validation part is given to stop by."""
WINDOWS_AT_ONCE = 16
STRETCH_CONTEXTS = 16
"""What a causal encoder answers at once."""


def spikes_of(recording: Recording) -> np.ndarray:
    """Counts, (n_bins, n_units), whether they are an input or privileged.

    Raises:
        HarnessError: If there are none.
    """
    for streams in (recording.inputs.streams, recording.privileged):
        if "spikes" in streams:
            return streams["spikes"]
    raise HarnessError(
        f"session {recording.session.id} came without spikes (inputs: {', '.join(recording.inputs.streams)}; "
        f"privileged: {', '.join(recording.privileged) or 'none'}), which the teacher of this decoder learns from; use "
        f"a suite whose task has `privileged: [spikes]`, or lfp-transformer or ms-lfp, which need none"
    )


def lfp_of(inputs: Inputs) -> np.ndarray:
    """The last sample of each bin, (n_bins, n_channels)."""
    return inputs.streams["lfp"][:, -1]


def lfp_standards(recordings: Sequence[Recording]) -> dict[str, Standard]:
    """Session key -> mean and gain of its channels over its recordings; channels that are constant there become 0."""
    own: dict[str, list[np.ndarray]] = {}
    for r in recordings:
        own.setdefault(session_key(r.session), []).append(lfp_of(r.inputs))
    return {key: Standard.of(values, "none") for key, values in own.items()}


def stretches(recording: Recording, values: np.ndarray, aims: Mapping[str, np.ndarray] | None = None) -> list[Stretch]:
    """The unbroken stretches of a recording, with the values that a network reads of it."""
    key = session_key(recording.session)
    return [
        Stretch(key, values[s], {name: aim[s] for name, aim in (aims or {}).items()})
        for s in recording.inputs.segments()
    ]


def behaviour_aims(recording: Recording, targets: np.ndarray) -> dict[str, np.ndarray]:
    """Standardised targets, 0 where none is scored, and where they are; `targets`: the scored ones of training."""
    sd = targets.std(axis=0)
    standard = (recording.targets - targets.mean(axis=0)) / np.where(sd > 0, sd, 1)
    scored = recording.scored[:, None]
    return {"behaviour": np.where(scored, standard, 0).astype(np.float32), "scored": scored.astype(np.float32)}


def without_their_ends(material: Sequence[Stretch]) -> tuple[list[Stretch], list[Stretch]]:
    """What is learned from, and the last tenth of each stretch to stop by."""
    learned, held_out = [], []
    for s in material:
        edge = len(s.values) - int(HELD_OUT_SHARE * len(s.values))
        for found, bins in ((learned, slice(0, edge)), (held_out, slice(edge, None))):
            if len(s.values[bins]):
                found.append(Stretch(s.key, s.values[bins], {name: aim[bins] for name, aim in s.aims.items()}))
    return learned, held_out


def patches_of(shape: Shape, signal: Signal, material: Sequence[Stretch]) -> dict[str, int]:
    """Session key -> tokens of a bin."""
    return {s.key: shape.n_patches(signal, s.values.shape[1]) for s in material}


def mean_counts(material: Sequence[Stretch]) -> dict[str, Any]:
    """Session key -> mean clipped count of each unit, (n_units,)."""
    own: dict[str, list[np.ndarray]] = {}
    for s in material:
        own.setdefault(s.key, []).append(np.minimum(s.values, MOST_COUNT))
    return {key: torch.from_numpy(np.concatenate(values).mean(axis=0)) for key, values in own.items()}


def heir(encoder: Encoder, key: str, n_patches: int, *, elders: Sequence[str]) -> Encoder:
    """The same encoder for one session alone.

    Its places are its own if it is known, else those of the last session among `elders` with as many patches, else the
    mean over all sessions, patch by patch; patches that no session has start at 0.

    Args:
        encoder: Of many sessions.
        key: The session's.
        n_patches: Tokens of one of its bins.
        elders: Keys of other sessions of the same subject, the most wanted last.
    """
    known: dict[str, Any] = {name: table.detach() for name, table in encoder.places.items()}
    fitting = [name for name in (*elders, key) if name in known and len(known[name]) == n_patches]
    made = Encoder(encoder.shape, encoder.signal, {key: n_patches}, context_bins=encoder.context_bins)
    if encoder.signal == "lfp":
        made.tokens.over = encoder.tokens.over
    weights = {k: v for k, v in encoder.state_dict().items() if not k.startswith("places.")}
    place = known[fitting[-1]] if fitting else _mean_place(list(known.values()), n_patches, encoder.shape.width)
    made.load_state_dict(weights | {f"places.{key}": place.clone()})
    return made


def _mean_place(tables: Sequence[Any], n_patches: int, width: int) -> Any:
    rows = [[table[i] for table in tables if i < len(table)] for i in range(n_patches)]
    return torch.stack([torch.stack(row).mean(dim=0) if row else torch.zeros(width) for row in rows])


def embedded(
    encoder: Encoder, values: np.ndarray, segments: Sequence[slice], *, key: str, window_bins: int
) -> np.ndarray:
    """A recording as latents: (n_bins, n_channels) -> (n_bins, width) float32.

    An encoder with full attention gets consecutive windows, the last of which reaches back; a causal one stretches with
    all that reaches into them before, so that memory does not grow with the recording.
    """
    encoder.eval()
    answers = np.empty((len(values), encoder.shape.width), np.float32)
    with torch.inference_mode():
        for segment in segments:
            n_bins = segment.stop - segment.start
            if encoder.context_bins is not None:
                answers[segment] = _stretches(encoder, values[segment], key)
            else:
                answers[segment] = _windows(encoder, values[segment], key, min(n_bins, window_bins))
    return answers


def _stretches(encoder: Encoder, values: np.ndarray, key: str) -> np.ndarray:
    """A causal encoder over a segment: layers look back one context each, and tokens as far as their kernel."""
    before = len(encoder.trunk.layers) * encoder.context_bins + encoder.shape.taps * encoder.shape.dilation_bins
    n_bins = STRETCH_CONTEXTS * encoder.context_bins
    found = []
    for start in range(0, len(values), n_bins):
        first = max(0, start - before)
        stretch = torch.from_numpy(np.ascontiguousarray(values[first : start + n_bins]))[None]
        found.append(encoder(stretch, key)[0, start - first :].numpy())
    return np.concatenate(found)


def _windows(encoder: Encoder, values: np.ndarray, key: str, n_bins: int) -> np.ndarray:
    n_whole = len(values) // n_bins
    cut = values[: n_whole * n_bins].reshape(n_whole, n_bins, -1)
    found = [
        encoder(torch.from_numpy(np.ascontiguousarray(cut[i : i + WINDOWS_AT_ONCE])), key).flatten(0, 1).numpy()
        for i in range(0, n_whole, WINDOWS_AT_ONCE)
    ]
    if rest := len(values) - n_whole * n_bins:
        last = torch.from_numpy(np.ascontiguousarray(values[-n_bins:]))[None]
        found.append(encoder(last, key)[0, -rest:].numpy())
    return np.concatenate(found)
