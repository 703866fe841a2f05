"""Exponentials by PyTorch's softmax: one kernel, with a faster exp than ``torch.exp`` has.

A softmax is exp(x_j) over the sum of all, and so is the label's own share, of which the logit is known: the sum itself,
whose float32 error is 15 units of 2^-23 at 32,000 classes, drops out. At 4096 x 1000 on two cores: 1.7 ms, by
``torch.exp`` 2.4, and 1.5 for ``F.cross_entropy``.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from xentropy.sums import NEAR, Others, others, redone

Array = Any

# The label's share from which on a row is done again. A label ahead of all others by d is what the kernel subtracts,
# with an error of d / 2 units of 2^-24 in every other exponential; and up to here that is half a unit.
AHEAD = 0.7


def by_softmax(backend: Any, x: Array, label: Array, memory: Array | None) -> Others:
    """``xentropy.sums.others`` of float32 rows x."""
    parts = torch.softmax(x, -1, out=memory)
    own = backend.pick(parts, label).double()
    parts = backend.put(parts, label, 0.0)
    total = backend.total(parts)
    least = math.exp(-NEAR)
    # Where something is NaN, this is False too.
    good = (own > least) & (own < AHEAD) & (total > least)
    found = Others(parts, total, own.log_())
    return found if bool(good.all()) else redone(backend, found, x, label, good, others)
