"""REALM's split: a recording cut into short segments, which are dealt out to train, validation and test at random.

Neighbouring segments land in different parts without a gap between them, so a score of this split is no score of ours;
it is here to be compared with published ones. Where it is from: the script and the file of splits in the public code of
arXiv:2605.14867, revision 3c079eb, whose numbers the tests reproduce.
"""

import hashlib

import numpy as np

from harness.errors import UsageError

SEED_RANGE = 2**31


def segment_parts(
    n_bins: int,
    bin_s: float,
    *,
    segment_s: float = 5.0,
    fractions: tuple[float, float, float] = (0.72, 0.08, 0.20),
    session_id: str,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Deal the segments of a session out to its parts.

    The permutation is that of PyTorch's `randperm` after seeding with `seed` plus the MD5 digest of the session's id,
    a hexadecimal number, modulo 2 ** 31. Train and validation end at the whole segments below their share.

    Args:
        n_bins: Length of the recording.
        bin_s: Width of a bin.
        segment_s: Width of a segment, a whole number of bins.
        fractions: Shares of train, validation and test.
        session_id: As the published split names it: "indy_20160622_01".
        seed: Of the split; 42, 123 and 456 are published.

    Returns:
        (n_bins,) int64: 0, 1 or 2 for train, validation or test, -1 for bins after the last whole segment; and
        (n_bins,) bool: where a segment begins, so that every state starts anew.

    Raises:
        UsageError: If a segment is no whole number of bins, the shares are none, or a part would be empty.
    """
    n_inside = _whole_bins(segment_s, bin_s)
    n_segments = n_bins // n_inside
    part = np.empty(n_segments, np.int64)
    order = permutation(n_segments, segment_seed(session_id, seed))
    part[order] = np.repeat([0, 1, 2], _shares(n_segments, fractions))
    owner = np.full(n_bins, -1)
    owner[: n_segments * n_inside] = np.repeat(part, n_inside)
    starts = (np.arange(n_bins) % n_inside == 0) & (owner >= 0)
    return owner, starts


def segment_seed(session_id: str, seed: int) -> int:
    """The seed of one session's permutation."""
    digest = hashlib.md5(session_id.encode(), usedforsecurity=False).hexdigest()
    return seed + int(digest, 16) % SEED_RANGE


def permutation(n: int, seed: int) -> np.ndarray:
    """(n,) int64: what `torch.randperm(n)` gives on a CPU after `torch.manual_seed(seed)`.

    Both draw 32 bits at a time from a Mersenne Twister, and swap place i with one of the n - i places from it on.
    """
    # Only NumPy's old generator is seeded as PyTorch's is.
    draws = np.random.RandomState(seed).randint(0, 2**32, size=max(n - 1, 0), dtype=np.uint32)
    order = np.arange(n)
    for i, draw in enumerate(draws.tolist()):
        j = i + draw % (n - i)
        order[i], order[j] = order[j], order[i]
    return order


def _whole_bins(segment_s: float, bin_s: float) -> int:
    n = round(segment_s / bin_s)
    if n < 1 or abs(n * bin_s - segment_s) > 1e-9 * segment_s:
        raise UsageError(
            f"a segment of {segment_s:g} s is no whole number of bins of {bin_s:g} s; give another segment_s"
        )
    return n


def _shares(n_segments: int, fractions: tuple[float, float, float]) -> tuple[int, int, int]:
    """Segments of each part. Rounding to nine places keeps a share from missing a whole number by one float."""
    if abs(sum(fractions) - 1) > 1e-9 or min(fractions) < 0:
        raise UsageError(f"shares of {fractions} do not sum to 1; give those of train, validation and test")
    first = int(round(fractions[0] * n_segments, 9))
    second = int(round((fractions[0] + fractions[1]) * n_segments, 9))
    shares = first, second - first, n_segments - second
    if min(shares) < 1:
        raise UsageError(
            f"{n_segments} segments give train, validation and test {shares} of them; use a longer recording, or "
            f"shorter segments, so that none is empty"
        )
    return shares
