"""The plan of a comparison: which trial comes when, and which comes again."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gatewaylab.errors import InputError
from gatewaylab.records.results import AGAIN
from gatewaylab.records.staging import PROFILE_VARIABLE

#: By profile; a notebook run by hand measures the quick one.
BLOCKS = {"quick": 6, "full": 10}

#: Noise adds at most this share to the number of trials, or one trial where that is less.
EXTRA = 0.2

#: What became of a trial: it counts, it counts but would better be measured again, or it does not
#: count.
Came = Literal["good", "disturbed", "refused"]


@dataclass(frozen=True)
class Design:
    """The plan of a comparison, fixed before anything is measured.

    Attributes:
        labels: what is measured in each block, the twin twice.
        twin: the label that is measured twice. blocks: how many blocks. seed: of everything.
    """

    labels: tuple[str, ...]
    twin: str
    blocks: int
    seed: int

    def order(self, block: int) -> list[str]:
        """The labels in the random order of one block."""
        return [str(label) for label in self._random(block).permutation(self.labels)]

    def seed_of(self, block: int) -> int:
        """The seed of the arrival plan that all configurations of one block share."""
        return int(self._random(block, 1).integers(2**31))

    @property
    def extra(self) -> int:
        """How many trials may be measured beyond the plan."""
        return max(1, math.floor(EXTRA * self.blocks * len(self.labels)))

    def run(self, measure: Callable[[str, int, bool], Came]) -> None:
        """Have every label measured in every block, in that block's order.

        A trial that does not count, or that was disturbed, comes once again at the end of its
        block; a block in which one is still missing is made up for by another block. All that is
        beyond the plan stays within :attr:`extra`. Nothing here looks at a measured value: what is
        repeated, and how many blocks there are, depends on the machine and the load alone, so that
        no interval is too narrow for having been looked at twice.

        Args:
            measure: called with a label, a block, and whether this trial is the last for this
                place, so that it counts even if it was disturbed.
        """
        left, complete, block = self.extra, 0, 0
        while complete < self.blocks:
            if block >= self.blocks:
                if left < len(self.labels):
                    return
                left -= len(self.labels)
            counted = 0
            queue = [(label, False) for label in self.order(block)]
            while queue:
                label, again = queue.pop(0)
                last = again or left == 0
                came = measure(label, block, last)
                if came == "good" or (came == "disturbed" and last):
                    counted += 1
                elif not last:
                    left -= 1
                    queue.append((label, True))
            complete += counted == len(self.labels)
            block += 1

    def _random(self, *path: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *path])


def design(
    name: str, labels: Sequence[str], *, twin: str | None = None, blocks: int | None = None
) -> Design:
    """The plan of a comparison called ``name``, whose seed is derived from that name.

    Args:
        twin: the label that is measured twice in each block; the first when None.
        blocks: how many; from the profile when None.

    Raises:
        InputError: no label, an unknown twin or profile, or a name that cannot be a file's.
    """
    if not labels:
        raise InputError("a comparison needs at least one configuration")
    twin = labels[0] if twin is None else twin
    if twin not in labels:
        raise InputError(f"the twin {twin!r} is none of: {', '.join(labels)}")
    profile = os.environ.get(PROFILE_VARIABLE, "quick")
    if blocks is None:
        if profile not in BLOCKS:
            raise InputError(f"{PROFILE_VARIABLE}={profile!r}; known: {', '.join(BLOCKS)}")
        blocks = BLOCKS[profile]
    if not re.fullmatch(r"[a-z0-9-]+", name):
        raise InputError(f"{name!r} cannot name a file: use lower-case words joined by hyphens")
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    return Design((*labels, twin + AGAIN), twin, blocks, seed)
