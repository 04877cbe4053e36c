"""The student bin by bin in NumPy, with the same work in every bin.

Band powers of a bin are computed once; only what mixes patches is computed anew in every bin. Projection, compression
in space and time and the layer after them are all linear, so they are multiplied out when a segment starts.
"""

from collections.abc import Mapping

import numpy as np

from baselines.dlink.shape import Clock
from baselines.dlink.student import LEAST_POWER
from baselines.parts import part

Weights = Mapping[str, np.ndarray]


class StudentStream:
    """Answers from filtered samples.

    Args:
        weights: Of `baselines.dlink.student.Student`.
        thinning: (patches left, n_patches), as there.
        clock: Of the session.
    """

    def __init__(self, weights: Weights, thinning: np.ndarray, clock: Clock):
        self._clock, self._stem = clock, _Stem(part(weights, "stem."), clock)
        n_mixers = len({key.split(".")[1] for key in weights if key.startswith("mixers.")})
        self._mixers = [_Mixer(part(weights, f"mixers.{i}.")) for i in range(n_mixers)]
        self._place = weights["spatial.weight"]
        self._matrix, self._constant = _multiplied_out(weights)
        self._thinning = thinning
        self._head, self._head_bias = weights["head.weight"], weights["head.bias"]
        # Before a segment's start there was silence, whose features are not zero.
        silent = self._stem.features(np.zeros_like(self._stem.powers[0]))
        self._patches = np.repeat(silent[None], clock.window_bins - clock.patch_bins + 1, axis=0)
        self._back = np.arange(-(clock.n_patches - 1), 1) * clock.patch_bins
        self._n_seen = 0

    def step(self, samples: np.ndarray) -> np.ndarray:
        """(n_samples, n_channels) float32 of one bin -> (n_classes,) scores."""
        n_kept = len(self._patches)
        self._patches[self._n_seen % n_kept] = self._stem.step(samples)
        x = self._patches[(self._n_seen + self._back) % n_kept]
        self._n_seen = (self._n_seen + 1) % n_kept
        for mixer in self._mixers:
            x = mixer(x)
        placed = np.tensordot(self._thinning, self._place @ x, 1)
        left = placed + self._constant if self._matrix is None else placed @ self._matrix + self._constant
        return self._head @ np.maximum(left, 0).transpose(1, 0, 2).ravel() + self._head_bias


class _Stem:
    """Keeps the samples that filters reach back to, and the powers of a patch."""

    def __init__(self, weights: Weights, clock: Clock):
        self._sharpen = np.ascontiguousarray(weights["sharpen.weight"].T)
        self._filters = np.ascontiguousarray(weights["filters"])
        gain = weights["standard.weight"] / np.sqrt(weights["standard.running_var"] + 1e-5)
        offset = weights["standard.bias"] - weights["standard.running_mean"] * gain
        self._matrix = np.ascontiguousarray((weights["features.weight"] * gain).T)
        self._bias = weights["features.bias"] + weights["features.weight"] @ offset
        n_channels, self._clock = len(self._sharpen), clock
        self._samples = np.zeros((clock.lead_samples + clock.bin_samples, n_channels), np.float32)
        n_frames = clock.bin_samples // clock.hop
        self._frames = clock.hop * np.arange(n_frames)[:, None] + np.arange(clock.taps)
        self.powers = np.zeros((clock.patch_bins, len(self._filters), n_channels), np.float32)
        self._i_bin = 0

    def step(self, samples: np.ndarray) -> np.ndarray:
        """(n_samples, n_channels) -> (n_channels, width) of the patch that ends with this bin."""
        n = self._clock.bin_samples
        self._samples[:-n] = self._samples[n:]
        self._samples[-n:] = samples @ self._sharpen
        filtered = self._filters @ self._samples[self._frames]
        self.powers[self._i_bin] = np.square(filtered).mean(axis=0)
        self._i_bin = (self._i_bin + 1) % len(self.powers)
        return self.features(self.powers.mean(axis=0))

    def features(self, powers: np.ndarray) -> np.ndarray:
        """(filters, n_channels) -> (n_channels, width)."""
        return np.maximum(np.log(powers + np.float32(LEAST_POWER)).T @ self._matrix + self._bias, 0)


class _Mixer:
    def __init__(self, weights: Weights):
        self._gain, self._bias = weights["norm.weight"], weights["norm.bias"]
        self._taps = np.ascontiguousarray(weights["along_time.weight"][:, 0, :, 0].T)
        self._along_bias = weights["along_time.bias"]
        self._features, self._features_bias = (
            np.ascontiguousarray(weights["features.weight"].T),
            weights["features.bias"],
        )
        self._channels, self._channels_bias = weights["channels.weight"], weights["channels.bias"][:, None]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(n_patches, n_channels, width) -> the same shape."""
        normal = x - x.mean(axis=-1, keepdims=True)
        normal *= 1 / np.sqrt(np.square(normal).mean(axis=-1, keepdims=True) + np.float32(1e-5))
        normal *= self._gain
        normal += self._bias
        along = normal * self._taps[1] + self._along_bias
        along[1:] += normal[:-1] * self._taps[0]
        along[:-1] += normal[1:] * self._taps[2]
        x = x + (np.maximum(along, 0) @ self._features + self._features_bias)
        return x + (self._channels @ x + self._channels_bias)


def _multiplied_out(weights: Weights) -> tuple[np.ndarray | None, np.ndarray]:
    """What follows compression in space and time, as one matrix (width, left) or None, and constants (places, left).

    A place's constant goes through the projection of the constant features, since compression is linear and its sums
    over patches are 1.
    """
    place, offset = weights["spatial.weight"], weights["spatial.bias"][:, None]
    if "project.weight" not in weights:
        return None, offset
    project, pointwise = weights["project.weight"], weights["pointwise.weight"]
    matrix = np.ascontiguousarray((pointwise @ project).T)
    constant = (place.sum(axis=1)[:, None] * weights["project.bias"] + offset) @ pointwise.T + weights["pointwise.bias"]
    return matrix, constant
