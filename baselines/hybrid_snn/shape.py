"""When a stack of convolutions and poolings has an answer, and about which bin: arithmetic only.

A keypoint is one column of what the stack gives: keypoint m stands at bin `step_bins` * m.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

POOLED = 2
"""Columns that a pooling takes the largest of."""


@dataclass(frozen=True)
class Block:
    """A convolution of stride 1 and a maximum over two of its columns.

    kernel: Columns that one output sees.
    left: Zeros in front of the first column; none are put behind the last one, which nobody has seen yet.
    stride: 2 for a pooling that halves the rate, 1 for one that looks at each column and the one before.
    """

    kernel: int
    left: int
    stride: int = POOLED


@dataclass(frozen=True)
class Shape:
    """A stack of blocks."""

    blocks: tuple[Block, ...]

    @classmethod
    def centred(cls, kernels: Sequence[int]) -> "Shape":
        """As much before as after: what is published."""
        return cls(tuple(Block(k, k // 2) for k in kernels))

    @classmethod
    def without_look_ahead(cls, kernels_s: Sequence[float], *, bin_s: float, keypoint_s: float) -> "Shape":
        """All before; kernels in seconds, and only as many halvings as leave a keypoint every `keypoint_s` seconds.

        Blocks before the last one whose kernel would be a single column are left out.
        """
        blocks: list[Block] = []
        for kernel_s in kernels_s:
            column_s = bin_s * cls(tuple(blocks)).step_bins
            kernel = max(1, round(kernel_s / column_s))
            if kernel == 1 and kernel_s != kernels_s[-1]:
                continue
            stride = POOLED if POOLED * column_s <= keypoint_s * (1 + 1e-6) else 1
            blocks.append(Block(kernel, kernel - 1, stride))
        return cls(tuple(blocks))

    @property
    def step_bins(self) -> int:
        """Bins from one keypoint to the next."""
        return math.prod(b.stride for b in self.blocks)

    @property
    def receptive_bins(self) -> int:
        """Bins that a keypoint depends on."""
        return 1 + sum(b.kernel * u for b, u in zip(self.blocks, self._columns(), strict=True))

    @property
    def last_bin(self) -> int:
        """The last bin that the keypoint at bin 0 depends on: with it, the keypoint is known."""
        after = (b.kernel - 1 - b.left + b.stride - 1 for b in self.blocks)
        return sum(n * u for n, u in zip(after, self._columns(), strict=True))

    def n_keypoints(self, n_bins: int) -> int:
        """Keypoints that are known after `n_bins` bins."""
        return max(0, (n_bins - 1 - self.last_bin) // self.step_bins + 1)

    def _columns(self) -> list[int]:
        """Bins from one column to the next, in front of each block."""
        strides = [b.stride for b in self.blocks[:-1]]
        return list(itertools.accumulate(strides, lambda u, stride: u * stride, initial=1))[: len(self.blocks)]
